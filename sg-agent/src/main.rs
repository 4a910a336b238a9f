//! The `sg-agent` command.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use sg_agent::cli::{self, Cli};

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::new().filter_or("SG_LOG", "warn")).init();
    let Cli { options, command } = Cli::parse();
    command.run(&options).unwrap_or_else(|error| {
        eprintln!("sg-agent: {error:#}");
        cli::exit_code(&error)
    })
}
