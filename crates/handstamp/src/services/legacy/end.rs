//! Ends sessions of the framework that the site has left, at a sign-out of a browser that still sends their cookies.

use std::sync::Arc;

use handstamp_core::legacy_cookie::{LegacyCookie, StoredSessionKey};

use super::{LegacySessions, Services};
use crate::internal_error::InternalError;
use crate::model::{LegacyEnd, PresentedLegacy};

impl Services {
    /// The sessions of the former framework whose cookies a request has, whatever their times.
    pub(crate) fn presented_legacy<'a>(&self, cookies: impl Iterator<Item = &'a str>) -> Vec<PresentedLegacy> {
        let Some(legacy) = &self.legacy else { return Vec::new() };
        let mut presented: Vec<PresentedLegacy> = Vec::new();
        for value in cookies {
            let Ok(digest) = legacy.cookies.digest_to_end(value) else { continue };
            if presented.iter().any(|other| other.digest == digest) {
                continue;
            }
            let (key, user) = match legacy.cookies.open(value, self.sessions.now()) {
                Ok(LegacyCookie::Stored(key)) => (Some(Arc::new(key)), None),
                Ok(LegacyCookie::Session(session)) if digest.is_of_a_copy() => {
                    (None, Some(session.user_to_look_up().clone()))
                }
                _ => (None, None),
            };
            presented.push(PresentedLegacy { digest, key, user });
        }
        presented
    }

    /// The sessions of the former framework that a sign-out ends, of those that a request has presented.
    pub(in crate::services) async fn legacy_end(
        &self,
        presented: &[PresentedLegacy],
    ) -> Result<LegacyEnd, InternalError> {
        let mut end = LegacyEnd { at: self.sessions.now(), ..LegacyEnd::default() };
        let Some(legacy) = &self.legacy else { return Ok(end) };
        end.kept_until = legacy.until;
        for PresentedLegacy { digest, key, user } in presented {
            if let Some(key) = key
                && !legacy.may_be_stored(key).await
            {
                continue;
            }
            end.digests.push(*digest);
            if let Some(user) = user {
                end.users.extend(self.legacy_account(legacy, user).await?.map(|account| account.user_id));
            }
        }
        Ok(end)
    }
}

impl LegacySessions {
    /// Whether the former framework may have this session. Keys of Django are not signed, so any visitor can make one up, and each
    /// digest is a row that stays. A store that cannot be read may have it.
    async fn may_be_stored(&self, key: &StoredSessionKey) -> bool {
        self.find(key).await.map_or(true, |found| found.is_some())
    }
}
