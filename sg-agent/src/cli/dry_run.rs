//! `sg-agent apply --dry-run`: what would change, and whom it would hit.

use std::fmt::Write as _;

use serde::Serialize;

use super::difference::{self, Change};
use crate::{
    compile::fate::{self, Cut},
    dataplane::preview::Preview,
    observe::{
        connection::{self, Connection, Row},
        table::table,
        time,
    },
    policy::{Policy, Positions, model::TcpPickup, render::printable},
};

/// What a change would do.
pub struct Forecast<'a> {
    preview: &'a Preview,
    changes: Vec<Change>,
    /// All live connections.
    live: usize,
    /// Those that would be cut, and why.
    cut: Vec<(Connection, String)>,
}

/// `apply --dry-run --json`.
#[derive(Serialize)]
struct Report<'a> {
    /// The generation in force; 0 = none.
    generation: u32,
    changes: &'a [Change],
    /// Interfaces that are not filtered and would be.
    gained: &'a [String],
    /// Interfaces that are filtered and would not be.
    lost: &'a [String],
    /// Bindings by `attach` to devices that are gone.
    forgotten: &'a [String],
    live: usize,
    cut: Vec<CutRow<'a>>,
}

#[derive(Serialize)]
struct CutRow<'a> {
    #[serde(flatten)]
    connection: Row<'a>,
    because: &'a str,
}

impl<'a> Forecast<'a> {
    /// That of `preview`; the new file's items stand at `positions`.
    pub fn new(preview: &'a Preview, positions: &Positions) -> Self {
        let nothing = Policy::default();
        let before = preview.loaded.as_ref().map_or(&nothing, |loaded| loaded.state.policy().as_ref());
        let live =
            preview.loaded.as_ref().map_or(Vec::new(), |loaded| connection::all(loaded, &preview.clock));
        Self {
            changes: difference::changes(before, preview.next.policy(), positions),
            live: live.len(),
            cut: live.into_iter().filter_map(|one| why(preview, &one).map(|why| (one, why))).collect(),
            preview,
        }
    }

    /// In JSON.
    pub fn json(&self) -> serde_json::Result<String> {
        let Preview { loaded, clock, gained, lost, forgotten, .. } = self.preview;
        serde_json::to_string(&Report {
            generation: loaded.as_ref().map_or(0, |loaded| loaded.state.generation()),
            changes: &self.changes,
            gained,
            lost,
            forgotten,
            live: self.live,
            cut: self
                .cut
                .iter()
                .map(|(one, why)| CutRow { connection: one.row(clock), because: why })
                .collect(),
        })
    }

    /// For people; `file` is the new file's name.
    pub fn human(&self, file: &str) -> String {
        let Preview { gained, lost, forgotten, .. } = self.preview;
        let mut out = difference::human(&self.changes, file);
        if out.is_empty() {
            out.push_str("the policy is the one in force\n");
        }
        for name in lost {
            let _ = writeln!(out, "{}: would not be filtered any more", printable(name));
        }
        for name in gained {
            let _ =
                writeln!(out, "{}: is not filtered now and would be; {}", printable(name), self.under_way());
        }
        for name in forgotten {
            let _ = writeln!(out, "{}: is gone; its binding by `attach` would be forgotten", printable(name));
        }
        out + &self.cut_listed()
    }

    /// What becomes of connections that nobody has tracked so far.
    fn under_way(&self) -> &'static str {
        match self.preview.next.policy().settings.conntrack.tcp_pickup {
            TcpPickup::Strict => "TCP connections under way there are not tracked and would be cut",
            TcpPickup::Loose => "TCP connections under way there would be judged by the rules",
        }
    }

    fn cut_listed(&self) -> String {
        let live = self.live;
        if self.cut.is_empty() {
            return format!("of {live} live connections none would be cut\n");
        }
        let heading =
            ["INTERFACE", "PROTOCOL", "STATE", "OPENER", "LOCAL", "REMOTE", "EXPIRES", "CUT BECAUSE"];
        let numeric = [false, false, false, false, false, false, true, false];
        let cells = |(one, why): &(Connection, String)| {
            [
                one.interface.clone(),
                one.protocol_name(),
                one.state().to_owned(),
                one.opener().to_owned(),
                one.local.to_string(),
                one.remote.to_string(),
                time::span(time::seconds_up(&self.preview.clock, one.remaining)),
                printable(why),
            ]
        };
        let rows: Vec<_> = self.cut.iter().map(cells).collect();
        format!("of {live} live connections would be cut: {}\n{}", rows.len(), table(heading, numeric, &rows))
    }
}

/// Why a connection would be cut; `None`: it goes on, filtered or not.
fn why(preview: &Preview, one: &Connection) -> Option<String> {
    let bound = preview.next.interfaces().get(&one.interface)?;
    let cut = fate::cut(&preview.next, bound, &one.tracked, preview.clock.now_tick)?;
    Some(match cut {
        Cut::Rule(group, rule) if rule.description.is_empty() => {
            format!("rule {} of group {} denies it", rule.index, group.name)
        }
        Cut::Rule(group, rule) => {
            format!("rule {} of group {} ({}) denies it", rule.index, group.name, rule.description)
        }
        Cut::Default if bound.groups.is_empty() => "no group is bound, nothing passes".to_owned(),
        Cut::Default => format!("no rule of {} allows it", bound.groups.join(", ")),
        Cut::Cleared => "on_ingress_change: clear".to_owned(),
        Cut::Predecessor => "it was another device's of that name".to_owned(),
        Cut::Spoofed => format!("{} is not an address of the interface any more", one.local.address),
        Cut::Untracked => "its rule is stateless, and none lets replies out".to_owned(),
    })
}
