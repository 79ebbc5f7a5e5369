//! `handstamp secret`: generates secrets, makes the steps of a rotation, and shows which keys the running nodes know.

use std::fmt::Write;
use std::path::Path;

use handstamp::environment::{Rng, SystemRng};
use handstamp::{DataDir, SecretKey, SecretKeyId, SecretKeyStatus, SecretNode, SecretRole, SecretStatus, SecretStep};
use serde_json::json;
use zeroize::Zeroizing;

use crate::cli::{AddressArgs, DataArgs, OutputFlags, SecretCommand};
use crate::commands::{say, with_handstamp};
use crate::{CliError, plural, table};

/// Where the secret key of this site is kept.
enum Source {
    /// In files of the data folder.
    Folder(DataDir),
    /// In a setting.
    Settings,
}

pub(crate) fn run(command: &SecretCommand) -> Result<(), CliError> {
    match command {
        SecretCommand::Generate => generate(),
        SecretCommand::Rotate { drop_former, data } => rotate(data, *drop_former),
        SecretCommand::Check { output, data } => check(data, *output),
    }
}

fn generate() -> Result<(), CliError> {
    let mut random = Zeroizing::new([0; 32]);
    SystemRng.fill(random.as_mut());
    say(&SecretKey::generate(*random))
}

fn rotate(data: &DataArgs, drop_former: bool) -> Result<(), CliError> {
    let settings = crate::settings(data, &AddressArgs::default())?;
    let source = match settings.gives_secret_key() {
        true => None,
        false => Some(settings.data_dir.clone()),
    };
    with_handstamp(settings, async |handstamp| {
        let source = match source {
            Some(path) => Source::Folder(DataDir::open(&path).map_err(CliError::failure)?),
            None => Source::Settings,
        };
        let secrets = handstamp.secrets();
        let status = secrets.status().await?;
        let step = match drop_former {
            true => Step::dropping(&status)?,
            // A former secret does not keep the next rotation waiting.
            false => match Step::of(&status) {
                Step::Drop(_) | Step::Wait(_) => Step::Add,
                step => step,
            },
        };
        match (step, &source) {
            (Step::Share(reason) | Step::Wait(reason), _) => return Err(CliError::failure(reason)),
            (Step::Add, Source::Folder(folder)) => {
                if !folder.add_next_secret().map_err(CliError::failure)? {
                    return Err(CliError::failure("another command has added a secret meanwhile"));
                }
                let added = folder.secret_key_fallbacks().map_err(CliError::failure)?;
                let added = added.first().ok_or_else(|| CliError::failure("secret.next is gone"))?.id();
                secrets.record(SecretStep::Added, added).await?;
                say(&format!("added the secret {added}, which does not sign yet"))?;
                say(&match status.nodes.is_empty() {
                    true => "no node is running: type the command again to make it the secret that signs".to_owned(),
                    false => "next step: restart every node, and type the command again".to_owned(),
                })?;
            }
            (Step::Promote(key), Source::Folder(folder)) => {
                secrets.record(SecretStep::Promoted, key).await?;
                folder.promote_next_secret().map_err(CliError::failure)?;
                say(&format!("the secret {key} signs from the next start of each node"))?;
                say("next step: restart one node after the other")?;
            }
            (Step::Drop(keys), Source::Folder(folder)) => {
                for key in &keys {
                    secrets.record(SecretStep::Dropped, *key).await?;
                }
                folder.drop_former_secrets(&keys).map_err(CliError::failure)?;
                say(&format!("removed {}", names(&keys)))?;
                say("next step: restart one node after the other")?;
            }
            (step @ (Step::Accept(..) | Step::Sign(..)), source) => return Err(CliError::failure(step.text(source))),
            (step, Source::Settings) => say(&step.text(&source))?,
        }
        Ok(())
    })
}

fn check(data: &DataArgs, output: OutputFlags) -> Result<(), CliError> {
    let settings = crate::settings(data, &AddressArgs::default())?;
    let folder = (!settings.gives_secret_key()).then(|| settings.data_dir.clone());
    with_handstamp(settings, async |handstamp| {
        let source = match folder {
            Some(path) => Source::Folder(DataDir::open(&path).map_err(CliError::failure)?),
            None => Source::Settings,
        };
        let status = handstamp.secrets().status().await?;
        let step = Step::of(&status);
        let text = step.text(&source);
        if output.json {
            say(&format!("{:#}", as_json(&status, &text)))?;
        } else {
            show(&status)?;
        }
        match step {
            Step::Share(reason) => Err(CliError::failure(reason)),
            _ if output.json => Ok(()),
            _ => say(&format!("\nnext step: {text}")),
        }
    })
}

/// Whether the secret keys of this status hold a site up: the reason if nodes do not share them, or the next step of a rotation that has begun.
pub(crate) fn assess(status: &SecretStatus, folder: Option<&Path>) -> Result<Option<String>, String> {
    let source = match folder {
        Some(path) => Source::Folder(DataDir::open(path).map_err(|error| error.to_string())?),
        None => Source::Settings,
    };
    match Step::of(status) {
        Step::Share(reason) => Err(reason),
        step @ (Step::Accept(..) | Step::Sign(..)) => Ok(Some(step.text(&source))),
        _ => Ok(None),
    }
}

/// The next step of a rotation.
enum Step {
    /// Nodes do not share their keys, for this reason.
    Share(String),
    /// These nodes must accept the next key.
    Accept(SecretKeyId, Vec<String>),
    /// The next key can come to the front.
    Promote(SecretKeyId),
    /// These nodes must sign with the current key.
    Sign(SecretKeyId, Vec<String>),
    /// These former keys can be removed.
    Drop(Vec<SecretKeyId>),
    /// A former key is needed for some more time, for this reason.
    Wait(String),
    /// A new secret can be added.
    Add,
}

impl Step {
    fn of(status: &SecretStatus) -> Self {
        if let Some((node, signer)) = status.unshared().first() {
            let (key, node, signer) = (signer.keys[0], &node.name, &signer.name);
            return Self::Share(format!(
                "{node} does not know the secret {key}, which {signer} signs with, so it cannot end sessions that were used there. \
                 Add that secret to secret_key_fallbacks of {node}, and restart it"
            ));
        }
        let current = status.current();
        let strangers = names_of(&status.nodes_without(current));
        if !strangers.is_empty() {
            return Self::Share(format!(
                "this command has the secret {current}, which {} does not know: give it the settings of the server",
                strangers.join(", ")
            ));
        }
        let not_signing = names_of(&status.nodes_not_signing_with(status.newest));
        if !not_signing.is_empty() {
            return Self::Sign(status.newest, not_signing);
        }
        let Some(next) = status.next() else { return Self::of_former(status) };
        let without = names_of(&status.nodes_without(next));
        if without.is_empty() { Self::Promote(next) } else { Self::Accept(next, without) }
    }

    /// The step after a rotation. A former key that is still needed does not keep `rotate` from adding another.
    fn of_former(status: &SecretStatus) -> Self {
        let droppable: Vec<_> = status.keys.iter().filter(|key| key.can_be_dropped).map(|key| key.id).collect();
        match status.keys.iter().find(|key| key.role == SecretRole::Former && !key.can_be_dropped) {
            _ if !droppable.is_empty() => Self::Drop(droppable),
            Some(key) => Self::Wait(why_needed(key)),
            None => Self::Add,
        }
    }

    /// The step that removes former keys.
    fn dropping(status: &SecretStatus) -> Result<Self, CliError> {
        match Self::of(status) {
            step @ (Self::Share(_) | Self::Sign(..)) => Ok(step),
            _ => match Self::of_former(status) {
                step @ Self::Drop(_) => Ok(step),
                Self::Wait(reason) => Err(CliError::failure(reason)),
                _ => Err(CliError::failure("there is no former secret")),
            },
        }
    }

    fn text(&self, source: &Source) -> String {
        let in_folder = matches!(source, Source::Folder(_));
        match self {
            Self::Share(reason) | Self::Wait(reason) => reason.clone(),
            Self::Accept(key, nodes) if in_folder => {
                format!("{} must be restarted to know the secret {key}, before it can sign", nodes.join(", "))
            }
            Self::Accept(key, nodes) => format!(
                "add the secret {key} to secret_key_fallbacks (HANDSTAMP_SECRET_KEY_FALLBACKS) of {}, and restart there, before it can sign",
                nodes.join(", ")
            ),
            Self::Promote(_) if in_folder => "handstamp secret rotate".to_owned(),
            Self::Promote(key) => format!(
                "every running node knows the secret {key}: on one node after the other, set secret_key (HANDSTAMP_SECRET_KEY) to it, \
                 put the former secret into secret_key_fallbacks in its place, and restart"
            ),
            Self::Sign(key, nodes) if in_folder => {
                format!("{} must be restarted to sign with the secret {key}", nodes.join(", "))
            }
            Self::Sign(key, nodes) => format!(
                "set secret_key (HANDSTAMP_SECRET_KEY) of {} to the secret {key}, with the former one in secret_key_fallbacks, and restart there",
                nodes.join(", ")
            ),
            Self::Drop(keys) if in_folder => {
                format!("{} can be removed: handstamp secret rotate --drop-former", names(keys))
            }
            Self::Drop(keys) => format!(
                "{} can be removed from secret_key_fallbacks (HANDSTAMP_SECRET_KEY_FALLBACKS) of every node",
                names(keys)
            ),
            Self::Add if in_folder => "none; handstamp secret rotate begins a rotation".to_owned(),
            Self::Add => {
                "none; to begin a rotation, add a new secret of handstamp secret generate to secret_key_fallbacks \
                          (HANDSTAMP_SECRET_KEY_FALLBACKS) of every node, and restart each"
                    .to_owned()
            }
        }
    }
}

/// Why a former key cannot be removed yet.
fn why_needed(key: &SecretKeyStatus) -> String {
    let id = key.id;
    match (key.needed_until, key.sealed) {
        (None, _) => format!("a running node signs with the former secret {id}"),
        (Some(until), 0) => format!("the former secret {id} is needed until {until}, when its last session has ended"),
        (Some(until), sealed) => format!(
            "the former secret {id} is needed until {until}, and {} sealed with it: a running node seals them anew within an hour",
            plural(sealed, "authenticator app is", "authenticator apps are")
        ),
    }
}

fn names(keys: &[SecretKeyId]) -> String {
    let mut text = if keys.len() == 1 { "the former secret ".to_owned() } else { "the former secrets ".to_owned() };
    for (index, key) in keys.iter().enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        let _ = write!(text, "{separator}{key}");
    }
    text
}

fn names_of(nodes: &[&SecretNode]) -> Vec<String> {
    nodes.iter().map(|node| node.name.clone()).collect()
}

fn show(status: &SecretStatus) -> Result<(), CliError> {
    let count = status.nodes.len() as u64;
    let keys: Vec<_> = status
        .keys
        .iter()
        .map(|key| {
            let known = count - status.nodes_without(key.id).len() as u64;
            let needed = key.needed_until.map(|until| until.to_string()).unwrap_or_default();
            vec![
                key.id.to_string(),
                key.role.to_string(),
                format!("{known} of {}", plural(count, "node", "nodes")),
                key.sealed.to_string(),
                needed,
            ]
        })
        .collect();
    table::print(&["secret", "role", "known by", "sealed apps", "needed until"], &keys).map_err(CliError::failure)?;
    if status.nodes.is_empty() {
        return say("\nno node is running");
    }
    say("")?;
    let row = |node: &SecretNode| {
        let keys: Vec<_> = node.keys.iter().map(SecretKeyId::to_string).collect();
        let (signs, accepts) =
            keys.split_first().map(|(first, rest)| (first.clone(), rest.join(", "))).unwrap_or_default();
        vec![node.name.clone(), signs, accepts]
    };
    let nodes: Vec<_> = status.nodes.iter().map(row).collect();
    table::print(&["node", "signs with", "also accepts"], &nodes).map_err(CliError::failure)
}

fn as_json(status: &SecretStatus, step: &str) -> serde_json::Value {
    let ids = |keys: &[SecretKeyId]| keys.iter().map(SecretKeyId::to_string).collect::<Vec<_>>();
    let key = |key: &SecretKeyStatus| {
        json!({
            "id": key.id.to_string(),
            "role": key.role.to_string(),
            "sealed": key.sealed,
            "needed_until": key.needed_until.map(|until| until.to_string()),
            "can_be_dropped": key.can_be_dropped,
        })
    };
    let node = |node: &SecretNode| json!({ "name": node.name, "keys": ids(&node.keys) });
    json!({
        "keys": status.keys.iter().map(key).collect::<Vec<_>>(),
        "newest": status.newest.to_string(),
        "nodes": status.nodes.iter().map(node).collect::<Vec<_>>(),
        "next_step": step,
    })
}
