//! Kernel arrays as memory: the only unsafe code of the agent.
#![expect(
    unsafe_code,
    reason = "an array of the kernel is memory that others write, reached through a pointer"
)]

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
    sync::atomic::{AtomicU64, Ordering},
};

use memmap2::{MmapOptions, MmapRaw};

/// Bytes of a word.
const WORD: usize = size_of::<u64>();

/// What may be done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Only reading.
    Read,
    /// Reading and writing.
    Write,
}

/// An array of the kernel as 64-bit words, each read or written at once.
#[derive(Debug)]
pub struct Memory {
    raw: MmapRaw,
    words: usize,
    access: Access,
}

impl Memory {
    /// Maps the `words` words of the array behind `map`, which must be made with `BPF_F_MMAPABLE`.
    pub fn map(map: impl AsFd, words: usize, access: Access) -> io::Result<Self> {
        let mut options = MmapOptions::new();
        options.len(words * WORD);
        let descriptor = map.as_fd().as_raw_fd();
        let raw = match access {
            Access::Read => options.map_raw_read_only(descriptor)?,
            Access::Write => options.map_raw(descriptor)?,
        };
        Ok(Self { raw, words, access })
    }

    /// How many words there are.
    pub fn words(&self) -> usize {
        self.words
    }

    /// Word `index`; 0 outside.
    pub fn load(&self, index: usize) -> u64 {
        // Relaxed: the one ordering that works on read-only memory.
        self.word(index).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    /// Writes word `index`, after everything that was written before. Nothing outside, or without [`Access::Write`].
    pub fn store(&self, index: usize, value: u64) {
        if self.access == Access::Write
            && let Some(word) = self.word(index)
        {
            word.store(value, Ordering::Release);
        }
    }

    fn word(&self, index: usize) -> Option<&AtomicU64> {
        if index >= self.words {
            return None;
        }
        // SAFETY: the mapping lives as long as `self` and is `words` words long: an array of the kernel never shrinks.
        // It starts at a page, so words are aligned. The kernel side writes whole words, as an `AtomicU64` may be.
        Some(unsafe { AtomicU64::from_ptr(self.raw.as_mut_ptr().cast::<u64>().add(index)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_and_written_where_they_are() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4096).unwrap();
        let memory = Memory::map(&file, 512, Access::Write).unwrap();
        memory.store(511, 7);
        memory.store(512, 9);
        let other = Memory::map(&file, 512, Access::Read).unwrap();
        other.store(0, 1);
        assert_eq!((other.load(511), other.load(512), other.load(0), other.words()), (7, 0, 0, 512));
    }
}
