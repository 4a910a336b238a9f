//! Rows as text, sorted and filtered.

use std::cmp::Reverse;

use ratatui::{
    layout::{Alignment, Constraint},
    style::Style,
};

use super::{
    numbers::{grouped, short, sparkline, whole},
    rates::REMEMBERED,
    snapshot::{Drops, Flow, Interface, Rate, Rule, Snapshot},
    theme::Theme,
    view::{Tab, View},
};
use crate::{
    explain::words,
    observe::time,
    policy::{
        model::{Action, Direction},
        render::printable,
    },
};

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its heading.
    pub name: &'static str,
    /// How wide it is.
    pub width: Constraint,
    /// Where its text stands.
    pub alignment: Alignment,
    /// Where there is no room for all, the columns with the highest of these go first; those with 0 stay.
    spare: u8,
}

impl Column {
    /// The same, which goes where there is no room; those with a higher `rank` before.
    const fn spare(self, rank: u8) -> Self {
        Self { spare: rank, ..self }
    }

    /// The least that it takes.
    const fn least(&self) -> u16 {
        match self.width {
            Constraint::Length(width) | Constraint::Min(width) => width,
            _ => 0,
        }
    }
}

/// A cell.
#[derive(Clone, Debug)]
pub struct Cell {
    /// What it says.
    pub text: String,
    /// How it looks.
    pub style: Style,
}

/// Rows under a heading.
#[derive(Clone, Debug)]
pub struct Table {
    /// The columns.
    pub columns: Vec<Column>,
    /// As many cells in each.
    pub rows: Vec<Vec<Cell>>,
    /// What is said where there is no row.
    pub nothing: &'static str,
}

impl Table {
    /// The table without the columns that there is no room for in `width`.
    pub fn fitting(mut self, width: u16) -> Self {
        while self.columns.iter().map(|column| column.least() + 1).sum::<u16>() > width + 1 {
            let spare = self.columns.iter().enumerate().max_by_key(|(_, column)| column.spare);
            let Some(at) = spare.filter(|(_, column)| column.spare > 0).map(|(at, _)| at) else { break };
            self.columns.remove(at);
            for row in &mut self.rows {
                row.remove(at);
            }
        }
        self
    }
}

/// The least that an interface's picture takes.
const PICTURE: u16 = 12;

const fn left(name: &'static str, width: u16) -> Column {
    Column { name, width: Constraint::Length(width), alignment: Alignment::Left, spare: 0 }
}

const fn right(name: &'static str, width: u16) -> Column {
    Column { name, width: Constraint::Length(width), alignment: Alignment::Right, spare: 0 }
}

/// Takes what the others leave.
const fn rest(name: &'static str, least: u16) -> Column {
    Column { name, width: Constraint::Min(least), alignment: Alignment::Left, spare: 0 }
}

fn cell(text: impl Into<String>, style: Style) -> Cell {
    Cell { text: text.into(), style }
}

fn plain(text: impl Into<String>) -> Cell {
    cell(text, Style::new())
}

/// A number that is quiet when it is 0.
fn number(value: f64, style: Style, theme: Theme) -> Cell {
    let text = short(value);
    let style = if text == "0" { theme.quiet() } else { style };
    cell(text, style)
}

/// The table of a tab, as the view has it.
pub fn table(tab: Tab, snapshot: &Snapshot, view: &View, theme: Theme) -> Table {
    let order = view.order(tab);
    let mut table = match tab {
        Tab::Overview | Tab::Interfaces => interfaces(&snapshot.interfaces, order, theme),
        Tab::Flows => flows(&snapshot.flows, order, theme),
        Tab::Drops => drops(&snapshot.drops, order, theme),
        Tab::Rules => rules(&snapshot.rules, order, theme),
    };
    if !view.filter.is_empty() {
        let wanted = view.filter.to_lowercase();
        table.rows.retain(|row| row.iter().any(|cell| cell.text.to_lowercase().contains(&wanted)));
        table.nothing = "nothing has that text in it";
    }
    table
}

/// Largest first.
fn descending(value: f64) -> Reverse<u64> {
    Reverse((value * 1000.0) as u64)
}

fn interfaces(all: &[Interface], order: &str, theme: Theme) -> Table {
    let mut sorted: Vec<&Interface> = all.iter().collect();
    sorted.sort_by_key(|one| {
        let key = match order {
            "drops" => one.ingress.drops + one.egress.drops,
            "name" => 0.0,
            _ => one.ingress.packets + one.egress.packets,
        };
        (descending(key), one.name.clone())
    });
    let row = |one: &&Interface| {
        let direction = |rate: &Rate| {
            [
                number(rate.packets, theme.good(), theme),
                number(rate.bytes, Style::new(), theme),
                number(rate.drops, theme.bad(), theme),
            ]
        };
        let mut row = vec![cell(printable(&one.name), theme.name())];
        row.extend(direction(&one.ingress));
        row.extend(direction(&one.egress));
        row.push(number(one.opened, Style::new(), theme));
        row.push(cell(sparkline(&one.history, REMEMBERED), theme.history()));
        row
    };
    Table {
        columns: vec![
            left("INTERFACE", 15),
            right("IN pkt", 6),
            right("byte", 5),
            right("drop", 5),
            right("OUT pkt", 7),
            right("byte", 5),
            right("drop", 5),
            right("new", 5).spare(1),
            Column { alignment: Alignment::Right, ..rest("PACKETS", PICTURE).spare(2) },
        ],
        rows: sorted.iter().map(row).collect(),
        nothing: "no interface is bound",
    }
}

fn flows(all: &[Flow], order: &str, theme: Theme) -> Table {
    let mut sorted: Vec<&Flow> = all.iter().collect();
    match order {
        "newest" => sorted.sort_by_key(|one| one.age),
        "oldest" => sorted.sort_by_key(|one| Reverse(one.age)),
        "expiry" => sorted.sort_by_key(|one| one.expires),
        "interface" => sorted.sort_by(|a, b| a.interface.cmp(&b.interface)),
        _ => sorted.sort_by_key(|one| (descending(one.bytes), one.age)),
    }
    let row = |one: &&Flow| {
        let (way, from, to) = match one.opener {
            Direction::Ingress => ("in", one.remote, one.local),
            Direction::Egress => ("out", one.local, one.remote),
        };
        let state = match one.state {
            "established" | "two-way" => theme.good(),
            "fin-wait" => theme.quiet(),
            _ => theme.warning(),
        };
        vec![
            cell(printable(&one.interface), theme.name()),
            plain(one.protocol.clone()),
            cell(one.state, state),
            plain(way),
            plain(format!("{from} > {to}")),
            number(one.packets, theme.good(), theme),
            number(one.bytes, Style::new(), theme),
            plain(time::span(one.age)),
            plain(time::span(one.expires)),
        ]
    };
    Table {
        columns: vec![
            left("IFACE", 8),
            left("PROT", 4),
            left("STATE", 11),
            left("BY", 3).spare(1),
            rest("FROM > TO", 26),
            right("pkt", 5).spare(3),
            right("byte", 5),
            right("AGE", 5).spare(2),
            right("ENDS", 5),
        ],
        rows: sorted.iter().map(row).collect(),
        nothing: "no connection is tracked",
    }
}

fn drops(all: &[Drops], order: &str, theme: Theme) -> Table {
    let mut sorted: Vec<&Drops> = all.iter().collect();
    match order {
        "total" => sorted.sort_by_key(|one| Reverse(one.total)),
        "reason" => sorted.sort_by_key(|one| one.reason.name()),
        _ => sorted.sort_by_key(|one| (descending(one.ingress + one.egress), Reverse(one.total))),
    }
    let row = |one: &&Drops| {
        let is_now = one.ingress + one.egress > 0.0;
        vec![
            cell(one.reason.name(), if is_now { theme.bad() } else { theme.name() }),
            number(one.ingress, theme.bad(), theme),
            number(one.egress, theme.bad(), theme),
            plain(grouped(one.total)),
            cell(printable(&one.most), theme.name()),
            cell(words::means(one.reason), theme.quiet()),
        ]
    };
    Table {
        columns: vec![
            left("REASON", 17),
            right("in", 5),
            right("out", 5),
            right("TOTAL", 9).spare(1),
            left("MOST ON", 10).spare(2),
            rest("WHICH MEANS", 10).spare(3),
        ],
        rows: sorted.iter().map(row).collect(),
        nothing: "nothing was dropped",
    }
}

fn rules(all: &[Rule], order: &str, theme: Theme) -> Table {
    let mut sorted: Vec<&Rule> = all.iter().collect();
    match order {
        "total" => sorted.sort_by_key(|one| Reverse(one.total)),
        "evaluation" => {}
        _ => sorted.sort_by_key(|one| (descending(one.packets), Reverse(one.total))),
    }
    let row = |one: &&Rule| {
        let (action, style) = match one.action {
            Action::Allow => ("allow", theme.good()),
            Action::Deny => ("deny", theme.bad()),
        };
        let way = if one.direction == Direction::Ingress { "in" } else { "out" };
        vec![
            number(one.packets, style, theme),
            number(one.bytes, Style::new(), theme),
            plain(whole(one.total)),
            cell(printable(&one.interface), theme.name()),
            plain(way),
            cell(action, style),
            plain(printable(&format!("{} #{} {}", one.group, one.index, one.description))),
        ]
    };
    Table {
        columns: vec![
            right("pkt", 5),
            right("byte", 5).spare(3),
            right("TOTAL", 6).spare(1),
            left("IFACE", 8),
            left("WAY", 3).spare(2),
            left("DOES", 5),
            rest("RULE", 16),
        ],
        rows: sorted.iter().map(row).collect(),
        nothing: "no rule is in force",
    }
}
