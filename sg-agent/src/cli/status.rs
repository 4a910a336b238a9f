//! `sg-agent status`.

use std::{collections::BTreeMap, fmt::Write as _};

use comfy_table::{Table, presets};
use serde::{Deserialize, Serialize};

use super::{answer::Answer, apply::list};
use crate::{
    daemon::reload::Reload,
    dataplane::{
        Loaded, Options, Place,
        capacity::Fill as TableFill,
        hooks::{self, InterfaceStatus},
        trial::Pending,
    },
    policy::model::Role,
};

/// Interfaces, hooks in use, groups, generation, conntrack fill
#[derive(Debug, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// Print JSON
    #[arg(long)]
    #[serde(default)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    generation: u32,
    pending: Option<Pending>,
    /// The last change was not confirmed in time.
    has_returned: bool,
    interfaces: Vec<InterfaceStatus>,
    conntrack: Fill,
    capacity: Vec<TableFill>,
    /// What the daemon last made of its file; absent where none runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    reload: Option<Reload>,
}

#[derive(Serialize)]
struct Fill {
    entries: u64,
    max_entries: u32,
}

impl Status {
    /// It, with what the daemon last made of its file, where one runs.
    pub fn answer(&self, options: &Options, reload: Option<Reload>) -> anyhow::Result<Answer> {
        let loaded = Loaded::open(options)?;
        let clock = loaded.kernel.clock()?;
        let (now, control) = (clock.now_tick, loaded.kernel.control());
        let report = Report {
            generation: loaded.state.generation(),
            pending: Pending::of(&control, &clock),
            has_returned: control.is_taken_back(now) && control.word != control.fallback,
            interfaces: hooks::status(&loaded, &Place::find(options)?)?,
            conntrack: Fill {
                entries: loaded.kernel.count_connections(now),
                max_entries: loaded.kernel.settings()?.max_entries,
            },
            capacity: loaded.capacity()?,
            reload,
        };
        if self.json { Answer::json(&report) } else { Ok(Answer::text(human(&report)?)) }
    }
}

fn human(report: &Report) -> anyhow::Result<String> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["INTERFACE", "INDEX", "ROLE", "GROUPS", "RECEIVE", "TRANSMIT", "ENFORCED"]);
    for one in &report.interfaces {
        let role = match one.role {
            Role::Guest => "guest",
            Role::Host => "host",
        };
        let enforced = match (one.enforced, one.ifindex, &one.now_called) {
            (true, ..) => "yes".to_owned(),
            (false, _, Some(name)) => format!("now called {name}"),
            (false, 0, None) => "no such device".to_owned(),
            (false, ..) => "NO".to_owned(),
        };
        table.add_row([
            &one.name,
            &one.ifindex.to_string(),
            role,
            &one.groups.join(", "),
            one.rx_hook,
            one.tx_hook,
            &enforced,
        ]);
    }
    let mut out = String::new();
    let Fill { entries, max_entries } = report.conntrack;
    writeln!(out, "generation {}, connections {entries} of {max_entries}", report.generation)?;
    if let Some(pending) = &report.pending {
        writeln!(out, "the last change {pending}; then generation {} returns", pending.returns_to)?;
    }
    if report.has_returned {
        writeln!(
            out,
            "the last change was not confirmed in time: what was in force before is in force again"
        )?;
    }
    if let Some(reload) = &report.reload {
        writeln!(out, "{reload}")?;
        if reload.generation != report.generation {
            writeln!(
                out,
                "changed since, by a command or with the devices: generation {} is in force",
                report.generation
            )?;
        }
    }
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    for one in report.interfaces.iter().filter(|one| !one.enforced && !one.rx_reason.is_empty()) {
        writeln!(out, "{}: NOT enforced: {}", one.name, one.rx_reason)?;
    }
    for ((hook, reason), names) in reasons(&report.interfaces) {
        writeln!(out, "{}: receive hook {hook}: {reason}", list(&names))?;
    }
    out.push_str(&capacity(&report.capacity));
    Ok(out)
}

/// How full the tables are.
fn capacity(fills: &[TableFill]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["TABLE", "USED", "OF", "SETTING"]);
    for one in fills {
        table.add_row([one.table, &one.used.to_string(), &one.max.to_string(), one.setting]);
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// Why receive hooks are what they are: hook and reason, and the interfaces that they go for.
fn reasons(interfaces: &[InterfaceStatus]) -> BTreeMap<(&str, &str), Vec<String>> {
    let mut all: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for one in interfaces.iter().filter(|one| one.enforced) {
        all.entry((one.rx_hook, one.rx_reason.as_str())).or_default().push(one.name.clone());
    }
    all
}
