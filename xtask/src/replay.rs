//! `cargo xtask replay`: sets up, builds, and becomes the replay of captures.

use std::{convert::Infallible, ffi::OsString};

use anyhow::Result;

use crate::{build, demo::start};

/// `cargo xtask replay`
#[derive(clap::Args)]
pub struct Options {
    /// Passed to the replay: files and directories, `--policy FILE`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Does not return unless the replay cannot start.
pub fn run(options: &Options) -> Result<Infallible> {
    start("sg-replay", &[build::PRODUCT], &options.arguments)
}
