//! `handstamp import`: users from another system. A thread reads and checks the rows, while the batches before are stored.

mod exports;
mod found;
mod mapping;
mod report;
mod rows;
mod shown;
mod tables;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use handstamp::private_files::cannot;
use handstamp::{Handstamp, ImportOutcome, ImportParser, ImportUser, UserImport};
use tokio::sync::mpsc;

use crate::cli::ImportArgs;
use crate::commands::{say, show_json, with_handstamp_in};
use crate::settings::{DataDirMode, Settings};
use crate::user_file::{Format, MappedColumn};
use crate::{CliError, plural};
use exports::Export;
use found::Rules;
use mapping::Mapping;
use report::{Counts, Progress, RefusedRows, tell};
use rows::{Place, ReadError, Row, Rows};
use tables::UserTable;

/// How much of the input is read at once.
const READ_BYTES: usize = 256 << 10;
/// The most bytes of the rows of a batch.
const BATCH_BYTES: usize = 4 << 20;
/// How many batches wait to be stored, while the next one is read.
const BATCHES_AHEAD: usize = 2;

/// Imports a file of users.
///
/// # Errors
/// When rows were refused, the input cannot be read or is not of its format, or the database cannot be written.
pub(crate) fn run(settings: Settings, request: &ImportArgs) -> Result<(), CliError> {
    if let Some(path) = &request.refused {
        RefusedRows::check(path)?;
    }
    // The file is opened first, so that a wrong name makes no folder.
    let source = Source::open(request)?;
    with_handstamp_in(settings, DataDirMode::Create, async |handstamp| import(handstamp, request, source).await)
}

/// The source of the users.
enum Source {
    File(Input),
    Table(Box<UserTable>),
    Export(Box<Export>),
}

impl Source {
    fn open(request: &ImportArgs) -> Result<Self, CliError> {
        let Some(system) = request.from else {
            return match request.input.to_str().is_some_and(|text| text.contains("://")) {
                true => Err(CliError::usage("--from must say whose database this is, such as flask or django")),
                false => Input::open(&request.input).map(Self::File),
            };
        };
        MappedColumn::check(&request.map)?;
        let rules = Rules {
            system,
            groups: request.group.clone(),
            without: request.without.clone(),
            all_verified: request.email_verified,
            hmac: false,
        };
        if system.is_table() {
            if request.passwords.is_some() || request.hash_config.is_some() {
                return Err(CliError::usage("--passwords and --hash-config are for exports"));
            }
            UserTable::open(request, rules).map(|table| Self::Table(Box::new(table)))
        } else {
            Export::open(request, rules).map(|export| Self::Export(Box::new(export)))
        }
    }

    /// The bytes or rows of it, if they are known.
    fn length(&self) -> Option<u64> {
        match self {
            Self::File(input) => input.bytes,
            Self::Table(table) => Some(table.count),
            Self::Export(export) => export.bytes(),
        }
    }

    /// Reads all rows and sends them in batches.
    fn read(self, request: &ReadRequest, parser: ImportParser, sender: &mpsc::Sender<Message>) -> Result<(), CliError> {
        let read = match self {
            Self::Table(table) => return table.read(parser, request.keep_raw, sender),
            Self::File(input) => {
                let mapping = Mapping::new(&request.map);
                read(input.reader, request.format, mapping, parser, request.keep_raw, sender)
            }
            Self::Export(export) => export.read(parser, request.keep_raw, sender),
        };
        match read {
            Ok(()) | Err(ReadFailed::NobodyReceives) => Ok(()),
            Err(ReadFailed::Io(error)) => Err(CliError::failure(cannot("read", &request.name, &error))),
            Err(ReadFailed::Format(message)) => Err(CliError::usage(format!("{}: {message}", request.name.display()))),
        }
    }
}

/// The task of the reading thread.
struct ReadRequest {
    name: PathBuf,
    format: Option<Format>,
    map: Vec<MappedColumn>,
    /// Whether refused rows are written to a file.
    keep_raw: bool,
}

/// An open input, and its length if it is known.
struct Input {
    reader: Box<dyn Read + Send>,
    bytes: Option<u64>,
}

impl Input {
    fn open(path: &Path) -> Result<Self, CliError> {
        if path == Path::new("-") {
            return Ok(Self { reader: Box::new(io::stdin()), bytes: None });
        }
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
        let (metadata, file) = opened.map_err(|error| CliError::failure(cannot("read", path, &error)))?;
        if metadata.is_dir() {
            return Err(CliError::usage(format!("{} is a folder", path.display())));
        }
        Ok(Self { bytes: metadata.is_file().then_some(metadata.len()), reader: Box::new(file) })
    }
}

/// Counts the bytes that are read.
struct Counted<R>(R, Arc<AtomicU64>);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        self.1.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// A message of the reading thread.
enum Message {
    /// The format and the header line, before all rows.
    Opened(Format, Vec<u8>),
    /// Rows, and how much of the input is read.
    Batch(Vec<Row>, u64),
    /// The columns that are not imported, after all rows.
    End(Vec<String>),
    Failed(CliError),
}

async fn import(handstamp: &Handstamp, request: &ImportArgs, source: Source) -> Result<(), CliError> {
    let import = handstamp.users().import(request.dry_run);
    let (sender, mut batches) = mpsc::channel(BATCHES_AHEAD);
    let length = source.length();
    let parser = request.allow_weak.map_or(import.parser(), |format| import.parser().with_weak_hashes(format.into()));
    let reading = ReadRequest {
        name: request.input.clone(),
        format: request.format.or_else(|| format_of(&request.input)),
        map: request.map.clone(),
        keep_raw: request.refused.is_some(),
    };
    let reading = thread::spawn(move || {
        // Sending fails only if the import has failed, which needs no more rows.
        let _ = source.read(&reading, parser, &sender).or_else(|error| sender.blocking_send(Message::Failed(error)));
    });
    let mut storing = Storing { import, counts: Counts::default(), progress: Progress::new(length), refused: None };
    let mut ignored = Vec::new();
    let mut done = Ok(());
    while let Some(message) = batches.recv().await {
        match message {
            Message::Opened(format, header) => {
                storing.refused = request.refused.as_deref().map(|path| RefusedRows::new(path, format, &header));
            }
            Message::Batch(rows, read) => done = storing.store(rows, read).await,
            Message::End(columns) => ignored = columns,
            Message::Failed(error) => done = Err(error),
        }
        if done.is_err() {
            break;
        }
    }
    drop(batches);
    storing.progress.finish();
    if let Err(CliError(reason, status)) = done {
        let counts = storing.counts.in_words(request.dry_run);
        // The thread may wait for a pipe, so it is not waited for.
        return Err(CliError(
            if storing.counts == Counts::default() {
                reason
            } else {
                format!("{reason}\nuntil then: {counts}; the same command goes on")
            },
            status,
        ));
    }
    reading.join().map_err(|_| CliError::failure("the thread that reads the input panicked"))?;
    if let Some(refused) = storing.refused {
        refused.finish()?;
    }
    report(request, storing.counts, &ignored)
}

fn report(request: &ImportArgs, counts: Counts, ignored: &[String]) -> Result<(), CliError> {
    if !ignored.is_empty() {
        tell(&format!("not imported: {}", ignored.join(", ")));
    }
    if request.output.json {
        show_json(&counts.to_json(request.dry_run, ignored))?;
    } else {
        say(&counts.in_words(request.dry_run))?;
    }
    match counts.refused {
        0 => Ok(()),
        count => Err(CliError::failure(format!("{} refused", plural(count, "row was", "rows were")))),
    }
}

/// The format that the name of a file tells.
fn format_of(path: &Path) -> Option<Format> {
    match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "csv" => Some(Format::Csv),
        "jsonl" | "ndjson" => Some(Format::Jsonl),
        _ => None,
    }
}

/// The state of an import whose batches are stored.
struct Storing {
    import: UserImport,
    counts: Counts,
    progress: Progress,
    refused: Option<RefusedRows>,
}

impl Storing {
    async fn store(&mut self, rows: Vec<Row>, read: u64) -> Result<(), CliError> {
        let mut users: Vec<ImportUser> = Vec::with_capacity(rows.len());
        let mut checked = Vec::with_capacity(rows.len());
        for Row { place, raw, user } in rows {
            let refusal = user.map(|user| users.push(user)).err();
            checked.push((place, raw, refusal));
        }
        let outcomes = self.import.batch(&mut users).await?;
        let mut outcomes = users.iter().zip(outcomes);
        for (place, raw, refusal) in checked {
            let reason = match refusal {
                Some(reason) => reason,
                None => match outcomes.next() {
                    Some((user, ImportOutcome::Imported)) => {
                        self.counts.imported += 1;
                        self.counts.without_password += u64::from(!user.has_password());
                        continue;
                    }
                    Some((_, ImportOutcome::AlreadyThere)) => {
                        self.counts.already_there += 1;
                        continue;
                    }
                    Some((_, ImportOutcome::Refused(refusal))) => refusal.to_string(),
                    Some(_) | None => return Err(CliError::failure("a row has no known outcome: this is a bug")),
                },
            };
            self.refuse(&place, &raw, &reason)?;
        }
        self.progress.update(read, self.counts);
        Ok(())
    }

    fn refuse(&mut self, place: &Place, raw: &[u8], reason: &str) -> Result<(), CliError> {
        self.counts.refused += 1;
        self.progress.line(&format!("{place}: {reason}"));
        match &mut self.refused {
            Some(refused) => refused.add(place, raw, reason),
            None => Ok(()),
        }
    }
}

/// Why the reading thread stops.
enum ReadFailed {
    Io(io::Error),
    Format(String),
    NobodyReceives,
}

impl From<ReadError> for ReadFailed {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io(error) => Self::Io(error),
            ReadError::Format(message) => Self::Format(message),
        }
    }
}

impl<T> From<mpsc::error::SendError<T>> for ReadFailed {
    fn from(_: mpsc::error::SendError<T>) -> Self {
        Self::NobodyReceives
    }
}

/// Reads all rows and sends them in batches.
fn read(
    input: Box<dyn Read + Send>,
    format: Option<Format>,
    mapping: Mapping,
    parser: ImportParser,
    keep_raw: bool,
    sender: &mpsc::Sender<Message>,
) -> Result<(), ReadFailed> {
    let read = Arc::new(AtomicU64::new(0));
    let input = BufReader::with_capacity(READ_BYTES, Counted(input, Arc::clone(&read)));
    let mut rows = Rows::open(input, format, mapping, parser)?;
    sender.blocking_send(Message::Opened(rows.format(), rows.header().to_vec()))?;
    let mut is_first = true;
    while let Some(batch) = next_batch(&mut rows, keep_raw).map_err(ReadFailed::Io)? {
        if let Some(column) = rows.mapping().unseen().filter(|_| is_first) {
            let message = format!("--map names {column:?}, which is no key of the first {} rows", batch.len());
            return Err(ReadFailed::Format(message));
        }
        is_first = false;
        sender.blocking_send(Message::Batch(batch, read.load(Ordering::Relaxed)))?;
    }
    sender.blocking_send(Message::End(rows.mapping().ignored.iter().cloned().collect()))?;
    Ok(())
}

/// The rows of the next batch; none at the end.
fn next_batch(rows: &mut Rows<impl BufRead>, keep_raw: bool) -> io::Result<Option<Vec<Row>>> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while batch.len() < UserImport::MAX_BATCH && bytes < BATCH_BYTES {
        let Some(mut row) = rows.next_row()? else { break };
        bytes += row.raw.len();
        if !keep_raw {
            row.raw = Vec::new();
        }
        batch.push(row);
    }
    Ok(if batch.is_empty() { None } else { Some(batch) })
}
