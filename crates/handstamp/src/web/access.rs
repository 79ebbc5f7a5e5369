//! The access to a route as a value: the checks before its handler runs, and the format of its errors.

use handstamp_core::AssuranceLevel;

use super::Site;
use super::headers::PagePolicy;
use super::user::Visitor;
use super::web_error::WebError;
use crate::events::Event;
use crate::model::ADMINISTRATORS;

/// The access to a route. Each group of routes names one of the constants, or one that differs from it in a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Access {
    /// Whether the request must name this site as its host.
    pub(super) checks_host: bool,
    /// Whether a write or a WebSocket handshake of another site is rejected.
    pub(super) checks_csrf: bool,
    pub(super) session: SessionAccess,
    /// The group that the user must be in. Others get 404, since the page exists for its members only.
    pub(super) group: Option<&'static str>,
    /// Whether the user must have authenticated within `session.confirm_after`.
    pub(super) fresh: bool,
    /// Whether a session of level 2 is enough in place of that.
    pub(super) level_2_suffices: bool,
    /// Whether a signed-in user must have a second factor, if `second_factor.required` says so. It is false only for pages that all
    /// visitors see, for those on which a user reaches the second factor, and for signing in and out.
    pub(super) needs_required_factor: bool,
    pub(super) errors: ErrorFormat,
    /// The Content-Security-Policy of the pages of the route; its error pages have the strict one.
    pub(super) policy: PagePolicy,
}

/// Whether a route looks up the session of the request, and requires one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionAccess {
    /// No cookie is read, and every visitor counts as anonymous.
    Ignored,
    /// The handler gets the visitor, who may be anonymous.
    Optional,
    /// An anonymous visitor is redirected to the sign-in page, or gets 401.
    Required,
}

/// The format of the error responses of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorFormat {
    /// A page for a navigating browser, and a problem document for a program, as the request headers tell.
    Negotiated,
    /// A problem document (RFC 9457), whatever the client accepts.
    Problem,
}

impl Access {
    /// A page for all visitors.
    pub(super) const PAGE: Self = Self {
        checks_host: true,
        checks_csrf: true,
        session: SessionAccess::Optional,
        group: None,
        fresh: false,
        level_2_suffices: false,
        needs_required_factor: false,
        errors: ErrorFormat::Negotiated,
        policy: PagePolicy::STRICT,
    };
    /// A page for signed-in users.
    pub(super) const MEMBERS_PAGE: Self =
        Self { session: SessionAccess::Required, needs_required_factor: true, ..Self::PAGE };
    /// A page for signed-in users who have authenticated recently.
    pub(super) const CONFIRMED_PAGE: Self = Self { fresh: true, ..Self::MEMBERS_PAGE };
    /// A page on which a signed-in user sets up or changes a second factor.
    pub(super) const FACTOR_PAGE: Self = Self { needs_required_factor: false, ..Self::CONFIRMED_PAGE };
    /// A page of administration. It looks like no page to all who are not in the group, also to those who are not signed in.
    pub(super) const ADMIN_PAGE: Self = Self {
        group: Some(ADMINISTRATORS),
        fresh: true,
        level_2_suffices: true,
        needs_required_factor: true,
        ..Self::PAGE
    };
    /// An act of an administrator.
    pub(super) const ADMIN_ACT: Self = Self { level_2_suffices: false, ..Self::ADMIN_PAGE };
    /// An action of the API. Its handler decides whether an anonymous client may run it.
    pub(super) const API: Self = Self { errors: ErrorFormat::Problem, needs_required_factor: true, ..Self::PAGE };
    /// An action of the API with which a client signs in, registers, or signs out, or authenticates again.
    pub(super) const AUTHENTICATION_API: Self = Self { needs_required_factor: false, ..Self::API };
    /// A file, which does not depend on the session.
    pub(super) const FILE: Self = Self { session: SessionAccess::Ignored, ..Self::PAGE };
    /// Any request, whatever host it names.
    pub(super) const UNCHECKED: Self = Self { checks_host: false, checks_csrf: false, ..Self::FILE };

    /// The error for a visitor who lacks what the route requires of a session. Every such requirement is checked here.
    pub(super) fn refusal(&self, site: &Site, visitor: &Visitor) -> Option<WebError> {
        // It comes first: another answer would show that there is such a page.
        if let Some(group) = self.group
            && !visitor.session().is_some_and(|session| session.user.is_in(group))
        {
            if let Some(session) = visitor.session() {
                Event::AuthzFail { user: session.user.id, group: Some(group), origin: None }.record();
            }
            return Some(WebError::not_found());
        }
        if self.needs_required_factor
            && let Some(session) = visitor.session()
            && !site.services.has_required_assurance(&session.user, session.authentication)
        {
            return Some(WebError::SecondFactorRequired);
        }
        if !self.fresh {
            return None;
        }
        let Some(session) = visitor.session() else { return Some(WebError::SignedOut) };
        let is_enough = site.services.is_fresh(session)
            || self.level_2_suffices && session.authentication.assurance() >= AssuranceLevel::TWO_FACTORS;
        (!is_enough).then_some(WebError::ReauthenticationRequired)
    }
}
