//! Measures the dataplane on this machine; see [`sg_tests::bench`].

use std::process::ExitCode;

use clap::Parser as _;
use sg_tests::{bench, interrupt};

fn main() -> ExitCode {
    interrupt::watch();
    interrupt::exit(bench::run(&bench::Options::parse()).map(|()| true))
}
