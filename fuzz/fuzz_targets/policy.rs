//! Whatever a policy file says, it is accepted or refused, with words, in bounded time and memory. libFuzzer's limits
//! are the bounds.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use sg_agent::policy::{parse_str, render};
use sg_fuzz as _;

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(bytes) else { return Corpus::Reject };
    let loaded = parse_str(text, "policy.yaml");
    let words = render::human(&loaded.diagnostics, &loaded.sources, false);
    assert!(loaded.policy.is_some() || !words.is_empty(), "refused without a word");
    Corpus::Keep
});
