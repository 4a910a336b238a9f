//! `cargo xtask package`: a Debian package of the agent, and its test under a systemd of its own.

mod content;
mod deb;
mod notices;
mod trial;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result};

use crate::{build, place::target_dir, setup};

/// `cargo xtask package`
#[derive(clap::Args, Default)]
pub struct Options {
    /// Version of the package, instead of the workspace's
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// Pack this sg-agent instead of building one
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// Also install it on a clean Debian in a container, under a systemd of its own: restarts, upgrades, reboots
    #[arg(long)]
    test: bool,
}

/// The version of a package of this workspace.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "-1");
/// A version that dpkg takes for a later one.
const NEXT_VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "-2");

/// Builds the package and prints where it is.
pub fn run(options: &Options) -> Result<ExitCode> {
    let agent = match &options.agent {
        Some(agent) => agent.clone(),
        None => build_agent()?,
    };
    let version = options.version.as_deref().unwrap_or(VERSION);
    let package = make(&agent, version)?;
    println!("{}", package.display());
    match options.test {
        true => trial::run(&package, &make(&agent, NEXT_VERSION)?),
        false => Ok(ExitCode::SUCCESS),
    }
}

fn build_agent() -> Result<PathBuf> {
    build::bpf(&setup::run(&setup::Options::default())?, &[build::PRODUCT])?;
    build::agent(true)
}

/// Packs `agent`; returns the package's path.
fn make(agent: &Path, version: &str) -> Result<PathBuf> {
    let place = target_dir()?.join("package");
    let stage = place.join("stage");
    if stage.exists() {
        fs::remove_dir_all(&stage).with_context(|| stage.display().to_string())?;
    }
    content::stage(agent, version, &stage)?;
    deb::build(&stage, version, &place)
}
