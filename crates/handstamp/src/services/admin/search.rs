//! An operator searches users, a page at a time.

use std::collections::BTreeMap;

use handstamp_core::UserId;
use uuid::Uuid;

use crate::model::{FindUsers, FoundUsers};
use crate::services::{ActError, Services};

impl Services {
    /// A page of the users whom a text finds.
    pub(crate) async fn find_users(&self, query: &FindUsers) -> Result<FoundUsers, ActError> {
        Ok(self.store.find_users(query).await?)
    }

    /// The addresses of these users, without those that are deleted.
    pub(crate) async fn addresses_of(&self, users: &[UserId]) -> Result<BTreeMap<Uuid, String>, ActError> {
        Ok(self.store.addresses_of(users).await?)
    }
}
