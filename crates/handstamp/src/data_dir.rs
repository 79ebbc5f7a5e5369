//! The folder where Handstamp keeps what must not be lost: the database and the secret.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use handstamp_core::SecretKey;
use zeroize::Zeroizing;

use crate::private_files;
use crate::world::{Rng, SystemRng};

/// A folder for us alone, with the secret in it, and perhaps the database.
#[derive(Clone, Debug)]
pub struct DataDir(PathBuf);

impl DataDir {
    /// Makes the folder if it is not there, closed to others whatever the umask and with a `.gitignore` that leaves it out.
    ///
    /// # Errors
    /// In words for the operator, also when others may enter a folder that was there, or it belongs to another user.
    pub fn open(path: &Path) -> Result<Self, String> {
        private_files::make_folder(path)?;
        private_files::refuse_if_open_to_others(path)?;
        Ok(Self(path.to_owned()))
    }

    /// The database of this folder: SQLite in the file `handstamp.db`, where [`DatabaseUrl::path`](crate::DatabaseUrl::path)
    /// says it is.
    #[cfg(feature = "sqlite")]
    pub fn database(&self) -> crate::DatabaseUrl {
        crate::DatabaseUrl::in_folder(&self.0)
    }

    /// The secret that was made at the first start, or at this one if it is the first.
    ///
    /// # Errors
    /// In words for the operator, without the secret.
    pub fn secret_key(&self) -> Result<SecretKey, String> {
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

    /// Writes the whole secret beside its place and then links it there, so that nobody ever reads half of one, and of
    /// two that start at once both use the same.
    fn make_secret_key(&self, path: &Path) -> std::io::Result<()> {
        let mut random = Zeroizing::new([0; 32]);
        SystemRng.fill(random.as_mut());
        let unfinished = self.0.join(format!("secret.key.{}", std::process::id()));
        // Left by a process of the same number that was killed just here.
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

#[cfg(feature = "sqlite")]
impl crate::Config {
    /// The defaults, with the accounts and a secret in a folder, which are made if they are not there. Others must not read
    /// the folder. The accounts are in its file `handstamp.db`, whose path [`DatabaseUrl::path`](crate::DatabaseUrl::path)
    /// gives for a pool of your own; keep its write transactions short, since all sign-ins wait for them.
    ///
    /// # Errors
    /// When the URL is not one that people can reach a site by, or the folder cannot be made or can be read by others.
    pub fn in_folder(folder: impl AsRef<Path>, public_url: &str) -> Result<Self, crate::Error> {
        let url = crate::PublicUrl::parse(public_url);
        let url = url.map_err(|error| crate::Error::config(format!("{public_url} {error}")))?;
        let opened = DataDir::open(folder.as_ref()).and_then(|folder| Ok((folder.database(), folder.secret_key()?)));
        let (database, secret) = opened.map_err(crate::store::OpenError::File)?;
        Ok(Self::new(url, database, secret))
    }
}
