//! The assurance level that a site requires of its users: `second_factor.required`.

use handstamp_core::{AssuranceLevel, Authentication};

use super::Services;
use crate::config::SecondFactorRequired;
use crate::model::SessionUser;

impl Services {
    /// The assurance level that every session of this user needs, except on the pages that reach it.
    pub(crate) fn required_assurance(&self, user: &SessionUser) -> AssuranceLevel {
        let is_required = match &self.config.second_factor.required {
            SecondFactorRequired::Nobody => false,
            SecondFactorRequired::Everybody => true,
            SecondFactorRequired::Groups(groups) => groups.iter().any(|group| user.is_in(group.as_str())),
        };
        if is_required { AssuranceLevel::TWO_FACTORS } else { AssuranceLevel::ONE_FACTOR }
    }

    /// Whether a session has a second factor, if its user needs one.
    pub(crate) fn has_required_assurance(&self, user: &SessionUser, authentication: Authentication) -> bool {
        authentication.assurance() >= self.required_assurance(user)
    }
}
