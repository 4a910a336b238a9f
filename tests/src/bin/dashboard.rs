//! The dashboard as a picture; see [`sg_tests::dashboard`].

use std::process::ExitCode;

use clap::Parser as _;
use sg_tests::{dashboard::life, interrupt};

fn main() -> ExitCode {
    interrupt::watch();
    interrupt::exit(life::run(&life::Options::parse()))
}
