//! A panel's place on the page, and what is drawn in it.

use std::borrow::Cow;

use crate::svg::{Anchor, Area, Shape, Text, fitted, width};

/// Colours, those of Grafana's dark theme.
pub mod colour {
    /// Behind everything.
    pub const PAGE: &str = "#111217";
    /// Behind a panel.
    pub const PANEL: &str = "#181b1f";
    /// Lines of a grid, and what is not filled.
    pub const LINE: &str = "#2c3035";
    /// Words.
    pub const TEXT: &str = "#d5d6e0";
    /// Words that matter less.
    pub const QUIET: &str = "#9a9ba6";
    /// Headings of tables, marks.
    pub const ACCENT: &str = "#6e9fff";
    /// One for each series.
    pub const PALETTE: [&str; 12] = [
        "#73bf69", "#f2cc0c", "#5794f2", "#ff780a", "#f2495c", "#b877d9", "#8ab8ff", "#c8f2c2", "#ffb357",
        "#ff7383", "#37872d", "#a352cc",
    ];

    /// A colour that a threshold names.
    pub fn named(name: &str) -> &'static str {
        match name {
            "green" => "#73bf69",
            "orange" => "#ff9830",
            "red" => "#f2495c",
            "blue" => "#5794f2",
            _ => TEXT,
        }
    }
}

/// Height of the font of everything but titles.
pub const SMALL: f64 = 11.0;
const TITLE: f64 = 13.0;
/// What a title takes at the top, and what is left free around the content.
const HEAD: f64 = 30.0;
const PADDING: f64 = 10.0;

/// A panel as it is drawn.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Its place.
    pub area: Area,
    /// Its title.
    pub title: String,
    /// What is drawn.
    pub shapes: Vec<Shape>,
    /// How many of the shapes stand for data.
    pub data: usize,
}

impl Frame {
    /// An empty panel with its title.
    pub fn panel(area: Area, title: &str) -> Self {
        let mut frame = Self { area, title: title.to_owned(), shapes: Vec::new(), data: 0 };
        frame.add(Shape::Box(area, 3.0, colour::PANEL));
        frame.head(PADDING, false);
        frame
    }

    /// The heading of a row.
    pub fn row(area: Area, title: &str) -> Self {
        let mut frame = Self { area, title: title.to_owned(), shapes: Vec::new(), data: 0 };
        frame.head(2.0, true);
        frame
    }

    fn head(&mut self, indent: f64, bold: bool) {
        let text = Cow::Owned(self.title.clone());
        let at = (self.area.x + indent, self.area.y + 20.0);
        let anchor = Anchor::Start;
        self.add(Shape::Text(Text { text, at, anchor, size: TITLE, fill: colour::TEXT, bold }));
    }

    /// Where its content goes.
    pub fn content(&self) -> Area {
        self.area.inside([PADDING, HEAD, PADDING, PADDING])
    }

    /// Draws what helps to read.
    pub fn add(&mut self, shape: Shape) {
        self.shapes.push(shape);
    }

    /// Draws what stands for data.
    pub fn show(&mut self, shape: Shape) {
        self.data += 1;
        self.add(shape);
    }

    /// Small words that are cut where `room` ends.
    pub fn words(&mut self, text: &str, at: (f64, f64), anchor: Anchor, fill: &'static str, room: f64) {
        let text = Cow::Owned(fitted(text, SMALL, room));
        self.add(Shape::Text(Text { text, at, anchor, size: SMALL, fill, bold: false }));
    }

    /// A large value in the middle of `area`, as large as it has room.
    pub fn value(&mut self, text: &str, area: Area, fill: &'static str, largest: f64) {
        let size = largest.min(area.h * 0.8).min(largest * area.w / width(text, largest, true)).floor();
        let at = (area.x + area.w / 2.0, area.y + area.h / 2.0 + size * 0.36);
        let text = Cow::Owned(text.to_owned());
        self.show(Shape::Text(Text { text, at, anchor: Anchor::Middle, size, fill, bold: true }));
    }

    /// Says that there is nothing to draw.
    pub fn nothing(&mut self) {
        let area = self.content();
        let at = (area.x + area.w / 2.0, area.y + area.h / 2.0);
        self.words("No data", at, Anchor::Middle, colour::QUIET, area.w);
    }

    /// What is wrong with it: it lies outside `page`, something in it outside of it, it has no title, shows no data.
    pub fn faults(&self, page: &Area) -> Vec<String> {
        let mut faults = Vec::new();
        if !page.holds(&self.area) {
            faults.push(format!("{} lies outside the page", self.title));
        }
        let is_title = |shape: &Shape| matches!(shape, Shape::Text(text) if text.text == self.title);
        if self.title.is_empty() || !self.shapes.iter().any(is_title) {
            faults.push(format!("{} does not show its title", self.title));
        }
        let outside = self.shapes.iter().filter(|shape| !self.area.holds(&shape.bounds()));
        faults.extend(outside.map(|shape| format!("{}: {shape:?} lies outside {:?}", self.title, self.area)));
        faults
    }
}
