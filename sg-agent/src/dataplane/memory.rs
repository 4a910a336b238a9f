//! Kernel arrays as memory: the only unsafe code of the agent.
#![expect(
    unsafe_code,
    reason = "an array of the kernel is memory that others write, reached through a pointer"
)]

use std::{
    io,
    marker::PhantomData,
    os::fd::{AsFd, AsRawFd},
    sync::atomic::{AtomicU64, Ordering},
};

use memmap2::{MmapOptions, MmapRaw};
use zerocopy::{FromBytes, Immutable, IntoBytes};

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

    /// Makes `value` the first four bytes of word `index`, and zeros the rest.
    pub fn store_first_half(&self, index: usize, value: u32) {
        let bytes: [u8; WORD] = zerocopy::transmute!([value, 0]);
        let value = u64::from_ne_bytes(bytes);
        if self.load(index) != value {
            self.store(index, value);
        }
    }

    /// The first four bytes of word `index`; 0 outside.
    pub fn load_first_half(&self, index: usize) -> u32 {
        let [first, _]: [u32; 2] = zerocopy::transmute!(self.load(index).to_ne_bytes());
        first
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

/// An array of the kernel as elements of whole words.
#[derive(Debug)]
pub struct Elements<T> {
    memory: Memory,
    kind: PhantomData<T>,
}

impl<T: FromBytes + IntoBytes + Immutable> Elements<T> {
    const WORDS: usize = size_of::<T>() / WORD;

    /// The array behind `memory`.
    pub fn new(memory: Memory) -> Self {
        const { assert!(size_of::<T>().is_multiple_of(WORD)) };
        Self { memory, kind: PhantomData }
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.memory.words() / Self::WORDS
    }

    /// Element `index`, word by word; zeros outside.
    pub fn get(&self, index: usize) -> T {
        let mut value = T::new_zeroed();
        for (word, bytes) in self.words_of(index).zip(value.as_mut_bytes().chunks_exact_mut(WORD)) {
            bytes.copy_from_slice(&self.memory.load(word).to_ne_bytes());
        }
        value
    }

    /// Makes element `index` be `value`. Words that are what they should be are not written; tells whether any was.
    pub fn set(&self, index: usize, value: &T) -> bool {
        let mut is_written = false;
        for (word, bytes) in self.words_of(index).zip(value.as_bytes().chunks_exact(WORD)) {
            let wanted = u64::from_ne_bytes(bytes.try_into().unwrap_or_default());
            if self.memory.load(word) != wanted {
                self.memory.store(word, wanted);
                is_written = true;
            }
        }
        is_written
    }

    fn words_of(&self, index: usize) -> std::ops::Range<usize> {
        index * Self::WORDS..(index + 1) * Self::WORDS
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

    #[test]
    fn an_element_is_written_where_it_differs() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4096).unwrap();
        let elements: Elements<[u64; 4]> = Elements::new(Memory::map(&file, 512, Access::Write).unwrap());
        assert_eq!(elements.len(), 128);
        assert!(elements.set(127, &[1, 2, 3, 4]) && !elements.set(127, &[1, 2, 3, 4]));
        assert!(elements.set(127, &[1, 2, 9, 4]));
        assert_eq!((elements.get(127), elements.get(126), elements.get(128)), ([1, 2, 9, 4], [0; 4], [0; 4]));
    }
}
