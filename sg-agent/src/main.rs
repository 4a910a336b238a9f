//! The `sg-agent` command.
#![forbid(unsafe_code)]

use std::{io::Write as _, process::ExitCode};

use clap::Parser;
use sg_agent::cli::{self, Cli};

fn main() -> ExitCode {
    let cli = Cli::parse();
    env_logger::Builder::from_env(env_logger::Env::new().filter_or("SG_LOG", cli.log_level())).init();
    cli.run().unwrap_or_else(|error| {
        // Where nobody listens there is nobody to tell.
        let _ = writeln!(std::io::stderr(), "sg-agent: {error:#}");
        cli::exit_code(&error).into()
    })
}
