//! Writes mails to a folder, for sites on the local machine and for tests.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::environment::{MailError, MailErrorKind, MailFuture, MailTransport, OutgoingMail};
use crate::private_files;

/// A folder in which each mail is a file. Its name is the id of the mail, so one that is sent again replaces itself.
pub(super) struct FolderTransport(PathBuf);

impl FolderTransport {
    /// A folder that the first mail creates.
    pub(super) fn new(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// A folder that must be writable, and is created if it does not exist.
    ///
    /// # Errors
    /// A message for the operator.
    pub(super) fn open(folder: &Path) -> Result<Self, String> {
        let probe = folder.join(format!(".{}", std::process::id()));
        private_files::make_folder(folder)?;
        let written = private_files::make_file(&probe).and_then(|_| fs::remove_file(&probe));
        written.map_err(|error| private_files::cannot("write into", folder, &error))?;
        Ok(Self::new(folder))
    }
}

/// The path of the file of a mail.
pub(super) fn path_of(folder: &Path, mail: &OutgoingMail) -> PathBuf {
    let id = mail.message_id.split('@').next().unwrap_or_default();
    folder.join(format!("{id}.eml"))
}

impl MailTransport for FolderTransport {
    fn send<'a>(&'a self, mail: &'a OutgoingMail) -> MailFuture<'a, String> {
        let (folder, path, message) = (self.0.clone(), path_of(&self.0, mail), mail.message.clone());
        Box::pin(async move {
            let failed = |reason| MailError::new(MailErrorKind::Temporary, reason);
            let written = tokio::task::spawn_blocking(move || {
                write(&folder, &path, &message).map(|()| format!("written to {}", path.display()))
            });
            written.await.map_err(|error| failed(error.to_string()))?.map_err(failed)
        })
    }
}

/// Writes a whole file under another name first, so that no reader finds a part of it.
fn write(folder: &Path, path: &Path, message: &[u8]) -> Result<(), String> {
    private_files::make_folder(folder)?;
    let unfinished = path.with_extension(format!("{}.part", std::process::id()));
    let written = || {
        // An earlier process with the same id may have been killed before it finished this file.
        let _ = fs::remove_file(&unfinished);
        let mut file = private_files::make_file(&unfinished)?.ok_or(ErrorKind::AlreadyExists)?;
        file.write_all(message)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    };
    written().map_err(|error| private_files::cannot("write", path, &error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use handstamp_testing::TempFolder;

    use super::*;

    #[tokio::test]
    async fn a_mail_is_a_private_file_that_replaces_itself() {
        let folder = TempFolder::new();
        let outbox = folder.path().join("outbox");
        let mut mail = super::super::tests::outgoing();
        for text in ["first", "second"] {
            mail.message = text.as_bytes().to_vec();
            let reply = FolderTransport::new(&outbox).send(&mail).await.unwrap();
            assert_eq!(reply, format!("written to {}", path_of(&outbox, &mail).display()));
        }
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let path = path_of(&outbox, &mail);
        assert_eq!((mode(&outbox), mode(&path)), (0o700, 0o600));
        assert_eq!(fs::read(&path).unwrap(), b"second");
        let files: Vec<_> = fs::read_dir(&outbox).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(files.len(), 2, "the mail and .gitignore: {files:?}");
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_is_an_error_that_names_it() {
        let folder = TempFolder::new();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(FolderTransport::open(&file).err().unwrap().contains("is a file"));
        let error = FolderTransport::new(&file).send(&super::super::tests::outgoing()).await.unwrap_err();
        assert!(error.summary().contains("is a file, and must be a folder"), "{error}");
        assert_eq!(error.kind(), MailErrorKind::Temporary);
    }
}
