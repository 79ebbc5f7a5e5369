//! Exports all data of the signed-in user.

use handstamp_core::{Timestamp, UserId};
use serde_json::{Value, json};

use super::{ActError, Services};
use crate::context::Context;
use crate::events::Event;
use crate::model::{AuditEvent, ListEvents};
use crate::sessions::Session;

impl Services {
    /// All data that is stored about the signed-in user, as JSON: `docs/src/reference/export.md` documents it.
    pub(crate) async fn export_account(&self, context: &Context, session: &Session) -> Result<Value, ActError> {
        let id = session.user.id;
        let user = self.user(id).await?;
        let credentials = self.store.credentials_by_id(id).await?;
        let factors = self.factors_of(id).await?;
        let sessions = self.sessions.list(id).await?;
        let passkeys = self.store.passkeys_of(id).await?;
        let identities = self.store.identities_of(id).await?;
        let links = self.store.tokens_of(id, self.sessions.now()).await?;
        let events = self.all_events_of(id).await?;
        let time = |time: Timestamp| time.to_string();
        let export = json!({
            "account": {
                "id": user.id.to_string(),
                "name": user.name,
                "email": user.email,
                "email_verified": user.email_verified,
                "language": user.language,
                "groups": user.groups,
                "legacy_id": user.legacy_id,
                "created_at": time(user.created_at),
                "signed_in_at": user.signed_in_at.map(time),
                "credentials_changed_at": credentials.as_ref().and_then(|found| found.changed_at).map(time),
                "has_password": factors.has_password,
                "authenticator_app_since": factors.totp_since.map(time),
                "recovery_codes": factors.recovery_codes,
            },
            "sessions": sessions.iter().map(|listed| json!({
                "id": listed.session_id.to_string(),
                "current": listed.secret_hash == session.secret_hash,
                "created_at": time(listed.created_at),
                "last_seen_at": time(listed.last_seen_at),
                "user_agent": listed.user_agent,
                "address": listed.address,
                "provider": listed.provider,
            })).collect::<Vec<_>>(),
            "passkeys": passkeys.iter().map(|passkey| json!({
                "name": passkey.name,
                "created_at": time(passkey.created_at),
                "used_at": passkey.used_at.map(time),
                "synced": passkey.backed_up,
            })).collect::<Vec<_>>(),
            "identities": identities.iter().map(|identity| json!({
                "provider": identity.provider,
                "issuer": identity.issuer,
                "subject": identity.subject,
                "email": identity.email,
                "created_at": time(identity.created_at),
                "used_at": identity.used_at.map(time),
            })).collect::<Vec<_>>(),
            "links": links.iter().map(|link| json!({
                "purpose": link.purpose.name(),
                "email": link.email,
                "created_at": time(link.created_at),
                "expires_at": time(link.expires_at),
            })).collect::<Vec<_>>(),
            // Users do not learn the session and the address of an operator.
            "events": events.into_iter().map(AuditEvent::without_operator).map(|event| json!({
                "id": event.id.to_string(),
                "time": time(event.time),
                "event": event.event,
                "actor": event.actor,
                "session_id": event.session_id.map(|id| id.to_string()),
                "user_agent": event.user_agent,
                "address": event.address,
                "fields": event.fields,
            })).collect::<Vec<_>>(),
        });
        let event = Event::UserExport { user: id };
        self.store.write_event(self.new_event(context, &event)).await?;
        self.record(context, &event);
        Ok(export)
    }

    /// All events about a user, the newest first.
    async fn all_events_of(&self, user: UserId) -> Result<Vec<AuditEvent>, ActError> {
        let mut query = ListEvents { user: Some(user), limit: ListEvents::MAX_LIMIT, ..ListEvents::default() };
        let mut events: Vec<AuditEvent> = Vec::new();
        loop {
            let page = self.store.list_events(&query).await?;
            let Some(last) = page.last() else { return Ok(events) };
            query.before = Some(last.id);
            events.extend(page);
        }
    }
}
