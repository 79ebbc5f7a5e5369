//! An operator lists the accounts at providers that are connected with a user.

use handstamp_core::UserId;

use crate::model::ListedIdentity;
use crate::services::{ActError, Services};

impl Services {
    /// The accounts at providers that are connected with a user, the oldest first.
    pub(crate) async fn listed_identities(&self, id: UserId) -> Result<Vec<ListedIdentity>, ActError> {
        self.user(id).await?;
        Ok(self.store.identities_of(id).await?.into_iter().map(ListedIdentity::from).collect())
    }
}
