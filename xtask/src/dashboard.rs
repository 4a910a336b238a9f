//! `cargo xtask dashboard`: sets up, builds, and becomes the program that draws the dashboard.

use std::{convert::Infallible, ffi::OsString};

use anyhow::Result;

use crate::{build, demo::start, prometheus};

/// `cargo xtask dashboard`
#[derive(clap::Args)]
pub struct Options {
    /// Passed on: `--picture FILE`, `--seconds`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Does not return unless the picture cannot be begun.
pub fn run(options: &Options) -> Result<Infallible> {
    prometheus::provide()?;
    start("sg-dashboard", &[build::PRODUCT], &options.arguments)
}
