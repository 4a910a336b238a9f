//! `sg-agent stats`.

use serde::{Deserialize, Serialize};

use super::answer::Answer;
use crate::{
    dataplane::{Loaded, Options},
    observe::{
        counts::{self, DirectionCounts, InterfaceCounts},
        names,
        table::table,
    },
};

/// Show packets and drops by interface and reason
#[derive(Debug, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stats {
    /// Only this interface
    #[arg(long)]
    #[serde(default)]
    interface: Option<String>,
    /// Print JSON
    #[arg(long)]
    #[serde(default)]
    json: bool,
}

impl Stats {
    /// The counters.
    pub fn answer(&self, options: &Options) -> anyhow::Result<Answer> {
        let loaded = Loaded::open(options)?;
        names::check(&loaded.state, self.interface.as_deref())?;
        let mut interfaces = Vec::new();
        for (name, bound) in loaded.state.interfaces() {
            if self.interface.as_ref().is_none_or(|wanted| wanted == name) {
                interfaces.push(InterfaceCounts::new(name, &loaded.kernel.interface_stats(bound.slot)?));
            }
        }
        match self.json {
            true => Answer::json(&counts::Stats { interfaces }),
            false => Ok(Answer::text(human(&interfaces))),
        }
    }
}

fn human(interfaces: &[InterfaceCounts]) -> String {
    let heading =
        ["INTERFACE", "DIRECTION", "PACKETS", "ALLOWED", "BYTES", "DROPPED", "OPENED", "AUDITED", "REASONS"];
    let numeric = [false, false, true, true, true, true, true, true, false];
    let cells = |name: &str, direction: &str, counts: &DirectionCounts| {
        [
            name.to_owned(),
            direction.to_owned(),
            counts.packets.to_string(),
            counts.allowed.to_string(),
            counts.bytes.to_string(),
            counts.drops().to_string(),
            counts.opened.to_string(),
            counts.audited.to_string(),
            counts.reasons(),
        ]
    };
    let both = |one: &InterfaceCounts| {
        [cells(&one.name, "ingress", &one.ingress), cells(&one.name, "egress", &one.egress)]
    };
    table(heading, numeric, &interfaces.iter().flat_map(both).collect::<Vec<_>>())
}
