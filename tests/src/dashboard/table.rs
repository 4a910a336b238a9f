//! Labels and numbers in columns.

use std::collections::BTreeSet;

use super::{
    answers::{Filled, Series},
    frame::{Frame, SMALL, colour},
    units::shown,
};
use crate::svg::{Anchor, Shape, width};

const ROW: f64 = 20.0;
const GAP: f64 = 14.0;
/// What Grafana calls the column of numbers.
const VALUE: &str = "Value";

/// A column as it is shown.
struct Column {
    name: String,
    cells: Vec<String>,
}

impl Column {
    fn width(&self) -> f64 {
        let cells = self.cells.iter().map(|cell| width(cell, SMALL, false));
        cells.fold(width(&self.name, SMALL, false), f64::max) + GAP
    }
}

/// Draws a panel of columns; rows that have no room are counted.
pub fn draw(frame: &mut Frame, filled: &Filled) {
    let columns = columns(filled);
    let content = frame.content();
    let widths = shared(&columns, content.w);
    let all = filled.series.len();
    let most = (content.h / ROW).floor() as usize - 1;
    let rows = if all > most { most - 1 } else { all };
    let mut x = content.x;
    for (column, room) in columns.iter().zip(widths) {
        frame.words(&column.name, (x, content.y + 13.0), Anchor::Start, colour::ACCENT, room - GAP / 2.0);
        for (cell, row) in column.cells[..rows].iter().zip(1u32..) {
            let at = (x, content.y + ROW * f64::from(row) + 13.0);
            frame.words(cell, at, Anchor::Start, colour::TEXT, room - GAP / 2.0);
            frame.data += 1;
        }
        x += room;
    }
    for row in 1..=rows {
        let y = content.y + ROW * row as f64 - 1.0;
        frame.add(Shape::Line(vec![(content.x, y), (content.right(), y)], 1.0, colour::LINE, false));
    }
    if rows < all {
        let at = (content.x, content.y + ROW * (rows + 1) as f64 + 13.0);
        frame.words(&format!("and {} more", all - rows), at, Anchor::Start, colour::QUIET, content.w);
    }
}

/// The width of each column: what it needs, less for the widest where that is more than there is.
fn shared(columns: &[Column], room: f64) -> Vec<f64> {
    let mut widths: Vec<f64> = columns.iter().map(Column::width).collect();
    let spare = room - widths.iter().sum::<f64>();
    let widest = widths.iter_mut().max_by(|a, b| a.total_cmp(b));
    if let (Some(widest), true) = (widest, spare < 0.0) {
        *widest = (*widest + spare).max(GAP);
    }
    widths
}

/// The columns and rows in the order that the panel asks for.
fn columns(filled: &Filled) -> Vec<Column> {
    let organize = filled.panel.organize().cloned().unwrap_or_default();
    let title = |name: &str| organize.rename_by_name.get(name).map_or(name, String::as_str).to_owned();
    let mut series: Vec<&Series> = filled.series.iter().collect();
    if filled.panel.sorted_by() == Some(&title(VALUE)) {
        series.sort_by(|a, b| b.last().unwrap_or_default().total_cmp(&a.last().unwrap_or_default()));
    }
    let labels: BTreeSet<&str> =
        series.iter().flat_map(|one| one.labels.keys().map(String::as_str)).collect();
    let mut names: Vec<&str> = labels.into_iter().chain([VALUE]).collect();
    names.retain(|name| !organize.exclude_by_name.get(*name).is_some_and(|is| *is));
    names.sort_by_key(|name| organize.index_by_name.get(*name).copied().unwrap_or(u32::MAX));
    let unit = filled.panel.field();
    let cell = |series: &&Series, name: &str| match name {
        VALUE => series.last().map_or_else(String::new, |value| shown(value, &unit.unit, unit.decimals)),
        label => series.labels.get(label).cloned().unwrap_or_default(),
    };
    let column =
        |name: &str| Column { name: title(name), cells: series.iter().map(|one| cell(one, name)).collect() };
    names.into_iter().map(column).collect()
}
