//! `sg-agent unload`.

use std::process::ExitCode;

use crate::dataplane::{self, Options};

/// Detach everything and remove every pin
#[derive(Debug, clap::Args)]
pub struct Unload {}

impl Unload {
    /// Does it.
    pub fn run(self, options: &Options) -> anyhow::Result<ExitCode> {
        let was_loaded = dataplane::unload(options)?;
        super::print(if was_loaded {
            "unloaded: nothing is filtered any more\n"
        } else {
            "nothing was loaded\n"
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
