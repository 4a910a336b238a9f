//! `cargo xtask ci`: what CI runs, cheapest first.

use std::process::ExitCode;

use anyhow::Result;

use crate::{
    exec::{cargo, exec},
    place::workspace,
    test,
};

/// `cargo xtask ci`
#[derive(clap::Args)]
pub struct Options {}

const STEPS: &[&[&str]] = &[
    &["fmt", "--all", "--", "--check"],
    &["clippy", "--workspace", "--exclude", "sg-ebpf", "--all-targets", "--locked", "--", "-D", "warnings"],
    // The library only: the binary is for the kernel.
    &["clippy", "--package", "sg-ebpf", "--lib", "--locked", "--", "-D", "warnings"],
];

/// Stops at the first step that fails.
pub fn run(_: &Options) -> Result<ExitCode> {
    for step in STEPS {
        exec(cargo().args(*step).current_dir(workspace()?))?;
    }
    test::run(&test::Options::default())
}
