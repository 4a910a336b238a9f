//! `sg-agent apply FILE`.

use std::{io::IsTerminal, path::PathBuf, process::ExitCode, sync::Arc};

use serde::Serialize;

use super::difference;
use crate::{
    dataplane::{Error, Loaded, Options, Outcome, Writer, bind, environment, interfaces},
    policy::{self, Loaded as File, Policy, code::Code, diagnostic::Diagnostic, render, suggest},
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
            refuse_missing(&mut file)?;
        }
        let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
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

/// A policy that names an interface which is not there is faulty for `apply`: a misspelt name would leave a guest
/// without its filter.
fn refuse_missing(file: &mut File) -> Result<(), Error> {
    let Some(policy) = &file.policy else { return Ok(()) };
    let devices = interfaces::list()?;
    let names = || devices.iter().map(|device| device.name.as_str());
    let faults: Vec<Diagnostic> = bind::missing(policy, &devices)
        .into_iter()
        .map(|at| {
            let name = &policy.interfaces[at].name;
            let span = file.positions.interfaces.get(at).copied().unwrap_or_default();
            let message = format!("there is no interface `{name}` on this host");
            let mut fault = Diagnostic::new(Code::InterfaceMissing, span, message);
            fault.help(format!(
                "this host has {}; a pattern (`tap*`) or --allow-missing accepts interfaces that come later",
                list(&names().map(str::to_owned).collect::<Vec<_>>())
            ));
            fault.suggestion = suggest::near_miss(name, names());
            fault
        })
        .collect();
    if !faults.is_empty() {
        file.policy = None;
        file.diagnostics.extend(faults);
    }
    Ok(())
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
