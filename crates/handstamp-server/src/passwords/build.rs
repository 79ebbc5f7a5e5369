//! `handstamp passwords build`: makes the filter of breached passwords from lists of any length, in little memory.
//!
//! The keys of all lines are first sorted into shards on the disk, and then a filter is made of each shard. The same passwords
//! make the same bytes, in whichever order and in however many runs they are read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use handstamp::private_files::cannot;
use handstamp_core::blocklist::{HEADER_BYTES, Header, MAGIC, SHARDS, Shard};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use sha2::{Digest, Sha256};
use xorf::BinaryFuse16;

use super::input::{Inputs, PREFIXES, Reader};
use super::key_log::KeyLog;
use super::work_folder::{Left, Progress, WorkFolder};
use crate::CliError;
use crate::cli::BuildArgs;

/// Raised with every change of the files that a killed run leaves, so that no run goes on with those of another version.
const PROGRESS_VERSION: u32 = 1;
/// How often the progress is stored: 64 times while the input is read, and at most each 16 MiB of it.
const STORED_WHILE_READING: u64 = 64;
const LEAST_BYTES_BETWEEN: u64 = 16 << 20;
/// And after so many shards.
const SHARDS_BETWEEN: usize = 64;
/// The disk space that a password needs while the filter is made: a key, its part of a block, and 19 bits of the filter.
const BYTES_PER_PASSWORD: u64 = 11;

/// Makes a filter.
///
/// # Errors
/// When a list cannot be read, has a line that is none of such a list, or has no passwords, and when the filter cannot be
/// written. The next run goes on from the work that was done.
pub(crate) fn build(request: &BuildArgs) -> Result<(), CliError> {
    refuse_to_replace_other_files(&request.output)?;
    let inputs = Inputs::find(&request.inputs)?;
    for (folder, files) in inputs.incomplete() {
        tell(&format!("{} has {files} of {PREFIXES} files: the download is not complete", folder.display()));
    }
    let work = WorkFolder::open(&request.output)?;
    let of = format!("version {PROGRESS_VERSION}, {} times, {}", request.min_count, inputs.identity);
    let (mut progress, left) = work.progress(of)?;
    match left {
        Left::Nothing => {}
        Left::Resumed => tell(&format!("going on where an earlier run stopped: {}", in_words(&progress, &inputs))),
        Left::Unusable => tell("an earlier run was for another input or other flags, or has ended: beginning anew"),
    }
    warn_of_little_space(&request.output, &inputs, &progress);
    let log = KeyLog::open(&work.keys(), progress.log_length, progress.last_blocks.clone());
    let mut log = log.map_err(|error| work.unwritable(&work.keys(), &error))?;
    read_input(&inputs, request.min_count, &work, &mut log, &mut progress)?;
    if Inputs::find(&request.inputs)?.identity != inputs.identity {
        return Err(CliError::failure("the input changed while it was read; the same command begins anew"));
    }
    if progress.kept == 0 {
        work.remove()?;
        return Err(CliError::failure(format!(
            "the input has no password that was seen {} times or more",
            request.min_count
        )));
    }
    let (header, filter) = fill(&work, &log, request.min_count, &mut progress)?;
    work.finish(&filter)?;
    report(request, &header, &progress)
}

/// Appends the keys of the input to the file of keys.
fn read_input(
    inputs: &Inputs,
    min_count: u32,
    work: &WorkFolder,
    log: &mut KeyLog,
    progress: &mut Progress,
) -> Result<(), CliError> {
    let bar = bar("reading ", inputs.bytes, "{decimal_bytes} of {decimal_total_bytes}").with_position(progress.bytes);
    let between = (inputs.bytes / STORED_WHILE_READING).max(LEAST_BYTES_BETWEEN);
    let mut reader = Reader::new(inputs, progress.position);
    let mut stored_at = progress.bytes;
    while !progress.is_read {
        let (mut added, mut kept, mut rare) = (Ok(()), 0, 0);
        let read = reader.read(|key, count| {
            if count < u64::from(min_count) {
                rare += 1;
            } else if added.is_ok() {
                kept += 1;
                added = log.add(key);
            }
        })?;
        added.map_err(|error| work.unwritable(&work.keys(), &error))?;
        (progress.kept, progress.rare) = (progress.kept + kept, progress.rare + rare);
        progress.bytes += read.unwrap_or_default();
        progress.is_read = read.is_none();
        bar.set_position(progress.bytes);
        if progress.is_read || progress.bytes - stored_at >= between {
            progress.log_length = log.flush().map_err(|error| work.unwritable(&work.keys(), &error))?;
            progress.last_blocks.copy_from_slice(log.last_blocks());
            progress.position = reader.position();
            work.store(progress)?;
            stored_at = progress.bytes;
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// Makes the filter of each shard from its keys.
fn fill(work: &WorkFolder, log: &KeyLog, min_count: u32, progress: &mut Progress) -> Result<(Header, File), CliError> {
    let path = work.filter();
    let unwritable = |error: io::Error| work.unwritable(&path, &error);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(unwritable)?;
    let mut header = match progress.shards {
        0 => Header::new(min_count),
        _ => read_header(&file).map_err(|error| work.damaged(&path, &error))?,
    };
    file.set_len(header.file_len()).map_err(unwritable)?;
    let bar = bar("building", SHARDS as u64, "{pos} of {len} shards").with_position(progress.shards as u64);
    for number in progress.shards..SHARDS {
        let keys = log.keys_of(number).map_err(|error| work.damaged(&work.keys(), &error))?;
        if let Some((shard, slots)) = make_shard(keys, header.shard(number).offset)? {
            file.write_all_at(&slots, shard.offset).map_err(unwritable)?;
            header.set(number, shard);
        }
        if (number + 1) % SHARDS_BETWEEN == 0 {
            file.write_all_at(&header.to_bytes(), 0).map_err(unwritable)?;
            file.sync_data().map_err(unwritable)?;
            progress.shards = number + 1;
            work.store(progress)?;
        }
        bar.set_position(number as u64 + 1);
    }
    bar.finish_and_clear();
    Ok((header, file))
}

fn read_header(file: &File) -> io::Result<Header> {
    let mut bytes = vec![0; HEADER_BYTES];
    file.read_exact_at(&mut bytes, 0)?;
    Header::from_bytes(&bytes).map_err(io::Error::other)
}

/// The filter of the keys of a shard, and its slots; none for no keys.
fn make_shard(mut keys: Vec<u64>, offset: u64) -> Result<Option<(Shard, Vec<u8>)>, CliError> {
    // The construction gives up when it meets a thousand duplicates.
    keys.sort_unstable();
    keys.dedup();
    if keys.is_empty() {
        return Ok(None);
    }
    let filter = BinaryFuse16::try_from(&keys).map_err(CliError::failure)?;
    let slots: Vec<u8> = filter.fingerprints.iter().flat_map(|slot| slot.to_le_bytes()).collect();
    let shard = Shard {
        offset,
        seed: filter.descriptor.seed,
        keys: keys.len().try_into().map_err(|_| CliError::failure("there are too many passwords for one filter"))?,
        segment_length: filter.descriptor.segment_length,
        segments: filter.descriptor.segment_count_length / filter.descriptor.segment_length,
        checksum: Sha256::digest(&slots).into(),
    };
    // Takes some nanoseconds for each key, and a password that is missed would be missed for years.
    let found = |key: &u64| {
        shard.slots(*key).is_some_and(|read| read.decide(read.indexes.map(|index| filter.fingerprints[index as usize])))
    };
    if shard.byte_len() != slots.len() as u64 || !keys.iter().all(found) {
        return Err(CliError::failure("a filter does not have the passwords that it was made from: this is a bug"));
    }
    Ok(Some((shard, slots)))
}

/// Refuses an existing file that is no filter, such as the list itself.
fn refuse_to_replace_other_files(output: &Path) -> Result<(), CliError> {
    if output.file_name().is_none() {
        return Err(CliError::usage(format!("--output {} is no name of a file", output.display())));
    }
    let mut beginning = Vec::new();
    let read = File::open(output).and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut beginning));
    match read {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Ok(_) if beginning == MAGIC => Ok(()),
        Err(error) if !fs::metadata(output).is_ok_and(|metadata| metadata.is_dir()) => {
            Err(CliError::failure(cannot("read", output, &error)))
        }
        Ok(_) | Err(_) => Err(CliError::failure(format!(
            "{} exists and is no filter of breached passwords; name another file with --output",
            output.display()
        ))),
    }
}

fn warn_of_little_space(output: &Path, inputs: &Inputs, progress: &Progress) {
    let folder = output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(disk) = rustix::fs::statvfs(folder) else { return };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let needed = (inputs.most_passwords() * BYTES_PER_PASSWORD).saturating_sub(progress.log_length);
    if free < needed {
        tell(&format!(
            "{} has {} of free space, and up to {} may be needed",
            folder.display(),
            megabytes(free),
            megabytes(needed)
        ));
    }
}

fn in_words(progress: &Progress, inputs: &Inputs) -> String {
    if progress.is_read {
        format!("{} of {SHARDS} shards are built", progress.shards)
    } else {
        format!("{} of {} are read", megabytes(progress.bytes), megabytes(inputs.bytes))
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10)
}

/// A progress bar, which is drawn if standard error is a terminal.
fn bar(doing: &'static str, length: u64, unit: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(&format!("{{msg}} [{{bar:30}}] {{percent:>3}} %, {unit}, {{eta}} left"));
    let style = style.expect("the template is valid").progress_chars("=> ");
    ProgressBar::new(length).with_style(style).with_message(doing)
}

/// Tells the operator something while the command goes on.
fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "handstamp: {text}");
}

fn report(request: &BuildArgs, header: &Header, progress: &Progress) -> Result<(), CliError> {
    let (passwords, bytes) = (header.passwords(), header.file_len());
    let duplicates = progress.kept - passwords;
    let text = if request.output_format.json {
        let report = json!({
            "blocklist": request.output,
            "bytes": bytes,
            "duplicates": duplicates,
            "passwords": passwords,
            "seen_too_rarely": progress.rare,
        });
        format!("{report:#}")
    } else {
        let mut text = format!("made {}: {passwords} passwords, {}", request.output.display(), megabytes(bytes));
        if duplicates > 0 {
            text += &format!("; left out {duplicates} duplicates");
        }
        if progress.rare > 0 {
            text += &format!("; left out {} that were seen fewer than {} times", progress.rare, request.min_count);
        }
        text
    };
    writeln!(io::stdout(), "{text}").map_err(CliError::failure)
}
