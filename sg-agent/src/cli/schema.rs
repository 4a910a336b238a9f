//! `sg-agent schema`.

use std::process::ExitCode;

use crate::policy::schema;

/// Print the JSON Schema of the policy file
#[derive(Debug, clap::Args)]
pub struct Schema {}

impl Schema {
    /// Prints it.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        super::print(&(serde_json::to_string_pretty(&schema::schema())? + "\n"))?;
        Ok(ExitCode::SUCCESS)
    }
}
