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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{dashboard::answers::Series, prometheus::Span};

    const SPAN: Span = Span { from: 1_000_000, to: 1_000_060, step: 1 };

    /// A panel of so many series, whose names have no end.
    fn filled(kind: &str, [x, y, w, h]: [u32; 4], series: usize) -> Filled {
        let panel = json!({
            "title": format!("{kind} at {x}, {y}"), "type": kind, "gridPos": {"x": x, "y": y, "w": w, "h": h},
            "fieldConfig": {"defaults": {"unit": "pps", "max": 100.0}},
        });
        let steps = if kind == "timeseries" { SPAN.steps() } else { 1 };
        let one = |number: usize| {
            let name = format!("{} {number}", "a name that goes on and on ".repeat(8));
            let values = (0..steps).map(|step| (step % 7 > 0).then_some((step * number) as f64 * 1e3));
            let labels = [("name".to_owned(), name.clone()), ("w".to_owned(), number.to_string())].into();
            let values = if steps == 1 { vec![Some(number as f64)] } else { values.collect() };
            Series { name, labels, values }
        };
        Filled {
            panel: serde_json::from_value(panel).expect("a panel"),
            series: (0..series).map(one).collect(),
        }
    }

    fn faults(panels: Vec<Filled>) -> Vec<String> {
        let answers =
            Answers { title: "t".into(), panels, marks: vec![0, 60], span: SPAN, silent: Vec::new() };
        Page::new(&answers).faults()
    }

    #[test]
    fn whatever_is_asked_stays_in_its_box() {
        for series in [1, 2, 11, 1_000] {
            for (kind, place) in [
                ("timeseries", [0, 0, 8, 7]),
                ("timeseries", [0, 0, 24, 9]),
                ("table", [0, 0, 8, 7]),
                ("stat", [0, 0, 4, 4]),
                ("gauge", [0, 0, 4, 4]),
            ] {
                let one = filled(kind, place, series);
                let one =
                    Filled { series: one.series[..if kind == "stat" { 1 } else { series }].to_vec(), ..one };
                assert_eq!(faults(vec![one]), Vec::<String>::new(), "{kind}, {series}");
            }
        }
        assert_eq!(faults(vec![filled("bargauge", [0, 0, 12, 7], 8)]), Vec::<String>::new());
    }

    #[test]
    fn a_panel_without_data_is_a_fault() {
        for kind in ["timeseries", "table", "stat", "gauge", "bargauge"] {
            assert_eq!(
                faults(vec![filled(kind, [0, 0, 8, 7], 0)]),
                [format!("{kind} at 0, 0 shows no data")]
            );
        }
        assert!(faults(vec![filled("row", [0, 0, 24, 1], 0)]).is_empty());
    }

    #[test]
    fn a_panel_outside_the_grid_or_on_another_is_a_fault() {
        let outside = faults(vec![filled("stat", [20, 0, 8, 4], 1)]);
        assert_eq!(outside, ["stat at 20, 0 lies outside the page"]);
        let (one, other) = (filled("stat", [0, 0, 4, 4], 1), filled("stat", [3, 3, 4, 4], 1));
        assert_eq!(faults(vec![one.clone(), other]), ["stat at 3, 3 lies on stat at 0, 0"]);
        assert!(faults(vec![one, filled("stat", [4, 0, 4, 4], 1)]).is_empty());
    }

    #[test]
    fn a_title_without_room_is_a_fault() {
        let mut one = filled("stat", [0, 0, 4, 4], 1);
        one.panel.title = "A title that is longer than its panel is wide".to_owned();
        assert_eq!(faults(vec![one]).len(), 1);
    }

    #[test]
    fn the_picture_says_whose_it_is() {
        let panels = vec![filled("timeseries", [0, 0, 12, 8], 3)];
        let picture = Page::new(&Answers {
            title: "a < b".into(),
            panels,
            marks: Vec::new(),
            span: SPAN,
            silent: Vec::new(),
        })
        .svg();
        assert!(picture.contains("Not a picture of Grafana.</text>"));
        assert!(picture.contains("a &lt; b</title>") && picture.ends_with("</svg>\n"));
        assert_eq!(picture.matches("<g>").count(), 1);
    }
}
