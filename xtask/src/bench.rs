//! `cargo xtask bench`: sets up, builds, and becomes the bench.

use std::{convert::Infallible, ffi::OsString};

use anyhow::Result;

use crate::{build, demo::start};

/// `cargo xtask bench`
#[derive(clap::Args)]
pub struct Options {
    /// Passed to the bench: `--quick`, `--json`, ...
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Does not return unless the bench cannot start.
pub fn run(options: &Options) -> Result<Infallible> {
    start("sg-bench", &[build::PRODUCT, build::BENCH], &options.arguments)
}
