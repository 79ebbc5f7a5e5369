//! The keys of all passwords on disk, in blocks of one shard each, so that any number of them is sorted in little memory.
//!
//! A block is the position of the block before of the same shard (8 bytes), the shard (4), the number of keys (4), and the keys
//! (8 each). The first block of a shard names the position 0, at which no block is.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use handstamp_core::blocklist::{Key, SHARDS};

/// The most keys of a block: with all blocks full, 32 MiB are in memory.
const BLOCK_KEYS: usize = 1024;
const BLOCK_HEADER_BYTES: usize = 16;
const KEY_BYTES: usize = 8;
/// How many bytes are written at once.
const WRITE_BYTES: usize = 1 << 20;
/// The position of the first block.
pub(super) const BEGIN: u64 = 16;

/// A file to which keys are appended.
pub(super) struct KeyLog {
    file: File,
    /// Where the bytes in `unwritten` belong.
    written: u64,
    unwritten: Vec<u8>,
    /// The position of the last block of each shard, 0 for none.
    last_blocks: Vec<u64>,
    /// The keys of each shard that are in no block yet.
    keys: Vec<Vec<u64>>,
}

impl KeyLog {
    /// Opens a file as it was when it had this length and these blocks; an empty one if it had none.
    pub(super) fn open(path: &Path, length: u64, last_blocks: Vec<u64>) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        file.set_len(length)?;
        Ok(Self { file, written: length, unwritten: Vec::new(), last_blocks, keys: vec![Vec::new(); SHARDS] })
    }

    /// Appends a key, which is in the file after the next [`flush`](Self::flush).
    pub(super) fn add(&mut self, key: Key) -> io::Result<()> {
        let keys = &mut self.keys[key.shard()];
        keys.push(key.in_shard());
        if keys.len() == BLOCK_KEYS { self.end_block(key.shard()) } else { Ok(()) }
    }

    /// Writes all keys, so that a crash of the machine loses none. Returns the length of the file.
    pub(super) fn flush(&mut self) -> io::Result<u64> {
        for shard in 0..SHARDS {
            if !self.keys[shard].is_empty() {
                self.end_block(shard)?;
            }
        }
        self.write()?;
        self.file.sync_data()?;
        Ok(self.written)
    }

    /// The position of the last block of each shard.
    pub(super) fn last_blocks(&self) -> &[u64] {
        &self.last_blocks
    }

    fn end_block(&mut self, shard: usize) -> io::Result<()> {
        let keys = std::mem::take(&mut self.keys[shard]);
        let position = self.written + self.unwritten.len() as u64;
        let before = std::mem::replace(&mut self.last_blocks[shard], position);
        self.unwritten.extend(before.to_le_bytes());
        self.unwritten.extend((shard as u32).to_le_bytes());
        self.unwritten.extend((keys.len() as u32).to_le_bytes());
        self.unwritten.extend(keys.iter().flat_map(|key| key.to_le_bytes()));
        self.keys[shard] = keys;
        self.keys[shard].clear();
        if self.unwritten.len() >= WRITE_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.unwritten, self.written)?;
        self.written += self.unwritten.len() as u64;
        self.unwritten.clear();
        Ok(())
    }

    /// The keys of a shard that were flushed, in no order.
    pub(super) fn keys_of(&self, shard: usize) -> io::Result<Vec<u64>> {
        let mut keys = Vec::new();
        let (mut position, mut end) = (self.last_blocks[shard], self.written);
        let mut block = [0; BLOCK_HEADER_BYTES + BLOCK_KEYS * KEY_BYTES];
        while position != 0 {
            let length = block.len().min(usize::try_from(end.saturating_sub(position)).unwrap_or(block.len()));
            let block = &mut block[..length];
            self.file.read_exact_at(block, position)?;
            let damaged = || io::Error::other("its blocks are damaged");
            let (header, rest) = block.split_first_chunk::<BLOCK_HEADER_BYTES>().ok_or_else(damaged)?;
            let [before @ .., _, _, _, _, _, _, _, _] = header;
            let of_shard = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
            let count = u32::from_le_bytes([header[12], header[13], header[14], header[15]]);
            let block_keys = rest.get(..count as usize * KEY_BYTES).ok_or_else(damaged)?;
            keys.extend(block_keys.as_chunks().0.iter().map(|key| u64::from_le_bytes(*key)));
            end = position;
            position = u64::from_le_bytes(*before);
            if position >= end || of_shard as usize != shard {
                return Err(damaged());
            }
        }
        Ok(keys)
    }
}
