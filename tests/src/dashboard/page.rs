//! The whole dashboard: every panel at its place on the grid.

use std::{borrow::Cow, fmt::Write as _};

use super::{
    answers::{Answers, Filled},
    chart,
    frame::{Frame, colour},
    gauges,
    json::{COLUMNS, Grid, Kind},
    table,
};
use crate::svg::{Anchor, Area, Shape, Text, escaped};

/// A cell of the grid, and what is left free between two panels.
const CELL: (f64, f64) = (50.0, 36.0);
const GAP: f64 = 8.0;
/// What is left for the title above the grid and for the caption below.
const HEAD: f64 = 44.0;
const FOOT: f64 = 34.0;
const CAPTION: &str = "Drawn by the renderer of sg's own tests from the panels and queries of \
                       examples/monitoring/sg-dashboard.json, answered by a real Prometheus. Not a picture of Grafana.";

/// A dashboard as it is drawn.
#[derive(Clone, Debug)]
pub struct Page {
    title: String,
    /// The grid.
    grid: Area,
    /// Panels, and headings of rows.
    frames: Vec<(Kind, Frame)>,
}

impl Page {
    /// Draws it.
    pub fn new(answers: &Answers) -> Self {
        let rows =
            answers.panels.iter().map(|one| one.panel.grid.y + one.panel.grid.h).max().unwrap_or_default();
        let grid =
            Area { x: GAP, y: HEAD, w: CELL.0 * f64::from(COLUMNS) - GAP, h: CELL.1 * f64::from(rows) - GAP };
        let frames = answers.panels.iter().map(|one| (one.panel.kind, draw(one, answers))).collect();
        Self { title: answers.title.clone(), grid, frames }
    }

    /// How many panels it has, headings of rows left out.
    pub fn panels(&self) -> usize {
        self.frames.iter().filter(|(kind, _)| *kind != Kind::Row).count()
    }

    /// What is wrong with it: panels that show nothing, have no title, lie outside the grid or on each other, or have
    /// something outside their box.
    pub fn faults(&self) -> Vec<String> {
        let mut faults: Vec<String> =
            self.frames.iter().flat_map(|(_, frame)| frame.faults(&self.grid)).collect();
        let empty = self.frames.iter().filter(|(kind, frame)| *kind != Kind::Row && frame.data == 0);
        faults.extend(empty.map(|(_, frame)| format!("{} shows no data", frame.title)));
        for (number, (_, one)) in self.frames.iter().enumerate() {
            let others = self.frames[..number].iter().filter(|(_, other)| other.area.touches(&one.area));
            faults.extend(others.map(|(_, other)| format!("{} lies on {}", one.title, other.title)));
        }
        faults
    }

    /// The picture.
    pub fn svg(&self) -> String {
        let (w, h) = (self.grid.w + 2.0 * GAP, self.grid.bottom() + FOOT);
        let title = escaped(&self.title);
        let mut to = format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" font-family="Inter, system-ui, 'DejaVu Sans', sans-serif">
<title>{title}</title>
<desc>{CAPTION}</desc>
"#
        );
        Shape::Box(Area { x: 0.0, y: 0.0, w, h }, 6.0, colour::PAGE).write(&mut to);
        let line = |text: Cow<'static, str>, y, size, fill, bold| {
            Shape::Text(Text { text, at: (GAP + 2.0, y), anchor: Anchor::Start, size, fill, bold })
        };
        line(self.title.clone().into(), 28.0, 17.0, colour::TEXT, true).write(&mut to);
        line(CAPTION.into(), h - 13.0, 11.0, colour::QUIET, false).write(&mut to);
        for (_, frame) in &self.frames {
            let _ = writeln!(to, "<g>");
            frame.shapes.iter().for_each(|shape| shape.write(&mut to));
            let _ = writeln!(to, "</g>");
        }
        to + "</svg>\n"
    }
}

fn draw(filled: &Filled, answers: &Answers) -> Frame {
    let (panel, area) = (&filled.panel, place(filled.panel.grid));
    if panel.kind == Kind::Row {
        return Frame::row(area, &panel.title);
    }
    let mut frame = Frame::panel(area, &panel.title);
    match panel.kind {
        _ if filled.series.is_empty() => frame.nothing(),
        Kind::Row => {}
        Kind::Stat => gauges::stat(&mut frame, filled),
        Kind::Gauge => gauges::gauge(&mut frame, filled),
        Kind::BarGauge => gauges::bars(&mut frame, filled),
        Kind::TimeSeries => chart::draw(&mut frame, filled, answers),
        Kind::Table => table::draw(&mut frame, filled),
    }
    frame
}

/// Where a panel is on the page.
fn place(grid: Grid) -> Area {
    Area {
        x: GAP + CELL.0 * f64::from(grid.x),
        y: HEAD + CELL.1 * f64::from(grid.y),
        w: CELL.0 * f64::from(grid.w) - GAP,
        h: CELL.1 * f64::from(grid.h) - GAP,
    }
}
