//! `cargo xtask demo`: sets up, builds, and becomes the demo.

use std::{convert::Infallible, ffi::OsString};

use anyhow::{Context as _, Result};

use crate::{build, exec::become_program, place, privilege::Privilege, setup};

/// `cargo xtask demo`
#[derive(clap::Args)]
pub struct Options {
    /// Passed to the demo
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Does not return unless the demo cannot start.
pub fn run(options: &Options) -> Result<Infallible> {
    start("sg-demo", &[build::PRODUCT], &options.arguments)
}

/// Sets up, builds the BPF `objects` and the agent, and becomes program `name` of the package `sg-tests`, as root.
pub(crate) fn start(name: &str, objects: &[&str], arguments: &[OsString]) -> Result<Infallible> {
    let compiler = setup::run(&setup::Options::default())?;
    build::bpf(&compiler, objects)?;
    let agent = build::agent(true)?;
    let program = build::binary("sg-tests", name, true)?;
    let mut command = Privilege::probe()
        .command(program)
        .with_context(|| format!("{name} makes network namespaces: run it as root, or install sudo"))?;
    become_program(
        command
            .env("SG_AGENT", agent)
            .env("SG_BENCH_OBJECT", place::bpf_object(build::BENCH)?)
            .current_dir(place::workspace()?)
            .args(arguments),
    )
}
