//! Everything behind `cargo xtask`: one module per verb, and what they share.
//!
//! Only results go to stdout (the test summary, what the demo and the bench print); commands, findings and the
//! output of builds go to stderr, so that `cargo xtask bench --json > file` holds JSON only.

#![forbid(unsafe_code)]

pub mod bench;
pub mod build;
pub mod catalogue;
pub mod ci;
pub mod dashboard;
pub mod demo;
pub mod exec;
pub mod failures;
pub mod fuzz;
pub mod mutants;
pub mod package;
pub mod place;
pub mod privilege;
pub mod probe;
pub mod prometheus;
pub mod replay;
pub mod setup;
pub mod soak;
pub mod summary;
pub mod test;
pub mod toolchain;
