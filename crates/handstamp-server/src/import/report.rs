//! The output of an import: a progress bar or lines while it runs, refused rows, and the summary.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use handstamp::private_files::cannot;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::mapping::REFUSED;
use super::rows::Place;
use crate::CliError;
use crate::user_file::Format;

/// How often a line tells the progress where there is no terminal.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// The counts of an import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) imported: u64,
    pub(super) already_there: u64,
    pub(super) refused: u64,
    /// Of those that were imported.
    pub(super) without_password: u64,
}

impl Counts {
    pub(super) fn in_words(self, dry_run: bool) -> String {
        let Self { imported, already_there, refused, without_password } = self;
        let begin = if dry_run { "would import" } else { "imported" };
        let mut words = format!("{begin} {}", users(imported));
        if without_password > 0 {
            words += &format!(" ({without_password} without a password)");
        }
        words += &format!("; already there: {already_there}; refused: {refused}");
        words
    }

    pub(super) fn to_json(self, dry_run: bool, ignored: &[String]) -> serde_json::Value {
        json!({
            "imported": self.imported,
            "already_there": self.already_there,
            "refused": self.refused,
            "without_password": self.without_password,
            "dry_run": dry_run,
            "columns_not_imported": ignored,
        })
    }
}

fn users(count: u64) -> String {
    if count == 1 { "1 user".to_owned() } else { format!("{count} users") }
}

/// Tells the progress of reading an input: by a bar on a terminal, else by lines.
pub(super) struct Progress {
    bar: ProgressBar,
    /// The length of the input, if it is known.
    bytes: Option<u64>,
    is_terminal: bool,
    told_at: Instant,
}

impl Progress {
    pub(super) fn new(bytes: Option<u64>) -> Self {
        let template = match bytes {
            Some(_) => "{msg} [{bar:30}] {percent:>3} %, {eta} left",
            None => "{spinner} {msg}, {decimal_bytes} read",
        };
        let style = ProgressStyle::with_template(template).expect("the template is valid").progress_chars("=> ");
        let bar = bytes.map_or_else(ProgressBar::no_length, ProgressBar::new).with_style(style);
        Self { bar, bytes, is_terminal: io::stderr().is_terminal(), told_at: Instant::now() }
    }

    /// Tells that so many bytes are read, and the counts so far.
    pub(super) fn update(&mut self, read: u64, counts: Counts) {
        self.bar.set_position(read);
        if self.is_terminal {
            self.bar.set_message(format!("{} rows", counts.imported + counts.already_there + counts.refused));
        } else if self.told_at.elapsed() >= TELL_EVERY {
            self.told_at = Instant::now();
            let percent = self.bytes.filter(|bytes| *bytes > 0).map(|bytes| read.saturating_mul(100) / bytes);
            let percent = percent.map_or_else(String::new, |percent| format!("{percent} %: "));
            tell(&format!("{percent}{}", counts.in_words(false)));
        }
    }

    /// Prints a line above the bar.
    pub(super) fn line(&self, text: &str) {
        self.bar.suspend(|| tell(text));
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Tells the operator something while the command goes on.
pub(super) fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "handstamp: {text}");
}

/// The file of refused rows, which can be corrected and imported again. It is complete once it has its name.
pub(super) struct RefusedRows {
    path: PathBuf,
    partial: PathBuf,
    format: Format,
    header: Vec<u8>,
    /// Whether the input has the reasons of an earlier run.
    has_reasons: bool,
    file: Option<BufWriter<File>>,
}

impl RefusedRows {
    /// Refuses an existing file that no import has written.
    pub(super) fn check(path: &Path) -> Result<(), CliError> {
        let mut beginning = Vec::new();
        let read = File::open(path).and_then(|file| file.take(64).read_to_end(&mut beginning));
        let is_ours = |beginning: &[u8]| {
            beginning.is_empty()
                || beginning.starts_with(format!("{REFUSED},").as_bytes())
                || beginning.starts_with(format!("{{\"{REFUSED}\":").as_bytes())
        };
        match read {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(CliError::usage(cannot("read", path, &error))),
            Ok(_) if is_ours(&beginning) => Ok(()),
            Ok(_) => Err(CliError::usage(format!(
                "{} exists and has no refused rows; name another file with --refused",
                path.display()
            ))),
        }
    }

    pub(super) fn new(path: &Path, format: Format, header: &[u8]) -> Self {
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let (own, has_reasons) = match header.strip_prefix(format!("{REFUSED},").as_bytes()) {
            Some(rest) => (rest, true),
            None => (header, false),
        };
        Self { path: path.to_owned(), partial: partial.into(), format, header: own.to_vec(), has_reasons, file: None }
    }

    /// Adds a row with the reason why it was refused.
    pub(super) fn add(&mut self, place: &Place, raw: &[u8], reason: &str) -> Result<(), CliError> {
        self.write(place, raw, reason).map_err(|error| CliError::failure(cannot("write", &self.partial, &error)))
    }

    fn write(&mut self, place: &Place, raw: &[u8], reason: &str) -> io::Result<()> {
        if self.file.is_none() {
            let _ = fs::remove_file(&self.partial);
            // It has hashes of passwords.
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.partial)?;
            let mut file = BufWriter::new(file);
            if self.format == Format::Csv {
                file.write_all(&[format!("{REFUSED},").as_bytes(), &self.header, b"\n"].concat())?;
            }
            self.file = Some(file);
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        let reason = format!("{place}: {reason}");
        match self.format {
            Format::Csv => {
                write!(file, "\"{}\",", reason.replace('"', "\"\""))?;
                if memchr::memchr_iter(b'"', raw).count().is_multiple_of(2) {
                    file.write_all(if self.has_reasons { without_reason(raw) } else { raw })?;
                } else {
                    // As one field, so that a quote that is not closed does not make one row of it and the next ones.
                    let doubled =
                        raw.iter().flat_map(|byte| if *byte == b'"' { vec![b'"', b'"'] } else { vec![*byte] });
                    let quoted: Vec<u8> = [b'"'].into_iter().chain(doubled).chain([b'"']).collect();
                    file.write_all(&quoted)?;
                }
            }
            Format::Jsonl => match raw.trim_ascii().strip_prefix(b"{") {
                Some(rest) => {
                    let is_empty = rest.trim_ascii_start().first() == Some(&b'}');
                    write!(file, "{{\"{REFUSED}\":{}{}", json!(reason), if is_empty { "" } else { "," })?;
                    file.write_all(rest)?;
                }
                None => {
                    let text = str::from_utf8(raw).map_or_else(|_| raw.escape_ascii().to_string(), str::to_owned);
                    write!(file, "{}", json!({ REFUSED: reason, "text": text }))?;
                }
            },
        }
        file.write_all(b"\n")
    }

    /// Gives the file its name. Without refused rows there is none, and that of an earlier run is removed.
    pub(super) fn finish(self) -> Result<(), CliError> {
        let done = match self.file {
            Some(file) => file
                .into_inner()
                .map_err(io::IntoInnerError::into_error)
                .and_then(|file| file.sync_all())
                .and_then(|()| fs::rename(&self.partial, &self.path)),
            None => match fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
        };
        done.map_err(|error| CliError::failure(cannot("write", &self.path, &error)))
    }
}

/// A line of CSV without the reason of an earlier run, which is its first field.
fn without_reason(line: &[u8]) -> &[u8] {
    let Some(quoted) = line.strip_prefix(b"\"") else {
        return memchr::memchr(b',', line).map_or(line, |comma| &line[comma + 1..]);
    };
    let mut place = 0;
    while let Some(quote) = memchr::memchr(b'"', &quoted[place..]) {
        match quoted.get(place + quote + 1) {
            Some(b'"') => place += quote + 2,
            Some(b',') => return &quoted[place + quote + 2..],
            _ => break,
        }
    }
    line
}
