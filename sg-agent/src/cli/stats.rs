//! `sg-agent stats`.

use std::process::ExitCode;

use crate::{
    dataplane::{Loaded, Options},
    observe::{
        counts::{self, DirectionCounts, InterfaceCounts},
        names,
        table::table,
    },
};

/// Show packets and drops by interface and reason
#[derive(Debug, clap::Args)]
pub struct Stats {
    /// Only this interface
    #[arg(long)]
    interface: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Stats {
    /// Prints the counters.
    pub fn run(self, options: &Options) -> anyhow::Result<ExitCode> {
        let loaded = Loaded::open(options)?;
        names::check(&loaded.state, self.interface.as_deref())?;
        let mut interfaces = Vec::new();
        for (name, bound) in loaded.state.interfaces() {
            if self.interface.as_ref().is_none_or(|wanted| wanted == name) {
                interfaces.push(InterfaceCounts::new(name, &loaded.kernel.interface_stats(bound.slot)?));
            }
        }
        if self.json {
            super::print_json(&counts::Stats { interfaces })?;
        } else {
            super::print(&human(&interfaces))?;
        }
        Ok(ExitCode::SUCCESS)
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
