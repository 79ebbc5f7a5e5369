//! `handstamp export --users`: all users with the hashes of their passwords, as `handstamp import` reads them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use handstamp::Handstamp;
use handstamp::private_files::cannot;

use crate::cli::ExportArgs;
use crate::commands::with_handstamp;
use crate::settings::Settings;
use crate::{CliError, plural};

/// Exports all users.
///
/// # Errors
/// When the file exists or cannot be written, or the database cannot be read.
pub(crate) fn run(settings: Settings, request: &ExportArgs) -> Result<(), CliError> {
    if let Some(path) = request.file.as_deref().filter(|path| !request.force && path.symlink_metadata().is_ok()) {
        return Err(CliError::usage(format!("{} exists; replace it with --force", path.display())));
    }
    with_handstamp(settings, async |handstamp| {
        let mut output = Output::open(request.file.as_deref())?;
        let users = export(handstamp, &mut output).await?;
        output.finish(request.force)?;
        let _ = writeln!(
            io::stderr(),
            "handstamp: exported {} with the hashes of their passwords: an attacker who has them can try passwords without limit",
            plural(users, "user", "users")
        );
        Ok(())
    })
}

async fn export(handstamp: &Handstamp, output: &mut Output) -> Result<u64, CliError> {
    let (mut pages, mut count) = (handstamp.users().export(), 0);
    loop {
        let page = pages.next_page().await?;
        if page.is_empty() {
            return Ok(count);
        }
        count += page.len() as u64;
        for user in page {
            let mut line = serde_json::to_vec(&user).map_err(CliError::failure)?;
            line.push(b'\n');
            output.write(&line)?;
        }
    }
}

/// The file that is made, beside its name until it is complete, or standard output.
enum Output {
    File { file: BufWriter<File>, partial: PathBuf, path: PathBuf },
    Standard(io::StdoutLock<'static>),
}

impl Output {
    fn open(path: Option<&Path>) -> Result<Self, CliError> {
        let Some(path) = path else { return Ok(Self::Standard(io::stdout().lock())) };
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        // That of a run that was killed. The new one must not be a file that another user has opened.
        let _ = fs::remove_file(&partial);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial);
        let file = file.map_err(|error| CliError::failure(cannot("make", &partial, &error)))?;
        Ok(Self::File { file: BufWriter::new(file), partial, path: path.to_owned() })
    }

    fn write(&mut self, line: &[u8]) -> Result<(), CliError> {
        match self {
            Self::File { file, partial, .. } => {
                file.write_all(line).map_err(|error| CliError::failure(cannot("write", partial, &error)))
            }
            Self::Standard(output) => output.write_all(line).map_err(CliError::failure),
        }
    }

    fn finish(self, force: bool) -> Result<(), CliError> {
        match self {
            Self::File { file, partial, path } => {
                let done = file.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all());
                // A link fails if the file was made meanwhile.
                let done = done.and_then(|()| match force {
                    true => fs::rename(&partial, &path),
                    false => fs::hard_link(&partial, &path).and_then(|()| fs::remove_file(&partial)),
                });
                done.map_err(|error| CliError::failure(cannot("write", &path, &error)))
            }
            Self::Standard(mut output) => output.flush().map_err(CliError::failure),
        }
    }
}
