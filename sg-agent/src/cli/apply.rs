//! `sg-agent apply FILE`.

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use serde::Serialize;

use super::{colour::Colour, dry_run::Forecast, missing};
use crate::{
    dataplane::{Error, Options, Outcome, Place, Writer, environment, interfaces, preview},
    observe::{parse, time},
    policy::{self, Loaded as File, Policy, Positions, render},
};

/// Load a policy file into the kernel and return when it is in force
#[derive(Debug, clap::Args)]
pub struct Apply {
    /// The policy file
    file: PathBuf,
    /// Accept interfaces that are not there yet: each is enforced once it is there and the policy is applied again
    #[arg(long)]
    allow_missing: bool,
    /// Only say what would change, and which live connections that would cut
    #[arg(long)]
    dry_run: bool,
    /// Return to the policy in force now unless `sg-agent confirm` comes within this time, 1s to 1d
    #[arg(long, value_name = "DURATION", value_parser = trial_time, conflicts_with = "dry_run")]
    confirm_within: Option<Duration>,
    /// Wait for the confirmation; exit status 4 if it does not come
    #[arg(long, requires = "confirm_within")]
    wait: bool,
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
    /// Interfaces that were filtered and are not any more.
    lost: &'a [String],
    confirm_within_seconds: Option<u64>,
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
            if self.json {
                super::print(&(render::json(&file.diagnostics, &file.sources, false)? + "\n"))?;
            }
            return Ok(ExitCode::FAILURE);
        };
        if self.dry_run {
            return self.dry_run(options, &policy, &file.positions);
        }
        let mut writer = Writer::open(options, Some(&policy.settings))?;
        let enforced = preview::enforced(&writer.loaded, &Place::find(options)?)?;
        let outcome = writer.apply_file(&policy, self.confirm_within)?;
        let lost = preview::lost(&writer.loaded.state, &enforced, &interfaces::list()?);
        drop(writer);
        self.report(&file, &policy, &outcome, &lost)?;
        if self.wait && !Writer::wait_for_confirmation(options, outcome.generation)? {
            return Err(
                Error::InUse("not confirmed: what was in force before has come back".to_owned()).into()
            );
        }
        Ok(ExitCode::SUCCESS)
    }

    fn dry_run(&self, options: &Options, policy: &Policy, positions: &Positions) -> anyhow::Result<ExitCode> {
        let preview = preview::preview(options, policy)?;
        let forecast = Forecast::new(&preview, positions);
        let name = render::printable(&self.file.display().to_string());
        super::print(&if self.json { forecast.json()? + "\n" } else { forecast.human(&name) })?;
        Ok(ExitCode::SUCCESS)
    }

    fn report(&self, file: &File, policy: &Policy, outcome: &Outcome, lost: &[String]) -> anyhow::Result<()> {
        let name = |at: &usize| Some(policy.interfaces.get(*at)?.name.as_str());
        let missing: Vec<&str> = outcome.missing.iter().filter_map(name).collect();
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
        for name in lost {
            super::print_error(&format!("sg-agent: {} is not filtered any more\n", render::printable(name)))?;
        }
        for name in &outcome.forgotten {
            super::print_error(&format!(
                "sg-agent: {} is gone: its binding by `attach` is forgotten\n",
                render::printable(name)
            ))?;
        }
        let Outcome { generation, is_changed, ref interfaces, confirm_within, .. } = *outcome;
        let confirm_within_seconds = confirm_within.map(|within| within.as_secs());
        if self.json {
            return super::print_json(&Report {
                generation,
                changed: is_changed,
                interfaces,
                missing,
                lost,
                confirm_within_seconds,
            });
        }
        let what = if is_changed || outcome.hooks_changed > 0 { "in force" } else { "nothing changed" };
        let until = confirm_within_seconds.map(|seconds| {
            format!("; what was before comes back in {} unless `sg-agent confirm` comes", time::span(seconds))
        });
        let until = until.unwrap_or_default();
        super::print(&format!("generation {generation}: {what}; {}{until}\n", list(interfaces)))
    }
}

/// How long a change may wait for its confirmation.
fn trial_time(text: &str) -> Result<Duration, String> {
    const LONGEST: Duration = Duration::from_secs(86_400);
    let time = parse::duration(text)?;
    let fits = !time.is_zero() && time <= LONGEST;
    fits.then_some(time).ok_or_else(|| "write a time from `1s` to `1d`".to_owned())
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
