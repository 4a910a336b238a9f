//! Atomic operations on words of array maps. All are full barriers (`BPF_CMPXCHG`, `BPF_XCHG` and `BPF_FETCH` of the
//! BPF instruction set, RFC 9669, 5.3).
//!
//! Rust's BPF target declares that it has no compare-and-swap, so `core` leaves these methods out of `AtomicU64` there;
//! the instruction set has had them since version 3 (Linux 5.12).

/// A word that several CPUs change.
#[derive(Clone, Copy)]
pub struct Atomic(*mut u64);

impl Atomic {
    /// The word at `word`.
    ///
    /// # Safety
    ///
    /// `word` is 8-byte aligned and readable and writable as long as the program runs: it points into an array map.
    #[inline(always)]
    pub const unsafe fn new(word: *mut u64) -> Self {
        Self(word)
    }

    /// The value now.
    #[inline(always)]
    pub fn load(self) -> u64 {
        // SAFETY: `new`'s contract. An aligned 64-bit load is one instruction.
        unsafe { self.0.read_volatile() }
    }

    /// Stores `new` if the value is `old`; whether it was.
    #[inline(always)]
    pub fn replace(self, old: u64, new: u64) -> bool {
        // SAFETY: `new`'s contract.
        unsafe { arch::compare_exchange(self.0, old, new) == old }
    }

    /// Stores `new`.
    #[inline(always)]
    pub fn set(self, new: u64) {
        // SAFETY: `new`'s contract.
        unsafe { arch::exchange(self.0, new) };
    }

    /// Adds `change`, wrapping; the value before.
    #[inline(always)]
    pub fn fetch_add(self, change: u64) -> u64 {
        // SAFETY: `new`'s contract.
        unsafe { arch::fetch_add(self.0, change) }
    }

    /// Subtracts 1, wrapping.
    #[inline(always)]
    pub fn decrement(self) {
        self.fetch_add(u64::MAX);
    }
}

#[cfg(target_arch = "bpf")]
mod arch {
    use core::arch::asm;

    #[inline(always)]
    pub unsafe fn compare_exchange(word: *mut u64, old: u64, new: u64) -> u64 {
        let mut seen = old;
        // SAFETY: the caller's contract on `word`.
        unsafe { asm!("r0 = cmpxchg_64({0} + 0, r0, {1})", in(reg) word, in(reg) new, inout("r0") seen) };
        seen
    }

    #[inline(always)]
    pub unsafe fn exchange(word: *mut u64, mut new: u64) -> u64 {
        // SAFETY: the caller's contract on `word`.
        unsafe { asm!("{1} = xchg_64({0} + 0, {1})", in(reg) word, inout(reg) new) };
        new
    }

    #[inline(always)]
    pub unsafe fn fetch_add(word: *mut u64, mut change: u64) -> u64 {
        // SAFETY: the caller's contract on `word`.
        unsafe { asm!("{1} = atomic_fetch_add((u64 *)({0} + 0), {1})", in(reg) word, inout(reg) change) };
        change
    }
}

#[cfg(not(target_arch = "bpf"))]
mod arch {
    use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

    pub unsafe fn compare_exchange(word: *mut u64, old: u64, new: u64) -> u64 {
        // SAFETY: the caller's contract on `word`.
        let (Ok(seen) | Err(seen)) =
            unsafe { AtomicU64::from_ptr(word) }.compare_exchange(old, new, SeqCst, SeqCst);
        seen
    }

    pub unsafe fn exchange(word: *mut u64, new: u64) -> u64 {
        // SAFETY: the caller's contract on `word`.
        unsafe { AtomicU64::from_ptr(word) }.swap(new, SeqCst)
    }

    pub unsafe fn fetch_add(word: *mut u64, change: u64) -> u64 {
        // SAFETY: the caller's contract on `word`.
        unsafe { AtomicU64::from_ptr(word) }.fetch_add(change, SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_replaced_only_if_it_is_as_expected() {
        let mut word = 5;
        // SAFETY: `word` outlives the handle.
        let atomic = unsafe { Atomic::new(&raw mut word) };
        assert!(!atomic.replace(4, 9));
        assert!(atomic.replace(5, 9));
        assert_eq!(atomic.fetch_add(2), 9);
        atomic.decrement();
        assert_eq!(atomic.load(), 10);
    }
}
