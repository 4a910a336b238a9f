//! `sg-agent check FILE`.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::ExitCode,
};

use super::{colour::Colour, fit};
use crate::policy::{self, Loaded, Severity, model::Group, render, source::FileId};

/// Validate a policy file
#[derive(Debug, clap::Args)]
pub struct Check {
    /// The policy file; `-` is standard input
    file: PathBuf,
    /// How findings are printed
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Refuse a file with warnings too
    #[arg(long)]
    deny_warnings: bool,
    /// Same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    #[command(flatten)]
    colour: Colour,
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// With source lines, on standard error
    Human,
    /// One JSON object, on standard output
    Json,
    /// GitHub workflow commands, on standard output
    Github,
}

impl Check {
    /// Prints the findings; fails when they refuse the file.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let mut loaded =
            if self.file == Path::new("-") { policy::load_stdin() } else { policy::load(&self.file) };
        fit::refuse(&mut loaded);
        let ok = loaded.is_ok(self.deny_warnings);
        match if self.json { Format::Json } else { self.format } {
            Format::Human => self.human(&loaded, ok)?,
            Format::Json => {
                super::print(&(render::json(&loaded.diagnostics, &loaded.sources, ok)? + "\n"))?;
            }
            Format::Github => super::print(&render::github(&loaded.diagnostics, &loaded.sources))?,
        }
        Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn human(&self, loaded: &Loaded, ok: bool) -> anyhow::Result<()> {
        let colour = self.colour.on_stderr();
        super::print_error(&render::human(&loaded.diagnostics, &loaded.sources, colour))?;
        let name = render::printable(loaded.sources.name(FileId::default()));
        match (&loaded.policy, ok) {
            (Some(policy), true) => {
                let rules: usize = policy.groups.values().map(written_rules).sum();
                let (groups, interfaces) = (policy.groups.len(), policy.interfaces.len());
                super::print(&format!(
                    "{name}: ok; groups: {groups}, rules: {rules}, interfaces: {interfaces}\n"
                ))
            }
            _ => super::print_error(&format!("{name}: refused; {}\n", count(loaded))),
        }
    }
}

/// Rules as the file has them: one with a `service:` may stand for several.
fn written_rules(group: &Group) -> usize {
    group.rules.iter().map(|rule| rule.index).collect::<BTreeSet<u32>>().len()
}

fn count(loaded: &Loaded) -> String {
    let of = |severity| loaded.diagnostics.iter().filter(|one| one.severity() == severity).count();
    format!("faults: {}, warnings: {}", of(Severity::Error), of(Severity::Warning))
}
