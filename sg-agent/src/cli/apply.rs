//! `sg-agent apply FILE`.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use serde::Serialize;

use super::{colour::Colour, difference, missing};
use crate::{
    dataplane::{Error, Loaded, Options, Outcome, Writer, environment, interfaces},
    policy::{self, Loaded as File, Policy, render},
};

/// Load a policy file into the kernel and return when it is in force
#[derive(Debug, clap::Args)]
pub struct Apply {
    /// The policy file
    file: PathBuf,
    /// Accept interfaces that are not there yet: each is enforced once it is there and the policy is applied again
    #[arg(long)]
    allow_missing: bool,
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    colour: Colour,
}

#[derive(Serialize)]
struct Report<'a> {
    generation: u32,
    changed: bool,
    interfaces: &'a [String],
    missing: Vec<&'a str>,
}

impl Apply {
    /// Does it.
    pub fn run(self, options: &Options) -> anyhow::Result<ExitCode> {
        let mut file = policy::load(&self.file);
        // Who may not apply is told that first.
        if !self.allow_missing && environment::check().is_ok() {
            missing::refuse(&mut file, &interfaces::list()?);
        }
        let colour = self.colour.on_stderr();
        super::print_error(&render::human(&file.diagnostics, &file.sources, colour))?;
        let Some(policy) = file.policy.take().map(Arc::new) else {
            let name = render::printable(&self.file.display().to_string());
            super::print_error(&format!("{name}: refused; the policy in force stays\n"))?;
            return Ok(ExitCode::FAILURE);
        };
        if self.dry_run {
            return self.dry_run(options, &policy);
        }
        let mut writer = Writer::open(options, Some(&policy.settings))?;
        let outcome = writer.apply(&policy)?;
        self.report(&file, &policy, &outcome)?;
        Ok(ExitCode::SUCCESS)
    }

    fn dry_run(&self, options: &Options, policy: &Policy) -> anyhow::Result<ExitCode> {
        let before = match Loaded::open(options) {
            Ok(loaded) => Arc::clone(loaded.state.policy()),
            Err(Error::NotLoaded) => Arc::default(),
            Err(error) => return Err(error.into()),
        };
        let changes = difference::changes(&before, policy);
        let text = if self.json {
            serde_json::to_string(&changes)? + "\n"
        } else if changes.is_empty() {
            "nothing would change\n".to_owned()
        } else {
            changes.iter().map(|change| format!("{change}\n")).collect()
        };
        super::print(&text)?;
        Ok(ExitCode::SUCCESS)
    }

    fn report(&self, file: &File, policy: &Policy, outcome: &Outcome) -> anyhow::Result<()> {
        let missing: Vec<&str> =
            outcome.missing.iter().map(|&at| policy.interfaces[at].name.as_str()).collect();
        for (&at, name) in outcome.missing.iter().zip(&missing) {
            let span = file.positions.interfaces.get(at).copied().unwrap_or_default();
            super::print_error(&format!(
                "{}:{}:{}: warning: there is no device {}: it is enforced once it is there and \
                 the policy is applied again\n",
                render::printable(&self.file.display().to_string()),
                span.line,
                span.column,
                render::printable(name),
            ))?;
        }
        let Outcome { generation, is_changed, ref interfaces, .. } = *outcome;
        if self.json {
            let report = Report { generation, changed: is_changed, interfaces, missing };
            return super::print(&(serde_json::to_string(&report)? + "\n"));
        }
        let what = if is_changed || outcome.hooks_changed > 0 { "in force" } else { "nothing changed" };
        super::print(&format!("generation {generation}: {what}; {}\n", list(interfaces)))
    }
}

/// The interfaces in a line, however many.
pub(super) fn list(interfaces: &[String]) -> String {
    const SHOWN: usize = 8;
    match interfaces {
        [] => "no interface".to_owned(),
        [one] => format!("interface {one}"),
        many if many.len() <= SHOWN => format!("interfaces {}", many.join(", ")),
        many => format!("{} interfaces: {}, …", many.len(), many[..SHOWN].join(", ")),
    }
}
