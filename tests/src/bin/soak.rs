//! The soak; see [`sg_tests::soak`].

use std::process::ExitCode;

use clap::Parser as _;
use sg_tests::{
    interrupt::{self, Interrupted},
    soak,
};

fn main() -> ExitCode {
    interrupt::watch();
    match soak::run(&soak::Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) if error.is::<Interrupted>() => {
            eprintln!("{error}; nothing stays behind");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
