//! `sg-agent service list`.

use std::{fmt::Write, process::ExitCode};

use serde::Serialize;

use crate::policy::services;

/// List the service presets
#[derive(Debug, clap::Args)]
pub struct Service {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Every preset that `service:` takes
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Serialize)]
struct Row {
    name: &'static str,
    description: &'static str,
    matches: Vec<&'static str>,
}

impl Service {
    /// Prints the list.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let Verb::List { json } = self.verb;
        let rows = services::ALL.iter().map(|service| Row {
            name: service.name,
            description: service.description,
            matches: service.spec.split(' ').collect(),
        });
        if json {
            super::print(&(serde_json::to_string(&rows.collect::<Vec<_>>())? + "\n"))?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut out = String::new();
        for row in rows {
            writeln!(out, "{:<30} {:<34} {}", row.name, row.matches.join(" "), row.description)?;
        }
        super::print(&out)?;
        Ok(ExitCode::SUCCESS)
    }
}
