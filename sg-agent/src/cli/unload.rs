//! `sg-agent unload`.

use serde::{Deserialize, Serialize};

use super::answer::Answer;
use crate::dataplane::{self, Options};

/// Detach everything and remove every pin
#[derive(Debug, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unload {}

impl Unload {
    /// Does it.
    pub fn answer(&self, options: &Options) -> anyhow::Result<Answer> {
        let was_loaded = dataplane::unload(options)?;
        Ok(Answer::text(if was_loaded {
            "unloaded: nothing is filtered any more\n"
        } else {
            "nothing was loaded\n"
        }))
    }
}
