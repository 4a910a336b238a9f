//! Measures the dataplane on this machine; see [`sg_tests::bench`].

use std::process::ExitCode;

use clap::Parser as _;
use sg_tests::{
    bench,
    interrupt::{self, Interrupted},
};

fn main() -> ExitCode {
    interrupt::watch();
    match bench::run(&bench::Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Interrupted>() => {
            eprintln!("{error}; nothing stays behind");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
