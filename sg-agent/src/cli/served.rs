//! The verbs that a running daemon serves, one definition for the command line and the control socket: in JSON a verb is
//! its name with its options, `{"attach": {"interface": "tap0", "groups": ["web"]}}`.

use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use super::{Answer, Client, apply, attach, confirm, conntrack, explain, rules, stats, status, unload};
use crate::{
    dataplane::{Options, Writer},
    events::Wish,
};

/// A verb about what is in force.
#[derive(Debug, clap::Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Served {
    /// Load a policy file into the kernel and return when it is in force
    Apply(apply::Apply),
    /// Make a change that waits for its confirmation lasting
    Confirm(confirm::Confirm),
    /// Stream what happens; `monitor` of the command line asks for it.
    #[command(skip)]
    Monitor(Wish),
    /// Return to the policy before
    Rollback(confirm::Rollback),
    /// Bind an interface to groups and return when it is enforced
    Attach(attach::Attach),
    /// Take the binding of an interface back; it is not filtered any more
    Detach(attach::Detach),
    /// Detach everything and remove every pin
    Unload(unload::Unload),
    /// Interfaces, hooks in use, groups, generation, conntrack fill
    Status(status::Status),
    /// Show every rule in force with what it decided
    Rules(rules::Rules),
    /// List, count and end tracked connections
    Conntrack(conntrack::Conntrack),
    /// Ask what would become of a packet, and why
    Explain(explain::Explain),
    /// Show packets and drops by interface and reason
    Stats(stats::Stats),
}

impl Served {
    /// Does it: what changes something is the daemon's where one runs; who only reads needs nobody.
    pub fn run(self, options: &Options, client: &Client) -> anyhow::Result<ExitCode> {
        match self {
            Self::Apply(verb) => verb.run(options, client),
            Self::Attach(_) | Self::Confirm(_) | Self::Detach(_) | Self::Rollback(_) | Self::Unload(_) => {
                match client.connect(options)? {
                    Some(daemon) => daemon.ask(&self)?.print(),
                    None => self.answer(options)?.print(),
                }
            }
            // The daemon knows more, and who asks may do so because it does not answer.
            Self::Status(_) => match client.connect(options)?.map(|daemon| daemon.ask(&self)) {
                Some(Ok(answer)) => answer.print(),
                Some(Err(error)) => {
                    log::warn!("{error:#}");
                    self.answer(options)?.print()
                }
                None => self.answer(options)?.print(),
            },
            Self::Conntrack(_) | Self::Explain(_) | Self::Monitor(_) | Self::Rules(_) | Self::Stats(_) => {
                self.answer(options)?.print()
            }
        }
    }

    /// Does it without a daemon.
    fn answer(&self, options: &Options) -> anyhow::Result<Answer> {
        let writer = || Writer::open(options, None);
        match self {
            Self::Apply(verb) => match verb.load() {
                Ok(ready) => verb.answer(options, ready),
                Err(refusal) => refusal,
            },
            Self::Attach(verb) => verb.answer(&mut writer()?),
            Self::Confirm(verb) => verb.answer(&mut writer()?),
            Self::Conntrack(verb) => verb.answer(options),
            Self::Detach(verb) => verb.answer(&mut writer()?),
            Self::Explain(verb) => verb.answer(options),
            Self::Monitor(_) => anyhow::bail!("a stream is no answer"),
            Self::Rollback(verb) => verb.answer(&mut writer()?),
            Self::Rules(verb) => verb.answer(options),
            Self::Stats(verb) => verb.answer(options),
            Self::Status(verb) => verb.answer(options, None),
            Self::Unload(verb) => verb.answer(options),
        }
    }
}
