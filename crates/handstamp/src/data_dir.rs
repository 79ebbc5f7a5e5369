//! The data folder, which holds the database and the secret key.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use handstamp_core::{SecretKey, SecretKeyId};
use zeroize::Zeroizing;

use crate::environment::{Environment, Rng, SystemRng};
use crate::store::OpenError;
use crate::{Error, private_files};

/// The file of the secret that signs, of the one that comes next, and of those that have signed before.
const CURRENT: &str = "secret.key";
const NEXT: &str = "secret.next";
const FORMER: &str = "secret.former";

/// A folder that only the user of this process can enter. It holds the secret key and, with SQLite, the database.
#[derive(Clone, Debug)]
pub struct DataDir(PathBuf);

impl DataDir {
    /// Opens the folder, and creates it if it does not exist: with mode 0700 whatever the umask, and with a `.gitignore` that
    /// excludes it.
    ///
    /// # Errors
    /// [`is_file`](Error::is_file), also when an existing folder is accessible to other users or belongs to one.
    pub fn open(path: &Path) -> Result<Self, Error> {
        private_files::make_folder(path).map_err(file_error)?;
        private_files::refuse_if_open_to_others(path).map_err(file_error)?;
        Ok(Self(path.to_owned()))
    }

    /// The database of this folder: SQLite in the file `handstamp.db`, whose path
    /// [`DatabaseUrl::path`](crate::DatabaseUrl::path) returns.
    #[cfg(feature = "sqlite")]
    pub fn database(&self) -> crate::DatabaseUrl {
        crate::DatabaseUrl::in_folder(&self.0)
    }

    /// The folder `outbox` in this folder, for the mails of a site on the local machine
    /// ([`MailConfig::local_folder`](crate::MailConfig::local_folder)). The first mail creates it.
    pub fn outbox(&self) -> PathBuf {
        self.0.join("outbox")
    }

    /// The file `node.state` in this folder ([`Config::state_file`](crate::Config::state_file)).
    pub fn state_file(&self) -> PathBuf {
        self.0.join("node.state")
    }

    /// The secret key in the file `secret.key`, which is created at the first start.
    ///
    /// # Errors
    /// [`is_file`](Error::is_file), without the secret, also when the file holds a secret that is too weak.
    pub fn secret_key(&self) -> Result<SecretKey, Error> {
        self.read_secret_key().map_err(file_error)
    }

    /// The secrets beside it, which are accepted and do not sign. The one that comes next is in the file `secret.next`, and each former
    /// one on a line of the file `secret.former`. Neither file need exist.
    ///
    /// # Errors
    /// As [`secret_key`](Self::secret_key).
    pub fn secret_key_fallbacks(&self) -> Result<Vec<SecretKey>, Error> {
        let read = || -> Result<_, String> {
            let mut known = vec![self.read_secret_key()?.id()];
            let mut fallbacks = self.read_secrets(NEXT)?;
            fallbacks.extend(self.read_secrets(FORMER)?);
            // A promotion that was interrupted leaves the current secret among the former ones.
            fallbacks.retain(|secret| {
                let is_new = !known.contains(&secret.id());
                known.push(secret.id());
                is_new
            });
            Ok(fallbacks)
        };
        read().map_err(file_error)
    }

    /// Creates the file `secret.next` with a new secret, which nodes accept from their next start. Returns false, with nothing done, if
    /// there is one already.
    ///
    /// # Errors
    /// [`is_file`](Error::is_file).
    pub fn add_next_secret(&self) -> Result<bool, Error> {
        let path = self.0.join(NEXT);
        let add = || match path.try_exists() {
            Ok(true) => Ok(false),
            Ok(false) => self.make_secret(&path),
            Err(error) => Err(error),
        };
        add().map_err(|error| file_error(private_files::cannot("make", &path, &error)))
    }

    /// Makes the secret of `secret.next` that of `secret.key`, and adds the former one to `secret.former`. A process that is killed
    /// meanwhile leaves one of the two states.
    ///
    /// # Errors
    /// [`is_file`](Error::is_file), also when there is no `secret.next`.
    pub fn promote_next_secret(&self) -> Result<(), Error> {
        self.promote().map_err(file_error)
    }

    fn promote(&self) -> Result<(), String> {
        let (next, current) = (self.0.join(NEXT), self.0.join(CURRENT));
        if self.read_secrets(NEXT)?.is_empty() {
            return Err(format!("there is no {}", next.display()));
        }
        // First the former secret is accepted as a fallback as well, and then the next one replaces it.
        let mut former = Zeroizing::new(self.read_text(CURRENT)?.trim_end().to_owned());
        former.push('\n');
        former.push_str(&self.read_text(FORMER)?);
        self.replace(FORMER, &former)?;
        let renamed = fs::rename(&next, &current).and_then(|()| private_files::sync_folder(&current));
        renamed.map_err(|error| private_files::cannot("replace", &current, &error))
    }

    /// Removes secrets from `secret.former`.
    ///
    /// # Errors
    /// [`is_file`](Error::is_file).
    pub fn drop_former_secrets(&self, dropped: &[SecretKeyId]) -> Result<(), Error> {
        let drop = || {
            let text = self.read_text(FORMER)?;
            let stays = |line: &&str| SecretKey::parse(line).is_ok_and(|secret| !dropped.contains(&secret.id()));
            let mut kept = Zeroizing::new(String::new());
            for line in text.lines().filter(stays) {
                kept.push_str(line);
                kept.push('\n');
            }
            self.replace(FORMER, &kept)
        };
        drop().map_err(file_error)
    }

    /// The files of the secret key by name, with their content: those whose name is `secret.` and one word.
    ///
    /// # Errors
    /// [`is_file`](Error::is_file) when one cannot be read, or is accessible to other users.
    pub fn secret_files(&self) -> Result<BTreeMap<String, Zeroizing<String>>, Error> {
        self.read_secret_files().map_err(file_error)
    }

    fn read_secret_files(&self) -> Result<BTreeMap<String, Zeroizing<String>>, String> {
        let cannot_read = |error: std::io::Error| private_files::cannot("read", &self.0, &error);
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(&self.0).map_err(cannot_read)? {
            let Ok(name) = entry.map_err(cannot_read)?.file_name().into_string() else { continue };
            if is_secret_file(&name) {
                let path = self.0.join(&name);
                private_files::refuse_if_open_to_others(&path)?;
                let text = fs::read_to_string(&path).map_err(|error| private_files::cannot("read", &path, &error))?;
                files.insert(name, Zeroizing::new(text));
            }
        }
        Ok(files)
    }

    /// Puts files of the secret key in their places, as a backup has them. A former file with another content is kept: its new path is
    /// returned.
    ///
    /// # Errors
    /// [`is_file`](Error::is_file) when one cannot be written, or its name is that of no such file.
    pub fn put_secret_files(&self, files: &BTreeMap<String, Zeroizing<String>>) -> Result<Vec<PathBuf>, Error> {
        let mut kept = Vec::new();
        for (name, text) in files {
            let path = self.0.join(name);
            if !is_secret_file(name) {
                return Err(file_error(format!("{name} is the name of no secret file")));
            }
            let put = self.put_secret_file(&path, text);
            kept.extend(put.map_err(|error| file_error(private_files::cannot("write", &path, &error)))?);
        }
        Ok(kept)
    }

    fn put_secret_file(&self, path: &Path, text: &str) -> std::io::Result<Option<PathBuf>> {
        let former = match fs::read_to_string(path).map(Zeroizing::new) {
            Ok(known) if *known == text => return Ok(None),
            Ok(_) => Some(private_files::name_for_former(path, Environment::system().now())),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let unfinished = write_unfinished(path, text)?;
        if let Some(former) = &former {
            fs::hard_link(path, former)?;
        }
        fs::rename(&unfinished, path)?;
        private_files::sync_folder(path)?;
        Ok(former)
    }

    fn read_secret_key(&self) -> Result<SecretKey, String> {
        let path = self.0.join(CURRENT);
        let is_there = path.try_exists().map_err(|error| private_files::cannot("read", &path, &error))?;
        if !is_there {
            self.make_secret(&path).map_err(|error| private_files::cannot("make", &path, &error))?;
        }
        private_files::refuse_if_open_to_others(&path)?;
        let text = fs::read_to_string(&path).map(Zeroizing::new);
        let text = text.map_err(|error| private_files::cannot("read", &path, &error))?;
        parse(text.trim_end(), &path)
    }

    /// The secrets of a file, each on a line; none if there is no file.
    fn read_secrets(&self, name: &str) -> Result<Vec<SecretKey>, String> {
        let path = self.0.join(name);
        self.read_text(name)?.lines().map(|line| parse(line, &path)).collect()
    }

    /// The text of a file that others cannot read; empty if there is no file.
    fn read_text(&self, name: &str) -> Result<Zeroizing<String>, String> {
        let path = self.0.join(name);
        private_files::refuse_if_open_to_others(&path)?;
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Zeroizing::new(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Zeroizing::default()),
            Err(error) => Err(private_files::cannot("read", &path, &error)),
        }
    }

    /// Replaces a file by a private one with this text, at once.
    fn replace(&self, name: &str, text: &str) -> Result<(), String> {
        let path = self.0.join(name);
        let replace = || {
            let unfinished = write_unfinished(&path, text)?;
            fs::rename(&unfinished, &path)?;
            private_files::sync_folder(&path)
        };
        replace().map_err(|error| private_files::cannot("write", &path, &error))
    }

    /// Writes a new secret to a temporary file and then links it to its path. So no process reads a partial secret, and two
    /// processes that start at once use the same one. Returns false if there is one already.
    fn make_secret(&self, path: &Path) -> std::io::Result<bool> {
        let mut random = Zeroizing::new([0; 32]);
        SystemRng.fill(random.as_mut());
        let mut text = SecretKey::generate(*random);
        text.push('\n');
        let unfinished = write_unfinished(path, &text)?;
        let linked = fs::hard_link(&unfinished, path);
        fs::remove_file(&unfinished)?;
        match linked {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
            Ok(()) => private_files::sync_folder(path).map(|()| true),
        }
    }
}

fn parse(text: &str, path: &Path) -> Result<SecretKey, String> {
    SecretKey::parse(text).map_err(|weakness| format!("the secret in {} {weakness}", path.display()))
}

/// Writes a text to a temporary file beside this one, and syncs it.
fn write_unfinished(path: &Path, text: &str) -> std::io::Result<PathBuf> {
    let (mut file, unfinished) = private_files::make_unfinished(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(unfinished)
}

/// Whether a file of this name is one of the secret key, such as `secret.key`.
fn is_secret_file(name: &str) -> bool {
    name.strip_prefix("secret.")
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_lowercase()))
}

fn file_error(message: String) -> Error {
    OpenError::File(message).into()
}

#[cfg(feature = "sqlite")]
impl crate::Config {
    /// The defaults, with a SQLite database and a secret key in a folder, which are created if they do not exist. The folder must
    /// not be accessible to other users. The accounts are in its file `handstamp.db`, whose path
    /// [`DatabaseUrl::path`](crate::DatabaseUrl::path) returns for a pool of your own. Keep the write transactions of that pool
    /// short, since all sign-ins wait for them.
    ///
    /// # Errors
    /// When [`PublicUrl::parse`](crate::PublicUrl::parse) rejects the URL, or the folder cannot be created or is accessible to
    /// other users.
    pub fn in_folder(folder: impl AsRef<Path>, public_url: &str) -> Result<Self, Error> {
        let url = crate::PublicUrl::parse(public_url);
        let url = url.map_err(|error| Error::config(format!("{public_url} {error}")))?;
        let folder = DataDir::open(folder.as_ref())?;
        let mut config = Self::new(url, folder.database(), folder.secret_key()?);
        config.secret_key_fallbacks = folder.secret_key_fallbacks()?;
        config.mail.local_folder = Some(folder.outbox());
        config.state_file = Some(folder.state_file());
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use handstamp_testing::TempFolder;

    use super::*;

    fn ids(folder: &DataDir) -> Vec<SecretKeyId> {
        let fallbacks = folder.secret_key_fallbacks().unwrap();
        std::iter::once(folder.secret_key().unwrap()).chain(fallbacks).map(|secret| secret.id()).collect()
    }

    #[test]
    fn a_rotation_of_the_files_keeps_every_secret_until_it_is_dropped() {
        let temporary = TempFolder::new();
        let folder = DataDir::open(&temporary.path().join("data")).unwrap();
        let first = ids(&folder);
        assert!(folder.promote_next_secret().unwrap_err().is_file(), "there is no next secret");
        assert!(folder.add_next_secret().unwrap());
        assert!(!folder.add_next_secret().unwrap(), "there is one already");
        let [current, next] = ids(&folder)[..] else { panic!("two secrets") };
        assert_eq!([current], first[..]);
        folder.promote_next_secret().unwrap();
        assert_eq!(ids(&folder), [next, current]);
        folder.add_next_secret().unwrap();
        folder.promote_next_secret().unwrap();
        assert_eq!(ids(&folder)[1..], [next, current]);
        for name in [CURRENT, FORMER] {
            let mode = fs::metadata(folder.0.join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 3, "no temporary file is left beside .gitignore");
        folder.drop_former_secrets(&[current]).unwrap();
        assert_eq!(ids(&folder)[1..], [next]);
        fs::set_permissions(folder.0.join(FORMER), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(folder.secret_key_fallbacks().unwrap_err().is_file(), "others can read it");
    }

    #[test]
    fn a_promotion_that_was_interrupted_leaves_the_state_before_it() {
        let temporary = TempFolder::new();
        let folder = DataDir::open(&temporary.path().join("data")).unwrap();
        folder.add_next_secret().unwrap();
        let before = ids(&folder);
        // Killed between the two steps.
        fs::copy(folder.0.join(CURRENT), folder.0.join(FORMER)).unwrap();
        assert_eq!(ids(&folder), before);
        folder.promote_next_secret().unwrap();
        assert_eq!(ids(&folder), [before[1], before[0]]);
    }
}
