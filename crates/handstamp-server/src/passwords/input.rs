//! Lists of breached passwords as the official downloader writes them: one file, or a folder with a file for each prefix.

use std::fs::{self, File, Metadata};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use handstamp::private_files::cannot;
use handstamp_core::blocklist::Key;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::CliError;

/// How much of a file is read at once.
const CHUNK_BYTES: usize = 1 << 20;
/// No line is longer: a SHA-1, a colon, a count of 20 digits, and some space.
const MAX_LINE_BYTES: usize = 128;
/// The digits of a SHA-1, and how many of them are in the name of a file of a folder.
const DIGITS: usize = 40;
const PREFIX_DIGITS: usize = 5;
/// The number of files of a complete folder.
pub(super) const PREFIXES: usize = 1 << (4 * PREFIX_DIGITS);
/// Some programs begin a text file with these bytes.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The files of a list, in the order in which they are read.
pub(super) struct Inputs {
    sources: Vec<Source>,
    /// The length of all files.
    pub(super) bytes: u64,
    /// Differs if a file has another name, length or time of change.
    pub(super) identity: String,
}

enum Source {
    File(PathBuf),
    /// A folder, and the prefixes that it has a file of, in order: a folder of the downloader has a million.
    Folder(PathBuf, Vec<u32>),
}

/// Where the next line to be read begins.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub(super) struct Position {
    /// The number of the file.
    file: usize,
    offset: u64,
    /// How many lines of the file are before it.
    line: u64,
}

impl Inputs {
    /// Finds the files of these paths.
    ///
    /// # Errors
    /// When a path is neither a file nor a folder of the downloader.
    pub(super) fn find(paths: &[PathBuf]) -> Result<Self, CliError> {
        let mut inputs = Self { sources: Vec::new(), bytes: 0, identity: String::new() };
        let mut identity = Sha256::new();
        for path in paths {
            let metadata = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
            let source = if metadata.is_dir() {
                Source::Folder(path.clone(), prefixes(path)?)
            } else if metadata.is_file() {
                Source::File(path.clone())
            } else {
                return Err(CliError::failure(format!("{} is neither a file nor a folder", path.display())));
            };
            for number in 0..source.files() {
                let (path, _) = source.file(number);
                let metadata = fs::metadata(&path).map_err(|error| unreadable(&path, &error))?;
                inputs.bytes += metadata.len();
                describe(&path, &metadata, &mut identity);
            }
            inputs.sources.push(source);
        }
        inputs.identity = identity.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(inputs)
    }

    /// The folders that lack files, each with the number of those that it has.
    pub(super) fn incomplete(&self) -> impl Iterator<Item = (&Path, usize)> {
        self.sources.iter().filter_map(|source| match source {
            Source::Folder(path, prefixes) if prefixes.len() < PREFIXES => Some((path.as_path(), prefixes.len())),
            Source::Folder(..) | Source::File(_) => None,
        })
    }

    /// The most passwords that the files can hold, by their length.
    pub(super) fn most_passwords(&self) -> u64 {
        let shortest_line = DIGITS + ":1\n".len() - PREFIX_DIGITS;
        self.bytes / shortest_line as u64
    }

    /// The path of a file, and the prefix of its lines; none if there are fewer files.
    fn file(&self, mut number: usize) -> Option<(PathBuf, Option<Prefix>)> {
        for source in &self.sources {
            if number < source.files() {
                return Some(source.file(number));
            }
            number -= source.files();
        }
        None
    }
}

/// The first digits of all SHA-1 of a file.
type Prefix = [u8; PREFIX_DIGITS];

impl Source {
    fn files(&self) -> usize {
        match self {
            Self::File(_) => 1,
            Self::Folder(_, prefixes) => prefixes.len(),
        }
    }

    fn file(&self, number: usize) -> (PathBuf, Option<Prefix>) {
        match self {
            Self::File(path) => (path.clone(), None),
            Self::Folder(folder, prefixes) => {
                let digits = format!("{:05X}", prefixes[number]);
                let prefix = digits.as_bytes().try_into().expect("the prefix has five digits");
                (folder.join(format!("{digits}.txt")), Some(prefix))
            }
        }
    }
}

/// The prefixes that are the names of the files of a folder, in order.
fn prefixes(folder: &Path) -> Result<Vec<u32>, CliError> {
    let mut prefixes = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| unreadable(folder, &error))? {
        let name = entry.map_err(|error| unreadable(folder, &error))?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_suffix(".txt"));
        let is_prefix = |digits: &&str| {
            digits.len() == PREFIX_DIGITS && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'))
        };
        let prefix = digits.filter(is_prefix).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        prefixes.push(prefix.ok_or_else(|| {
            CliError::failure(format!(
                "{}: a folder of the downloader has files named 00000.txt to FFFFF.txt only",
                folder.join(&name).display()
            ))
        })?);
    }
    if prefixes.is_empty() {
        return Err(CliError::failure(format!("{} is empty", folder.display())));
    }
    prefixes.sort_unstable();
    Ok(prefixes)
}

fn describe(path: &Path, metadata: &Metadata, identity: &mut Sha256) {
    identity.update(path.as_os_str().as_encoded_bytes());
    identity.update([0]);
    for number in [metadata.len(), metadata.mtime().cast_unsigned(), metadata.mtime_nsec().cast_unsigned()] {
        identity.update(number.to_le_bytes());
    }
}

/// Reads the lines of all files, from a position on.
pub(super) struct Reader<'a> {
    inputs: &'a Inputs,
    position: Position,
    open: Option<OpenFile>,
    chunk: Vec<u8>,
    /// How many bytes at the beginning of the chunk are those of a line whose end has not been read yet.
    unfinished: usize,
}

struct OpenFile {
    file: File,
    path: PathBuf,
    prefix: Option<Prefix>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(inputs: &'a Inputs, position: Position) -> Self {
        Self { inputs, position, open: None, chunk: vec![0; CHUNK_BYTES], unfinished: 0 }
    }

    /// The position after the lines that were visited.
    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// Reads some lines, and returns how many bytes they had; none at the end of the last file. Each line is visited with its
    /// key and its count.
    ///
    /// # Errors
    /// When a file cannot be read, and at the first line that is none of such a list.
    pub(super) fn read(&mut self, mut visit: impl FnMut(Key, u64)) -> Result<Option<u64>, CliError> {
        if self.open.is_none() {
            let Some((path, prefix)) = self.inputs.file(self.position.file) else { return Ok(None) };
            let opened = File::open(&path).and_then(|mut file| {
                file.seek(SeekFrom::Start(self.position.offset))?;
                Ok(file)
            });
            self.open = Some(OpenFile { file: opened.map_err(|error| unreadable(&path, &error))?, path, prefix });
        }
        let OpenFile { file, path, prefix } = self.open.as_mut().expect("a file was opened if none was");
        let read = file.read(&mut self.chunk[self.unfinished..]).map_err(|error| unreadable(path, &error))?;
        let (is_last, chunk) = (read == 0, &self.chunk[..self.unfinished + read]);
        let whole = if is_last { chunk.len() } else { memchr::memrchr(b'\n', chunk).map_or(0, |end| end + 1) };
        let (mut lines, unfinished) = chunk.split_at(whole);
        if self.position.offset == 0 {
            lines = lines.strip_prefix(BYTE_ORDER_MARK).unwrap_or(lines);
        }
        let bad = |line: u64, reason: String| CliError::failure(format!("{}, line {line}: {reason}", path.display()));
        while !lines.is_empty() {
            let end = memchr::memchr(b'\n', lines).unwrap_or(lines.len());
            self.position.line += 1;
            let parsed = parse(&lines[..end], prefix.as_ref()).map_err(|reason| bad(self.position.line, reason))?;
            if let Some((key, count)) = parsed {
                visit(key, count);
            }
            lines = lines.get(end + 1..).unwrap_or_default();
        }
        if unfinished.len() > MAX_LINE_BYTES {
            return Err(bad(self.position.line + 1, TOO_LONG.to_owned()));
        }
        self.unfinished = unfinished.len();
        self.chunk.copy_within(whole..whole + self.unfinished, 0);
        self.position.offset += whole as u64;
        if is_last {
            self.position = Position { file: self.position.file + 1, ..Position::default() };
            self.open = None;
        }
        Ok(Some(whole as u64))
    }
}

const TOO_LONG: &str = "is too long for a SHA-1 and a count";

/// The key and the count of a line; none if it is empty.
fn parse(line: &[u8], prefix: Option<&Prefix>) -> Result<Option<(Key, u64)>, String> {
    let line = line.trim_ascii();
    if line.is_empty() {
        return Ok(None);
    }
    if line.len() > MAX_LINE_BYTES {
        return Err(TOO_LONG.to_owned());
    }
    let Some(colon) = memchr::memchr(b':', line) else {
        return Err("has no colon, where a list has a SHA-1, a colon and a count".to_owned());
    };
    let (rest, count) = (&line[..colon], &line[colon + 1..]);
    let mut digits = [0; DIGITS];
    let begun = prefix.map_or(0, |prefix| prefix.len());
    digits[..begun].copy_from_slice(prefix.map_or(&[], |prefix| prefix.as_slice()));
    if rest.len() != DIGITS - begun {
        return Err(format!(
            "has {} characters before the colon, where {} have {}",
            rest.len(),
            if begun == 0 { "lists of SHA-1" } else { "the files of a folder" },
            DIGITS - begun
        ));
    }
    digits[begun..].copy_from_slice(rest);
    let key = Key::from_hex(&digits).ok_or("has a character before the colon that is no hexadecimal digit")?;
    let count = std::str::from_utf8(count).ok().filter(|count| count.bytes().all(|byte| byte.is_ascii_digit()));
    let count = count.and_then(|count| count.parse().ok()).ok_or("has no number after the colon")?;
    Ok(Some((key, count)))
}

fn unreadable(path: &Path, error: &std::io::Error) -> CliError {
    CliError::failure(cannot("read", path, error))
}
