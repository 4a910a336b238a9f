//! `sg-agent apply FILE`.

use std::{fmt::Write as _, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    answer::Answer, client::Client, colour::Colour, dry_run::Forecast, missing, served::Served, wire,
};
use crate::{
    dataplane::{Error, Options, Outcome, Writer, environment, interfaces, preview},
    observe::{parse, time},
    policy::{self, Loaded as File, Policy, Text, render},
};

/// Load a policy file into the kernel and return when it is in force
#[derive(Debug, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Apply {
    /// The policy file
    file: PathBuf,
    /// Accept interfaces that are not there yet: each is enforced when it appears, by the daemon at once, else by the next
    /// apply
    #[arg(long)]
    #[serde(default)]
    allow_missing: bool,
    /// Only say what would change, and which live connections that would cut
    #[arg(long)]
    #[serde(default)]
    dry_run: bool,
    /// Return to the policy in force now unless `sg-agent confirm` comes within this time, 1s to 1d
    #[arg(long, value_name = "DURATION", value_parser = parse::trial_time, conflicts_with = "dry_run")]
    #[serde(default, with = "wire::trial_time")]
    confirm_within: Option<Duration>,
    /// Wait for the confirmation; exit status 4 if it does not come
    #[arg(long, requires = "confirm_within")]
    #[serde(skip)]
    wait: bool,
    /// Print JSON
    #[arg(long)]
    #[serde(default)]
    json: bool,
    #[command(flatten)]
    #[serde(default)]
    colour: Colour,
    /// The file and those that it names, where they are not to be read by whoever does this.
    #[arg(skip)]
    #[serde(default)]
    texts: Vec<Text>,
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

/// A policy file that can be brought into force.
pub struct Ready {
    file: File,
    policy: Arc<Policy>,
    /// Warnings, for standard error.
    messages: String,
}

impl Ready {
    /// The policy.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// The texts that it was read from.
    pub fn texts(&self) -> Vec<Text> {
        self.file.sources.texts()
    }
}

impl Apply {
    /// Does it, or has the daemon do it.
    pub fn run(mut self, options: &Options, client: &Client) -> anyhow::Result<ExitCode> {
        self.colour = self.colour.settled();
        let ready = match self.load() {
            Ok(ready) => ready,
            Err(refusal) => return refusal?.print(),
        };
        let wait = self.wait;
        let answer = match client.connect(options)? {
            Some(daemon) => {
                self.texts = ready.texts();
                daemon.ask(&Served::Apply(self))?
            }
            None => self.answer(options, ready)?,
        };
        let status = answer.print()?;
        match answer.generation.filter(|_| wait) {
            Some(generation) if !Writer::wait_for_confirmation(options, generation)? => {
                Err(Error::InUse("not confirmed: what was in force before has come back".to_owned()).into())
            }
            _ => Ok(status),
        }
    }

    /// Reads and judges the file; the error is the answer to who gave a faulty one.
    pub fn load(&self) -> Result<Ready, anyhow::Result<Answer>> {
        let mut file = match self.texts.is_empty() {
            true => policy::load(&self.file),
            false => policy::load_texts(&self.texts),
        };
        // Who may not apply is told that first.
        if !self.allow_missing && environment::check().is_ok() {
            let devices = interfaces::list().map_err(|error| Err(error.into()))?;
            missing::refuse(&mut file, &devices);
        }
        let messages = render::human(&file.diagnostics, &file.sources, self.colour.on_stderr());
        match file.policy.take().map(Arc::new) {
            Some(policy) => Ok(Ready { file, policy, messages }),
            None => Err(self.refusal(&file, messages)),
        }
    }

    fn refusal(&self, file: &File, messages: String) -> anyhow::Result<Answer> {
        let answer = match self.json {
            true => Answer::json_line(render::json(&file.diagnostics, &file.sources, false)?),
            false => Answer::default(),
        };
        let messages = format!("{messages}{}: refused; the policy in force stays\n", self.name());
        Ok(Answer { status: 1, ..answer.with_messages(messages) })
    }

    /// Whether nothing is to be changed.
    pub fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    /// Whether it takes itself back unless it is confirmed.
    pub fn is_trial(&self) -> bool {
        self.confirm_within.is_some()
    }

    /// Brings it into force, or says what that would do.
    pub fn answer(&self, options: &Options, ready: Ready) -> anyhow::Result<Answer> {
        if self.dry_run {
            return self.forecast(options, ready);
        }
        let mut writer = Writer::open(options, Some(&ready.policy.settings))?;
        self.bring(&mut writer, ready)
    }

    /// Says what it would do.
    pub fn forecast(&self, options: &Options, ready: Ready) -> anyhow::Result<Answer> {
        let preview = preview::preview(options, &ready.policy)?;
        let forecast = Forecast::new(&preview, &ready.file.positions);
        let answer = match self.json {
            true => Answer::json_line(forecast.json()?),
            false => Answer::text(forecast.human(&self.name())),
        };
        Ok(answer.with_messages(ready.messages))
    }

    /// Brings it into force through `writer`, whose tables are as large as the policy asks for.
    pub fn bring(&self, writer: &mut Writer, ready: Ready) -> anyhow::Result<Answer> {
        let enforced = preview::enforced(&writer.loaded, writer.place())?;
        let outcome = writer.apply_file(&ready.policy, self.confirm_within)?;
        let lost = preview::lost(&writer.loaded.state, &enforced, &interfaces::list()?);
        self.report(ready, &outcome, &lost)
    }

    fn report(&self, ready: Ready, outcome: &Outcome, lost: &[String]) -> anyhow::Result<Answer> {
        let Ready { file, policy, mut messages } = ready;
        let name = |at: &usize| Some(policy.interfaces.get(*at)?.name.as_str());
        let missing: Vec<&str> = outcome.missing.iter().filter_map(name).collect();
        for (&at, name) in outcome.missing.iter().zip(&missing) {
            let span = file.positions.interfaces.get(at).copied().unwrap_or_default();
            writeln!(
                messages,
                "{}:{}:{}: warning: there is no device {}: it is enforced once it is there, by \
                 the daemon at once, else by the next apply",
                self.name(),
                span.line,
                span.column,
                render::printable(name),
            )?;
        }
        messages += &changes_of_hooks(outcome, lost);
        let Outcome { generation, is_changed, ref interfaces, confirm_within, .. } = *outcome;
        let confirm_within_seconds = confirm_within.map(|within| within.as_secs());
        if self.json {
            let changed = is_changed;
            let report = Report { generation, changed, interfaces, missing, lost, confirm_within_seconds };
            return Ok(Answer::json(&report)?.with_messages(messages).of_generation(generation));
        }
        Ok(Answer::text(in_words(outcome)).with_messages(messages).of_generation(generation))
    }

    fn name(&self) -> String {
        render::printable(&self.file.display().to_string())
    }
}

/// Interfaces that are not filtered any more, and bindings that are forgotten.
fn changes_of_hooks(outcome: &Outcome, lost: &[String]) -> String {
    let lost =
        lost.iter().map(|name| format!("sg-agent: {} is not filtered any more\n", render::printable(name)));
    let forgotten = outcome.forgotten.iter().map(|name| {
        format!("sg-agent: {} is gone: its binding by `attach` is forgotten\n", render::printable(name))
    });
    lost.chain(forgotten).collect()
}

fn in_words(outcome: &Outcome) -> String {
    let what = if outcome.is_changed || outcome.hooks_changed > 0 { "in force" } else { "nothing changed" };
    let until = outcome.confirm_within.map(|within| {
        let span = time::span(within.as_secs());
        format!("; what was before comes back in {span} unless `sg-agent confirm` comes")
    });
    let (interfaces, until) = (list(&outcome.interfaces), until.unwrap_or_default());
    format!("generation {}: {what}; {interfaces}{until}\n", outcome.generation)
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
