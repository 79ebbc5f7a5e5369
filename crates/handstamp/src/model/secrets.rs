//! The secret keys of a site, by their ids: what each node knows, and the step of a rotation.

use std::fmt;

use handstamp_core::{SecretKeyId, Timestamp};
use uuid::Uuid;

/// The row of a node with the ids of its secret keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyNode {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    /// The key that it signs with, and then the others that it accepts.
    pub(crate) keys: Vec<SecretKeyId>,
    /// How many times it has written its row.
    pub(crate) beats: i64,
    pub(crate) seen_at: Timestamp,
}

impl KeyNode {
    /// Whether it opens what the key has signed.
    pub(crate) fn knows(&self, key: SecretKeyId) -> bool {
        self.keys.contains(&key)
    }

    /// Whether a node with these keys opens what it signs, and it opens what that node signs.
    pub(crate) fn shares(&self, keys: &[SecretKeyId]) -> bool {
        let knows_current = keys.first().is_some_and(|current| self.knows(*current));
        knows_current && self.keys.first().is_some_and(|current| keys.contains(current))
    }
}

/// When a key has signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SigningTimes {
    pub(crate) key: SecretKeyId,
    /// When it began to.
    pub(crate) since: Timestamp,
    /// Until when it may have.
    pub(crate) until: Timestamp,
}

/// The secret keys of a site, as the settings of this process and the running nodes have them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SecretStatus {
    /// The keys of this process, in the order of the settings: the current one first.
    pub keys: Vec<SecretKeyStatus>,
    /// The running nodes.
    pub nodes: Vec<SecretNode>,
    /// The key that all nodes should sign with: of those that a node or this process signs with, the one that was last to begin.
    pub newest: SecretKeyId,
}

/// A secret key of this process.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SecretKeyStatus {
    /// The id.
    pub id: SecretKeyId,
    /// The part of the key in a rotation.
    pub role: SecretRole,
    /// How many secrets of authenticator apps are sealed with it.
    pub sealed: u64,
    /// For a former key the time from which no session and no mailed link needs it. None while a node signs with it.
    pub needed_until: Option<Timestamp>,
    /// Whether it is a former key that nothing needs any more.
    pub can_be_dropped: bool,
}

/// The part of a secret key in a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretRole {
    /// It signs.
    Current,
    /// It is accepted, and has never signed.
    Next,
    /// It is accepted, and has signed before.
    Former,
}

impl fmt::Display for SecretRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Current => "current",
            Self::Next => "next",
            Self::Former => "former",
        })
    }
}

/// A running node and its secret keys.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SecretNode {
    /// The host and the process.
    pub name: String,
    /// The ids of its keys: the one that it signs with, and then the others that it accepts.
    pub keys: Vec<SecretKeyId>,
}

impl SecretStatus {
    /// The key that this process signs with.
    pub fn current(&self) -> SecretKeyId {
        self.keys[0].id
    }

    /// The key that comes to the front next, if there is one.
    pub fn next(&self) -> Option<SecretKeyId> {
        self.keys.iter().find(|key| key.role == SecretRole::Next).map(|key| key.id)
    }

    /// The running nodes that do not accept a key.
    pub fn nodes_without(&self, key: SecretKeyId) -> Vec<&SecretNode> {
        self.nodes.iter().filter(|node| !node.keys.contains(&key)).collect()
    }

    /// The running nodes that do not sign with a key.
    pub fn nodes_not_signing_with(&self, key: SecretKeyId) -> Vec<&SecretNode> {
        self.nodes.iter().filter(|node| node.keys.first() != Some(&key)).collect()
    }

    /// The pairs of running nodes of which one does not accept what the other signs: the node, and the one that signs.
    pub fn unshared(&self) -> Vec<(&SecretNode, &SecretNode)> {
        let pairs = self.nodes.iter().flat_map(|node| self.nodes.iter().map(move |signer| (node, signer)));
        pairs.filter(|(node, signer)| signer.keys.first().is_some_and(|key| !node.keys.contains(key))).collect()
    }
}
