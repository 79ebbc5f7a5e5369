//! The handle for secret keys: what the running nodes know, and the step of a rotation.

use std::sync::Arc;

use handstamp_core::SecretKeyId;

use crate::context::Context;
use crate::error::Error;
use crate::model::SecretStatus;
use crate::services::Services;

/// The secret keys of a site: [`Handstamp::secrets`](crate::Handstamp::secrets). Each node writes the ids of its keys into the
/// database, and does not start beside one that does not share them.
#[derive(Clone)]
pub struct Secrets(Arc<Services>);

/// A step of a rotation, for the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretStep {
    /// A new secret was added, which is accepted and does not sign yet.
    Added,
    /// The new secret signs from the next start of each node.
    Promoted,
    /// A former secret was removed.
    Dropped,
}

impl Secrets {
    pub(crate) fn new(services: &Arc<Services>) -> Self {
        Self(Arc::clone(services))
    }

    /// The secret keys of this process and of the running nodes. It takes up to fifteen seconds if a node has crashed lately.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn status(&self) -> Result<SecretStatus, Error> {
        Ok(self.0.secret_status().await?)
    }

    /// Writes a step of a rotation into the audit log.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn record(&self, step: SecretStep, key: SecretKeyId) -> Result<(), Error> {
        let step = match step {
            SecretStep::Added => "added",
            SecretStep::Promoted => "promoted",
            SecretStep::Dropped => "dropped",
        };
        Ok(self.0.record_secret_step(&Context::operator(), step, key).await?)
    }
}
