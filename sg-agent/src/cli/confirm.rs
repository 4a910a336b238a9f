//! `sg-agent confirm`, `sg-agent rollback`: the end of a change on trial, and the way back.

use std::process::ExitCode;

use super::apply::list;
use crate::dataplane::{Options, Writer};

/// Make a change that waits for its confirmation lasting
#[derive(Debug, clap::Args)]
pub struct Confirm {}

/// Return to the policy before
///
/// Ends a change that waits for its confirmation. Otherwise returns to the policy file in force before the last change of
/// it, one step: after that there is nothing to return to until the next change.
#[derive(Debug, clap::Args)]
pub struct Rollback {}

impl Confirm {
    /// Does it.
    pub fn run(self, options: &Options) -> anyhow::Result<ExitCode> {
        let generation = Writer::open(options, None)?.confirm()?;
        super::print(&format!("generation {generation}: confirmed\n"))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Rollback {
    /// Does it.
    pub fn run(self, options: &Options) -> anyhow::Result<ExitCode> {
        let text = match Writer::open(options, None)?.rollback()? {
            Some(outcome) => {
                let interfaces = list(&outcome.interfaces);
                format!("generation {}: the policy before is in force; {interfaces}\n", outcome.generation)
            }
            None => "nothing is loaded any more, as before: nothing is filtered\n".to_owned(),
        };
        super::print(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}
