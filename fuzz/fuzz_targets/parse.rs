//! `cargo +nightly fuzz run parse`: whatever the bytes, the parser keeps its promise on both roles.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sg_ebpf::parse::invariants::check;

fuzz_target!(|frame: &[u8]| {
    let _ = check(frame, true);
    let _ = check(frame, false);
});
