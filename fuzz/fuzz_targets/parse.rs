//! Whatever the bytes, the parser keeps its promise on both roles, and reads what the model reads.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sg_ebpf::parse::invariants;
use sg_fuzz::agreement;

fuzz_target!(|frame: &[u8]| {
    for guest in [true, false] {
        let _ = invariants::check(frame, guest);
        agreement::check(frame, guest);
    }
});
