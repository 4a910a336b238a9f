//! `sg-agent confirm`, `sg-agent rollback`: the end of a change on trial, and the way back.

use serde::{Deserialize, Serialize};

use super::{answer::Answer, apply::list};
use crate::dataplane::Writer;

/// Make a change that waits for its confirmation lasting
#[derive(Debug, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirm {}

/// Return to the policy before
///
/// Ends a change that waits for its confirmation. Otherwise returns to the policy file in force before the last change of
/// it, one step: after that there is nothing to return to until the next change.
#[derive(Debug, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollback {}

impl Confirm {
    /// Does it.
    pub fn answer(&self, writer: &mut Writer) -> anyhow::Result<Answer> {
        let generation = writer.confirm()?;
        Ok(Answer::text(format!("generation {generation}: confirmed\n")).of_generation(generation))
    }
}

impl Rollback {
    /// Does it.
    pub fn answer(&self, writer: &mut Writer) -> anyhow::Result<Answer> {
        let text = match writer.rollback()? {
            Some(outcome) => {
                let interfaces = list(&outcome.interfaces);
                format!("generation {}: the policy before is in force; {interfaces}\n", outcome.generation)
            }
            None => "nothing is loaded any more, as before: nothing is filtered\n".to_owned(),
        };
        Ok(Answer::text(text))
    }
}
