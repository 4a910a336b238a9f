//! `sg-agent rules`.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::{answer::Answer, wire};
use crate::{
    dataplane::{Loaded, Options},
    observe::{
        hits::{self, Row, Wanted},
        names, parse,
        table::table,
        time,
    },
    policy::{
        model::{Action, Direction},
        suggest,
    },
};

/// Show every rule in force with what it decided
#[derive(Debug, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Only rules on this interface
    #[arg(long)]
    #[serde(default)]
    interface: Option<String>,
    /// Only rules of this group
    #[arg(long)]
    #[serde(default)]
    group: Option<String>,
    /// Only rules that have been in force for this long without a hit: 30d, 12h
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    #[serde(default, with = "wire::duration")]
    unused: Option<Duration>,
    /// Print JSON
    #[arg(long)]
    #[serde(default)]
    json: bool,
}

impl Rules {
    /// The list.
    pub fn answer(&self, options: &Options) -> anyhow::Result<Answer> {
        let loaded = Loaded::open(options)?;
        names::check(&loaded.state, self.interface.as_deref())?;
        self.check_group(&loaded)?;
        let clock = loaded.kernel.clock()?;
        let hits = hits::counted(&loaded, &clock, self.interface.as_deref())?;
        let wanted =
            Wanted { interface: self.interface.clone(), group: self.group.clone(), unused: self.unused };
        let hits_at = |counter: u32| hits.get(&counter).copied().unwrap_or_default();
        let mut rows = hits::rows(&loaded.state, &wanted, clock.now_wall, hits_at);
        let mut note = String::new();
        if let Some(span) = self.unused {
            let (old, young) = hits::unused(rows, span, clock.now_wall);
            rows = old;
            note = note_young(young, span);
        }
        let answer = if self.json { Answer::json(&rows)? } else { Answer::text(human(&rows)) };
        Ok(answer.with_messages(note))
    }

    fn check_group(&self, loaded: &Loaded) -> anyhow::Result<()> {
        let groups = &loaded.state.policy().groups;
        let Some(name) = self.group.as_ref().filter(|name| !groups.contains_key(*name)) else {
            return Ok(());
        };
        let hint = suggest::near_miss(name, groups.keys().map(String::as_str));
        let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        anyhow::bail!("no group `{}` is in force{hint}", name.escape_debug())
    }
}

/// Says how many rules without a hit are too young to be called unused.
fn note_young(young: usize, span: Duration) -> String {
    if young == 0 {
        return String::new();
    }
    let span = time::span(span.as_secs());
    format!("sg-agent: rules without a hit that are in force for less than {span}: {young}\n")
}

fn human(rows: &[Row]) -> String {
    let now = SystemTime::now();
    let heading = [
        "INTERFACE",
        "DIRECTION",
        "GROUP",
        "RULE",
        "ACTION",
        "PRIORITY",
        "PACKETS",
        "BYTES",
        "LAST HIT",
        "IN FORCE FOR",
        "DESCRIPTION",
    ];
    let numeric = [false, false, false, true, false, true, true, true, false, false, false];
    let cells = |row: &Row| {
        [
            row.interface.clone(),
            direction(row.direction).to_owned(),
            row.group.clone(),
            row.index.to_string(),
            action(row).to_owned(),
            row.priority.to_string(),
            row.packets.to_string(),
            row.bytes.to_string(),
            row.last.map_or_else(|| "never".to_owned(), |last| ago(now, last)),
            row.since.map_or_else(String::new, |since| span_since(now, since)),
            row.description.clone(),
        ]
    };
    table(heading, numeric, &rows.iter().map(cells).collect::<Vec<_>>())
}

fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    }
}

fn action(row: &Row) -> &'static str {
    match (row.action, row.audit) {
        (Action::Allow, false) => "allow",
        (Action::Deny, false) => "deny",
        (Action::Allow, true) => "allow (audit)",
        (Action::Deny, true) => "deny (audit)",
    }
}

fn ago(now: SystemTime, then: SystemTime) -> String {
    format!("{} ago", span_since(now, then))
}

fn span_since(now: SystemTime, then: SystemTime) -> String {
    time::span(now.duration_since(then).unwrap_or_default().as_secs())
}
