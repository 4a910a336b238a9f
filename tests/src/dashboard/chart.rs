//! Numbers over time: axes, lines, the legend below.

use super::{
    answers::{Answers, Filled, Series},
    frame::{Frame, SMALL, colour},
    json::Field,
    units::shown,
};
use crate::{
    prometheus::Span,
    svg::{Anchor, Area, Shape, width},
};

const ROW: f64 = 15.0;
/// Width of a column of the legend.
const NUMBER: f64 = 74.0;
/// Room for the times below a chart.
const TIMES: f64 = 18.0;

/// Where values and steps are drawn.
#[derive(Clone, Copy, Debug)]
struct Plot {
    area: Area,
    top: f64,
    span: Span,
}

impl Plot {
    fn x(&self, step: usize) -> f64 {
        self.area.x + self.area.w * step as f64 / (self.span.steps().max(2) - 1) as f64
    }

    fn y(&self, value: f64) -> f64 {
        self.area.bottom() - self.area.h * (value / self.top).clamp(0.0, 1.0)
    }
}

/// Draws a panel of series over time.
pub fn draw(frame: &mut Frame, filled: &Filled, answers: &Answers) {
    let content = frame.content();
    let below = legend(frame, filled, content);
    let field = filled.panel.field();
    let lines = lines(filled);
    let highest = lines.iter().flat_map(|line| line.top.iter().flatten()).fold(0.0f64, |a, b| a.max(*b));
    let step = nice(highest.max(1e-9) / (below.h / 42.0).max(1.0), field);
    let top = step * (highest / step).ceil().max(1.0);
    let ticks: Vec<f64> = (0..=(top / step).round() as u32).map(|tick| step * f64::from(tick)).collect();
    let labels: Vec<String> = ticks.iter().map(|tick| shown(*tick, &field.unit, field.decimals)).collect();
    let left = labels.iter().map(|label| width(label, SMALL, false)).fold(0.0, f64::max) + 8.0;
    let area = below.inside([left, SMALL / 2.0, 4.0, TIMES]);
    let plot = Plot { area, top, span: answers.span };
    for (tick, label) in ticks.iter().zip(&labels) {
        let y = plot.y(*tick);
        frame.add(Shape::Line(vec![(area.x, y), (area.right(), y)], 1.0, colour::LINE, false));
        frame.words(label, (area.x - 8.0, y + SMALL * 0.35), Anchor::End, colour::QUIET, left);
    }
    times(frame, plot);
    for mark in &answers.marks {
        let x = plot.x(*mark);
        frame.add(Shape::Line(vec![(x, area.y), (x, area.bottom())], 1.0, colour::ACCENT, true));
    }
    lines.iter().for_each(|line| trace(frame, line, plot, field.fill()));
}

/// A series as it is drawn: its upper and its lower edge, step by step.
struct Line {
    colour: &'static str,
    top: Vec<Option<f64>>,
    bottom: Vec<f64>,
}

fn lines(filled: &Filled) -> Vec<Line> {
    let (field, series) = (filled.panel.field(), &filled.series);
    let steps = series.iter().map(|one| one.values.len()).max().unwrap_or_default();
    let mut floor = vec![0.0; steps];
    let mut line = |(one, number): (&Series, usize)| {
        let bottom = floor.clone();
        let top: Vec<Option<f64>> =
            one.values.iter().zip(&bottom).map(|(value, low)| value.map(|value| value + low)).collect();
        if field.is_stacked() {
            floor = top.iter().zip(&bottom).map(|(top, low)| top.unwrap_or(*low)).collect();
        }
        Line { colour: colour_of(filled, number), top, bottom }
    };
    series.iter().zip(0..).map(&mut line).collect()
}

/// Draws the runs of values without a gap: an area and its upper edge.
fn trace(frame: &mut Frame, line: &Line, plot: Plot, opacity: f64) {
    let mut at = 0;
    for run in line.top.chunk_by(|a, b| a.is_some() == b.is_some()) {
        let steps = at..at + run.len();
        at = steps.end;
        let edge: Vec<(f64, f64)> = steps
            .clone()
            .zip(run.iter().flatten())
            .map(|(step, value)| (plot.x(step), plot.y(*value)))
            .collect();
        match edge[..] {
            [] => {}
            // A value by itself is no line.
            [(x, y)] => {
                let dot = Area { x: x - 1.5, y: y - 1.5, w: 3.0, h: 3.0 };
                frame.show(Shape::Box(dot, 1.5, line.colour));
            }
            _ => {
                let back = steps.rev().map(|step| (plot.x(step), plot.y(line.bottom[step])));
                let around = edge.iter().copied().chain(back).collect();
                frame.add(Shape::Polygon(around, opacity, line.colour));
                frame.show(Shape::Line(edge, 1.5, line.colour, false));
            }
        }
    }
}

/// The smallest of 1, 2, 5 times a power of ten that is not less; whole where there are no digits after the point.
fn nice(least: f64, field: &Field) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|one| one * power).find(|step| *step >= least * 0.999);
    let step = step.unwrap_or(least);
    if field.decimals == Some(0) { step.max(1.0) } else { step }
}

/// Times below the chart, as many as have room, at whole minutes or parts of one.
fn times(frame: &mut Frame, plot: Plot) {
    const STEPS: [u64; 11] = [1, 2, 5, 10, 15, 30, 60, 300, 900, 3_600, 10_800];
    let room = (plot.area.w / 68.0).floor().max(1.0) as u64;
    let whole = plot.span.to - plot.span.from;
    let step = STEPS.into_iter().find(|step| whole / step <= room).unwrap_or(86_400);
    let first = plot.span.from.next_multiple_of(step);
    for time in (first..=plot.span.to).step_by(step as usize) {
        let x = plot.x(((time - plot.span.from) / plot.span.step) as usize);
        frame.add(Shape::Line(vec![(x, plot.area.y), (x, plot.area.bottom())], 1.0, colour::LINE, false));
        let label = clock(time);
        let half = width(&label, SMALL, false) / 2.0;
        if x - half >= frame.area.x && x + half <= frame.area.right() {
            frame.words(&label, (x, plot.area.bottom() + 14.0), Anchor::Middle, colour::QUIET, 68.0);
        }
    }
}

/// The time of day, UTC.
fn clock(time: u64) -> String {
    format!("{:02}:{:02}:{:02}", time / 3600 % 24, time / 60 % 60, time % 60)
}

/// The colour of a series.
fn colour_of(filled: &Filled, number: usize) -> &'static str {
    let fixed = filled.panel.fixed_colour(&filled.series[number].name).map(colour::named);
    fixed.unwrap_or(colour::PALETTE[number % colour::PALETTE.len()])
}

/// The series as the legend has them.
fn order(filled: &Filled) -> Vec<usize> {
    let mut order: Vec<usize> = (0..filled.series.len()).collect();
    if filled.panel.begins_with_largest() {
        let max = |number: &usize| filled.series[*number].max().unwrap_or(f64::MIN);
        order.sort_by(|a, b| max(b).total_cmp(&max(a)));
    }
    order
}

/// Names, last and largest values below the chart; what is left for that.
fn legend(frame: &mut Frame, filled: &Filled, content: Area) -> Area {
    let most = (content.h * 0.42 / ROW).floor() as usize - 1;
    let series = &filled.series;
    let rows = if series.len() > most { most - 1 } else { series.len() };
    let lines = series.len().min(most) + 1;
    let top = content.bottom() - ROW * lines as f64;
    let columns = [content.right() - NUMBER, content.right()];
    let base = |row: usize| top + ROW * row as f64 + 11.0;
    for (heading, right) in ["Last *", "Max"].into_iter().zip(columns) {
        frame.words(heading, (right, base(0)), Anchor::End, colour::ACCENT, NUMBER);
    }
    let field = filled.panel.field();
    for (number, row) in order(filled).into_iter().take(rows).zip(0..) {
        let (one, y) = (&series[number], base(row + 1));
        let swatch = Area { x: content.x, y: y - 5.0, w: 12.0, h: 3.0 };
        frame.add(Shape::Box(swatch, 1.0, colour_of(filled, number)));
        let room = content.w - 2.0 * NUMBER - 22.0;
        frame.words(&one.name, (content.x + 18.0, y), Anchor::Start, colour::TEXT, room);
        for (value, right) in [one.last(), one.max()].into_iter().zip(columns) {
            let value = value.map_or_else(String::new, |value| shown(value, &field.unit, field.decimals));
            frame.words(&value, (right, y), Anchor::End, colour::TEXT, NUMBER);
        }
    }
    if rows < series.len() {
        let more = format!("and {} more", series.len() - rows);
        frame.words(&more, (content.x + 18.0, base(rows + 1)), Anchor::Start, colour::QUIET, content.w);
    }
    Area { h: top - content.y - 4.0, ..content }
}
