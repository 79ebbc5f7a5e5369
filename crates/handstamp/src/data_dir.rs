//! The data folder, which holds the database and the secret key.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use handstamp_core::SecretKey;
use zeroize::Zeroizing;

use crate::environment::{Environment, Rng, SystemRng};
use crate::store::OpenError;
use crate::{Error, private_files};

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
        let unfinished = path.with_extension(format!("restoring-{}", std::process::id()));
        let _ = fs::remove_file(&unfinished);
        let mut file = private_files::make_file(&unfinished)?.ok_or(ErrorKind::AlreadyExists)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        if let Some(former) = &former {
            fs::hard_link(path, former)?;
        }
        fs::rename(&unfinished, path)?;
        fs::File::open(&self.0)?.sync_all()?;
        Ok(former)
    }

    fn read_secret_key(&self) -> Result<SecretKey, String> {
        let path = self.0.join("secret.key");
        let is_there = path.try_exists().map_err(|error| private_files::cannot("read", &path, &error))?;
        if !is_there {
            self.make_secret_key(&path).map_err(|error| private_files::cannot("make", &path, &error))?;
        }
        private_files::refuse_if_open_to_others(&path)?;
        let text = fs::read_to_string(&path).map(Zeroizing::new);
        let text = text.map_err(|error| private_files::cannot("read", &path, &error))?;
        SecretKey::parse(text.trim_end()).map_err(|weakness| format!("the secret in {} {weakness}", path.display()))
    }

    /// Writes the whole secret to a temporary file and then links it to its path. So no process reads a partial secret, and two
    /// processes that start at once use the same one.
    fn make_secret_key(&self, path: &Path) -> std::io::Result<()> {
        let mut random = Zeroizing::new([0; 32]);
        SystemRng.fill(random.as_mut());
        let unfinished = self.0.join(format!("secret.key.{}", std::process::id()));
        // An earlier process with the same id may have been killed before it removed this file.
        let _ = fs::remove_file(&unfinished);
        let mut file = private_files::make_file(&unfinished)?.ok_or(ErrorKind::AlreadyExists)?;
        file.write_all(SecretKey::generate(*random).as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        let linked = fs::hard_link(&unfinished, path);
        fs::remove_file(&unfinished)?;
        match linked {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            _ => fs::File::open(&self.0)?.sync_all(),
        }
    }
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
        config.mail.local_folder = Some(folder.outbox());
        config.state_file = Some(folder.state_file());
        Ok(config)
    }
}
