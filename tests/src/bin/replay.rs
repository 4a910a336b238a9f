//! Replays captures; see [`sg_tests::replay`].

use std::process::ExitCode;

use clap::Parser as _;
use sg_tests::{interrupt, replay};

fn main() -> ExitCode {
    interrupt::watch();
    interrupt::exit(replay::run(&replay::Options::parse()))
}
