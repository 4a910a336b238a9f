//! The soak; see [`sg_tests::soak`].

use std::process::ExitCode;

use clap::Parser as _;
use sg_tests::{interrupt, soak};

fn main() -> ExitCode {
    interrupt::watch();
    interrupt::exit(soak::run(&soak::Options::parse()))
}
