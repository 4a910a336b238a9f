//! `cargo xtask soak`: sets up, builds, and becomes the soak.

use std::{convert::Infallible, ffi::OsString};

use anyhow::Result;

use crate::{build, demo::start};

/// `cargo xtask soak`
#[derive(clap::Args)]
pub struct Options {
    /// Passed to the soak: `--hours`, `--seed`, ...
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Does not return unless the soak cannot start.
pub fn run(options: &Options) -> Result<Infallible> {
    start("sg-soak", &[build::PRODUCT], &options.arguments)
}
