//! The groups of a user that a provider decides about.

use handstamp_core::UserId;

use super::Provider;
use super::provider::Person;
use crate::context::Context;
use crate::events::Event;
use crate::model::{ADMINISTRATORS, LastAdministrator};
use crate::services::{ActError, Services};

impl Services {
    /// Adds a user to the groups that the claim names, and removes the user from those that it does not. Other groups stay. The last
    /// administrator stays one, and groups beyond the greatest number are not added: the log says so, and the sign-in goes on.
    pub(super) async fn apply_groups(
        &self,
        provider: &Provider,
        person: &Person,
        user: UserId,
    ) -> Result<(), ActError> {
        let Some(values) = &person.groups else { return Ok(()) };
        let current = self.user(user).await?.groups;
        let mapped = &provider.config.groups;
        // Several values may stand for one group.
        let is_wanted = |group: &str| mapped.iter().any(|of| of.group.as_str() == group && values.contains(&of.value));
        let is_in = |group: &str| current.iter().any(|name| name == group);
        let names = || mapped.iter().map(|of| of.group.as_str());
        let added: Vec<&str> = names().filter(|group| is_wanted(group) && !is_in(group)).collect();
        let removed: Vec<&str> = names().filter(|group| !is_wanted(group) && is_in(group)).collect();
        if added.is_empty() && removed.is_empty() {
            return Ok(());
        }
        // Operators may have set up what cannot be done: too many groups, or no administrator. The rest is done, above all what takes
        // rights away.
        let others: Vec<&str> = removed.iter().copied().filter(|group| *group != ADMINISTRATORS).collect();
        let tries = [(&added[..], &removed), (&added[..], &others), (&[][..], &removed), (&[][..], &others)];
        for (number, (added, removed)) in tries.into_iter().enumerate() {
            let last = LastAdministrator::Stays;
            match self.change_groups(&Context::system(), user, added, removed, last).await {
                Ok(()) => return Ok(()),
                Err(ActError::Internal(error)) => return Err(error.into()),
                Err(_) if number == 0 => {
                    Event::ProviderGroupsRefused { provider: &provider.name, user }.record();
                }
                Err(_) => {}
            }
        }
        Ok(())
    }
}
