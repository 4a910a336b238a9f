//! Numbers of the moment: large, as an arc, as bars.

use std::f64::consts::PI;

use super::{
    answers::{Filled, Series},
    frame::{Frame, SMALL, colour},
    units::shown,
};
use crate::svg::{Anchor, Area, Shape, width};

/// The value in words and its colour.
fn read(filled: &Filled, series: &Series) -> (String, &'static str, f64) {
    let field = filled.panel.field();
    let value = series.last().unwrap_or_default();
    let number = || shown(value, &field.unit, field.decimals);
    let words = field.word(value).map_or_else(number, str::to_owned);
    (words, colour::named(field.colour(value)), value)
}

/// The share of the gauge that a value fills.
fn share(filled: &Filled, value: f64) -> f64 {
    (value / filled.panel.field().max.unwrap_or(100.0)).clamp(0.0, 1.0)
}

/// Values beside each other, as large as they have room.
pub fn stat(frame: &mut Frame, filled: &Filled) {
    let content = frame.content();
    let each = content.w / filled.series.len() as f64;
    for (series, number) in filled.series.iter().zip(0u32..) {
        let area = Area { x: content.x + each * f64::from(number), w: each, ..content };
        let (words, fill, _) = read(filled, series);
        frame.value(&words, area, fill, 34.0);
    }
}

/// The first value on an arc of two thirds of a circle.
pub fn gauge(frame: &mut Frame, filled: &Filled) {
    const BAND: f64 = 14.0;
    let (words, fill, value) = read(filled, &filled.series[0]);
    let content = frame.content();
    let radius = (content.w / 2.0).min(content.h / 1.5) - BAND / 2.0;
    let middle = (content.x + content.w / 2.0, content.y + radius + BAND / 2.0);
    let arc = |to: f64| -> Vec<(f64, f64)> {
        const PIECES: u32 = 48;
        let angle = |piece: u32| PI * (7.0 / 6.0 - 4.0 / 3.0 * to * f64::from(piece) / f64::from(PIECES));
        let point = |angle: f64| (middle.0 + radius * angle.cos(), middle.1 - radius * angle.sin());
        (0..=PIECES).map(|piece| point(angle(piece))).collect()
    };
    frame.add(Shape::Line(arc(1.0), BAND, colour::LINE, false));
    frame.show(Shape::Line(arc(share(filled, value)), BAND, fill, false));
    let inside = Area { x: middle.0 - radius * 0.75, y: middle.1 - 18.0, w: radius * 1.5, h: 36.0 };
    frame.value(&words, inside, fill, 26.0);
}

/// One bar below the other, with its name before and its value behind it.
pub fn bars(frame: &mut Frame, filled: &Filled) {
    const NUMBER: f64 = 64.0;
    let content = frame.content();
    let series = &filled.series;
    let widest = series.iter().map(|one| width(&one.name, SMALL, false)).fold(0.0, f64::max);
    let left = widest.min(content.w * 0.4) + 10.0;
    let each = content.h / series.len() as f64;
    for (one, row) in series.iter().zip(0u32..) {
        let (words, fill, value) = read(filled, one);
        let top = content.y + each * f64::from(row);
        let base = top + each / 2.0 + SMALL * 0.35;
        let bar = Area { x: content.x + left, y: top + 2.0, w: content.w - left - NUMBER, h: each - 4.0 };
        frame.words(&one.name, (bar.x - 10.0, base), Anchor::End, colour::TEXT, left - 10.0);
        frame.add(Shape::Box(bar, 2.0, colour::LINE));
        // What is not nothing is seen.
        let filled =
            Area { w: (bar.w * share(filled, value)).max(if value > 0.0 { 2.0 } else { 0.0 }), ..bar };
        frame.show(Shape::Box(filled, 2.0, fill));
        frame.words(&words, (content.right(), base), Anchor::End, fill, NUMBER);
    }
}
