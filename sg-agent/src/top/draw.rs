//! The screen.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::Style,
    text::{Line, Span, Text},
    widgets::{self, Block, BorderType, Clear, LineGauge, Paragraph, Row},
};

use super::{
    numbers::{grouped, short},
    snapshot::Snapshot,
    tables::{Cell, Column, Table, table},
    theme::Theme,
    view::{Tab, View},
};
use crate::observe::time;

/// Lines above and below the body, the frame and the heading of its table included.
const AROUND: u16 = 4 + 1 + 3;

const HELP: &str = "\
 1 … 5, Tab, arrows   another view
 Up, Down, PgUp, PgDn, Home, End   scroll
 s, S   sort by something else
 /   show only rows with a text in them; Enter keeps it, Esc drops it
 p, space   pause, go on
 ?   this
 q, Esc, Ctrl-C   quit

 Numbers are per second. IN is towards the protected side, OUT from it.
 pkt and byte: what has passed. drop: packets dropped. new: connections.
 BY: which side has opened the connection. ENDS: when it is forgotten
 unless a packet comes.";

/// Draws it.
pub fn draw(frame: &mut Frame, snapshot: &Snapshot, view: &View, theme: Theme) {
    let areas: [Rect; 5] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    title(frame, areas[0], snapshot, view, theme);
    fill(frame, areas[1], snapshot, theme);
    tabs(frame, areas[2], view, theme);
    body(frame, areas[3], snapshot, view, theme);
    keys(frame, areas[4], view, theme);
    if view.is_help {
        help(frame, areas[3], theme);
    }
}

/// How many rows of a table a screen of this height shows, and how many there are.
pub fn page(height: u16, snapshot: &Snapshot, view: &View) -> (usize, usize) {
    let rows = table(view.tab, snapshot, view, Theme::new(false)).rows.len();
    (usize::from(height.saturating_sub(AROUND)).max(1), rows)
}

fn title(frame: &mut Frame, area: Rect, snapshot: &Snapshot, view: &View, theme: Theme) {
    let age = snapshot.age.map(|age| format!(", in force for {}", time::span(age))).unwrap_or_default();
    let mut left = vec![
        Span::styled(" sg top ", theme.chosen()),
        Span::styled(format!(" {}  ", snapshot.host), theme.name()),
        Span::raw(format!("generation {}{age}", snapshot.generation)),
    ];
    if view.is_paused {
        left.push(Span::styled("  PAUSED", theme.warning()));
    }
    frame.render_widget(Line::from(left), area);
    let time = Line::from(Span::styled(format!("{} UTC ", snapshot.time), theme.quiet()));
    frame.render_widget(time.right_aligned(), area);
}

fn fill(frame: &mut Frame, area: Rect, snapshot: &Snapshot, theme: Theme) {
    let (used, most) = snapshot.connections;
    let share = if most == 0 { 0.0 } else { (used as f64 / most as f64).clamp(0.0, 1.0) };
    let refused =
        if snapshot.refused > 0.0 { format!(", {} refused", short(snapshot.refused)) } else { String::new() };
    let text = format!(
        " {} of {} connections ({:.1} %), +{}/s{refused} ",
        grouped(used),
        grouped(most),
        share * 100.0,
        short(snapshot.opened)
    );
    let style = if refused.is_empty() { theme.fill(share) } else { theme.bad() };
    let width = u16::try_from(text.chars().count()).unwrap_or(u16::MAX);
    let [words, bar] = Layout::horizontal([Constraint::Length(width), Constraint::Min(0)]).areas(area);
    frame.render_widget(Line::styled(text, style), words);
    let gauge = LineGauge::default()
        .ratio(share)
        .label("")
        .filled_style(style)
        .unfilled_style(theme.quiet())
        .filled_symbol("━")
        .unfilled_symbol("─");
    frame.render_widget(gauge, bar);
}

fn tabs(frame: &mut Frame, area: Rect, view: &View, theme: Theme) {
    let mut spans = vec![Span::raw(" ")];
    for (number, tab) in Tab::ALL.into_iter().enumerate() {
        let style = if tab == view.tab { theme.chosen() } else { Style::new() };
        spans.push(Span::styled(format!(" {} {} ", number + 1, tab.name()), style));
    }
    if view.is_typing || !view.filter.is_empty() {
        let cursor = if view.is_typing { "█" } else { "" };
        spans.push(Span::styled(format!("  /{}{cursor}", view.filter), theme.warning()));
    }
    frame.render_widget(Line::from(spans), area);
}

fn body(frame: &mut Frame, area: Rect, snapshot: &Snapshot, view: &View, theme: Theme) {
    if view.tab != Tab::Overview {
        panel(frame, area, (view.tab, view.offset), snapshot, view, theme);
        return;
    }
    let wanted = u16::try_from(snapshot.interfaces.len()).unwrap_or(u16::MAX).saturating_add(3);
    let most = area.height / 3;
    let [interfaces, flows, below] = Layout::vertical([
        Constraint::Length(wanted.min(most.max(4))),
        Constraint::Fill(1),
        Constraint::Fill(1),
    ])
    .areas(area);
    let [drops, rules] =
        Layout::horizontal([Constraint::Percentage(45), Constraint::Percentage(55)]).areas(below);
    for (tab, area) in
        [(Tab::Interfaces, interfaces), (Tab::Flows, flows), (Tab::Drops, drops), (Tab::Rules, rules)]
    {
        panel(frame, area, (tab, 0), snapshot, view, theme);
    }
}

/// A framed table, from its `offset`-th row on.
fn panel(
    frame: &mut Frame,
    area: Rect,
    (tab, offset): (Tab, usize),
    snapshot: &Snapshot,
    view: &View,
    theme: Theme,
) {
    let table = table(tab, snapshot, view, theme);
    let room = usize::from(area.height.saturating_sub(3));
    let offset = offset.min(table.rows.len().saturating_sub(room));
    let title = format!(" {} by {} (per second) ", tab.name(), view.order(tab));
    let last = (offset + room).min(table.rows.len());
    let count = match table.rows.len() {
        rows if rows > room => format!(" {}-{} of {} ", offset + 1, last, grouped(rows as u64)),
        _ => String::new(),
    };
    let block = Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(theme.quiet())
        .title(Span::styled(title, theme.heading()))
        .title_bottom(Line::styled(count, theme.quiet()).right_aligned());
    let inside = block.inner(area);
    frame.render_widget(block, area);
    if table.rows.is_empty() {
        frame.render_widget(Line::styled(table.nothing, theme.quiet()).centered(), inside);
        return;
    }
    rows(frame, inside, &table.fitting(inside.width), offset..last, theme);
}

fn rows(frame: &mut Frame, area: Rect, table: &Table, shown: std::ops::Range<usize>, theme: Theme) {
    let heading = table.columns.iter().map(|column| Text::from(column.name).alignment(column.alignment));
    let body = |row: &Vec<Cell>| {
        let cells = row.iter().zip(&table.columns).map(|(cell, column): (&Cell, &Column)| {
            Text::styled(cell.text.clone(), cell.style).alignment(column.alignment)
        });
        Row::new(cells)
    };
    let widget = widgets::Table::new(
        table.rows[shown].iter().map(body),
        table.columns.iter().map(|column| column.width),
    )
    .header(Row::new(heading).style(theme.heading()));
    frame.render_widget(widget, area);
}

fn keys(frame: &mut Frame, area: Rect, view: &View, theme: Theme) {
    let text = if view.is_typing {
        " type a text · Enter keep · Esc drop "
    } else {
        " Tab view · ↑↓ scroll · s sort · / filter · p pause · ? help · q quit "
    };
    frame.render_widget(Line::styled(text, theme.quiet()), area);
}

fn help(frame: &mut Frame, area: Rect, theme: Theme) {
    let height = u16::try_from(HELP.lines().count()).unwrap_or(u16::MAX).saturating_add(2).min(area.height);
    let width = area.width.min(74);
    let place =
        Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    let block = Block::bordered()
        .border_type(BorderType::Double)
        .border_style(theme.heading())
        .title(Span::styled(" Keys ", theme.heading()));
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(HELP).block(block), place);
}
