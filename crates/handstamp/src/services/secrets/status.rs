//! The step of a rotation: which key each node knows and signs with, and which former key nothing needs any more.

use std::time::Duration;

use handstamp_core::SecretKeyId;

use crate::context::Context;
use crate::events::Event;
use crate::model::{KeyNode, SecretKeyStatus, SecretNode, SecretRole, SecretStatus, SigningTimes};
use crate::services::mail::LinkValidity;
use crate::services::{ActError, Services};

impl Services {
    /// The secret keys of this process and of the running nodes. It takes up to fifteen seconds while a node may have crashed.
    pub(crate) async fn secret_status(&self) -> Result<SecretStatus, ActError> {
        let nodes = self.running_key_nodes().await?;
        let signed = self.store.signing_times().await?;
        let longest = self.longest_use();
        let now = self.sessions.now();
        let mut keys = Vec::new();
        let prefixes: Vec<_> = self.factor_sealer.prefixes().collect();
        for (index, (id, prefix)) in self.known_keys.keys.iter().copied().zip(prefixes).enumerate() {
            let signed_until = signed.iter().find(|times| times.key == id).map(|times| times.until);
            let role = match (index, signed_until) {
                (0, _) => SecretRole::Current,
                (_, None) => SecretRole::Next,
                _ => SecretRole::Former,
            };
            let sealed = self.store.count_totp_sealed_by(prefix).await?;
            let is_signing = nodes.iter().any(|node| node.keys.first() == Some(&id));
            let needed_until = signed_until.filter(|_| role == SecretRole::Former && !is_signing);
            let needed_until = needed_until.map(|until| until.after(longest));
            let can_be_dropped = sealed == 0 && needed_until.is_some_and(|until| until <= now);
            keys.push(SecretKeyStatus { id, role, sealed, needed_until, can_be_dropped });
        }
        let newest = newest(self.known_keys.keys[0], &nodes, &signed);
        let nodes = nodes.into_iter().map(|node| SecretNode { name: node.name, keys: node.keys }).collect();
        Ok(SecretStatus { keys, nodes, newest })
    }

    /// The longest time for which what a key has signed is accepted: of a session, or of a mailed link.
    fn longest_use(&self) -> Duration {
        self.config.session.lifetime.max(LinkValidity::LONGEST)
    }

    /// Writes a step of a rotation into the audit log.
    pub(crate) async fn record_secret_step(
        &self,
        context: &Context,
        step: &'static str,
        key: SecretKeyId,
    ) -> Result<(), ActError> {
        let event = Event::SecretKeyChanged { step, key: &key };
        self.store.write_event(self.new_event(context, &event)).await?;
        event.record_for(context);
        Ok(())
    }
}

/// Of the keys that a node or this process signs with, the one that was last to begin. One that has not signed yet comes last of all.
fn newest(own: SecretKeyId, nodes: &[KeyNode], signed: &[SigningTimes]) -> SecretKeyId {
    let begun = |key: SecretKeyId| signed.iter().find(|times| times.key == key).map(|times| times.since);
    let Some(own_since) = begun(own) else { return own };
    let of_nodes = nodes.iter().filter_map(|node| node.keys.first().copied());
    let later = of_nodes.filter_map(|key| Some((begun(key)?, key))).filter(|(since, _)| *since > own_since);
    later.max().map_or(own, |(_, key)| key)
}
