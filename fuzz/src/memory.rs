//! `memcpy` and its like as C has them.
//!
//! aya-ebpf defines them for BPF, where they return nothing, and on the host they take the place of the C library's:
//! libFuzzer, which is C++ and uses what they return, then runs out of memory at its first input.

/// What `memcpy` does; also where the two overlap and `to` is the lower.
///
/// # Safety
/// As for `memcpy`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    for at in 0..count {
        // SAFETY: both are valid for `count` bytes. Volatile, or LLVM makes a call of this very function of the loop.
        unsafe { to.add(at).write_volatile(from.add(at).read()) };
    }
    to
}

/// What `memmove` does.
///
/// # Safety
/// As for `memmove`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    if to.addr().wrapping_sub(from.addr()) >= count {
        // SAFETY: as the caller says.
        return unsafe { memcpy(to, from, count) };
    }
    for at in (0..count).rev() {
        // SAFETY: as in `memcpy`.
        unsafe { to.add(at).write_volatile(from.add(at).read()) };
    }
    to
}

/// What `memset` does.
///
/// # Safety
/// As for `memset`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memset(to: *mut u8, value: i32, count: usize) -> *mut u8 {
    for at in 0..count {
        // SAFETY: as in `memcpy`.
        unsafe { to.add(at).write_volatile(value as u8) };
    }
    to
}
