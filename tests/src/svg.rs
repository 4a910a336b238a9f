//! Pictures as SVG: shapes that know where they end, so that a test can tell whether one leaves its place.

use std::{borrow::Cow, fmt::Write as _};

/// A rectangle; pixels from the top left corner of the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Area {
    /// Left edge.
    pub x: f64,
    /// Upper edge.
    pub y: f64,
    /// Width.
    pub w: f64,
    /// Height.
    pub h: f64,
}

impl Area {
    /// Its right edge.
    pub fn right(&self) -> f64 {
        self.x + self.w
    }

    /// Its lower edge.
    pub fn bottom(&self) -> f64 {
        self.y + self.h
    }

    /// What is left without so much on the left, at the top, on the right, at the bottom.
    #[must_use]
    pub fn inside(&self, [left, top, right, bottom]: [f64; 4]) -> Self {
        Self { x: self.x + left, y: self.y + top, w: self.w - left - right, h: self.h - top - bottom }
    }

    /// Whether `other` lies within, give or take half a pixel.
    pub fn holds(&self, other: &Self) -> bool {
        const SLACK: f64 = 0.5;
        other.x >= self.x - SLACK
            && other.y >= self.y - SLACK
            && other.right() <= self.right() + SLACK
            && other.bottom() <= self.bottom() + SLACK
    }

    /// Whether the two have anything in common.
    pub fn touches(&self, other: &Self) -> bool {
        self.x < other.right() && other.x < self.right() && self.y < other.bottom() && other.y < self.bottom()
    }

    /// The smallest that holds these points.
    fn around(points: &[(f64, f64)]) -> Self {
        let low = points.iter().fold((f64::MAX, f64::MAX), |low, at| (low.0.min(at.0), low.1.min(at.1)));
        let high = points.iter().fold((f64::MIN, f64::MIN), |high, at| (high.0.max(at.0), high.1.max(at.1)));
        Self { x: low.0, y: low.1, w: high.0 - low.0, h: high.1 - low.1 }
    }
}

/// Which point of a text is where it is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// Its left end.
    Start,
    /// Its middle.
    Middle,
    /// Its right end.
    End,
}

/// One line of text.
#[derive(Clone, Debug)]
pub struct Text {
    /// What it says.
    pub text: Cow<'static, str>,
    /// Where it is put: an end or the middle, and its base line.
    pub at: (f64, f64),
    /// Which of them.
    pub anchor: Anchor,
    /// Height of the font.
    pub size: f64,
    /// Colour.
    pub fill: &'static str,
    /// Heavier than others.
    pub bold: bool,
}

/// Something that is drawn.
#[derive(Clone, Debug)]
pub enum Shape {
    /// A filled rectangle with corners rounded so far.
    Box(Area, f64, &'static str),
    /// A line through these points, so wide; with `true` dashed.
    Line(Vec<(f64, f64)>, f64, &'static str, bool),
    /// A filled polygon, so opaque.
    Polygon(Vec<(f64, f64)>, f64, &'static str),
    /// Words.
    Text(Text),
}

impl Shape {
    /// The area that it takes.
    pub fn bounds(&self) -> Area {
        match self {
            Self::Box(area, ..) => *area,
            Self::Line(points, ..) | Self::Polygon(points, ..) => Area::around(points),
            Self::Text(text) => text.bounds(),
        }
    }

    /// Writes it.
    pub fn write(&self, to: &mut String) {
        let written = match self {
            Self::Box(Area { x, y, w, h }, corner, fill) => writeln!(
                to,
                r#"<rect x="{x:.1}" y="{y:.1}" width="{w:.1}" height="{h:.1}" rx="{corner}" fill="{fill}"/>"#
            ),
            Self::Line(points, width, stroke, dashed) => writeln!(
                to,
                r#"<path d="M{}" fill="none" stroke="{stroke}" stroke-width="{width}"{}/>"#,
                through(points),
                if *dashed { r#" stroke-dasharray="4 3""# } else { "" }
            ),
            Self::Polygon(points, opacity, fill) => {
                writeln!(to, r#"<path d="M{}Z" fill="{fill}" fill-opacity="{opacity}"/>"#, through(points))
            }
            Self::Text(text) => text.write(to),
        };
        written.unwrap_or_else(|never| unreachable!("{never}: a String takes everything"));
    }
}

/// Points as a path goes through them, without those in the middle of a level stretch.
fn through(points: &[(f64, f64)]) -> String {
    let is_level = |three: &[(f64, f64)]| three[0].1 == three[1].1 && three[1].1 == three[2].1;
    let middle = points.windows(3).filter(|three| !is_level(three)).map(|three| &three[1]);
    let ends = (points.first(), points.last().filter(|_| points.len() > 1));
    let kept = ends.0.into_iter().chain(middle).chain(ends.1);
    kept.map(|(x, y)| format!("{x:.1} {y:.1}")).collect::<Vec<_>>().join("L")
}

impl Text {
    fn bounds(&self) -> Area {
        let w = width(&self.text, self.size, self.bold);
        let x = match self.anchor {
            Anchor::Start => self.at.0,
            Anchor::Middle => self.at.0 - w / 2.0,
            Anchor::End => self.at.0 - w,
        };
        Area { x, y: self.at.1 - self.size * 0.8, w, h: self.size }
    }

    fn write(&self, to: &mut String) -> std::fmt::Result {
        let anchor = match self.anchor {
            Anchor::Start => "",
            Anchor::Middle => r#" text-anchor="middle""#,
            Anchor::End => r#" text-anchor="end""#,
        };
        let bold = if self.bold { r#" font-weight="600""# } else { "" };
        let Self { at: (x, y), size, fill, .. } = self;
        let words = escaped(&self.text);
        writeln!(
            to,
            r#"<text x="{x:.1}" y="{y:.1}" font-size="{size}" fill="{fill}"{anchor}{bold}>{words}</text>"#
        )
    }
}

/// As it may stand in a picture.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// About how wide a text is, in pixels: as wide as `DejaVu Sans`, the widest that stands for `sans-serif`.
pub fn width(text: &str, size: f64, bold: bool) -> f64 {
    let of = |one: char| match one {
        'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '|' | '\'' | ' ' | '!' | 'I' => 0.32,
        'f' | 't' | 'r' | '-' | '/' | '(' | ')' | '{' | '}' | '[' | ']' => 0.4,
        'm' | 'w' | 'M' | 'W' | '%' | '@' | '…' => 0.97,
        one if one.is_uppercase() => 0.72,
        _ => 0.63,
    };
    text.chars().map(of).sum::<f64>() * size * if bold { 1.1 } else { 1.0 }
}

/// The text, cut with an ellipsis if it is wider than `room`.
pub fn fitted(text: &str, size: f64, room: f64) -> String {
    if width(text, size, false) <= room {
        return text.to_owned();
    }
    let mut cut: Vec<char> = text.chars().collect();
    while let Some(_last) = cut.pop() {
        let shorter: String = cut.iter().collect::<String>().trim_end().to_owned() + "…";
        if width(&shorter, size, false) <= room {
            return shorter;
        }
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Area = Area { x: 10.0, y: 10.0, w: 100.0, h: 40.0 };

    fn text(at: (f64, f64), anchor: Anchor) -> Shape {
        Shape::Text(Text { text: "words".into(), at, anchor, size: 10.0, fill: "#fff", bold: false })
    }

    #[test]
    fn a_shape_knows_where_it_ends() {
        assert!(PLACE.holds(&text((10.0, 30.0), Anchor::Start).bounds()));
        for (at, anchor) in [
            ((10.0, 30.0), Anchor::End),
            ((12.0, 30.0), Anchor::Middle),
            ((90.0, 30.0), Anchor::Start),
            ((30.0, 12.0), Anchor::Start),
        ] {
            assert!(!PLACE.holds(&text(at, anchor).bounds()), "{at:?} {anchor:?}");
        }
        let line = |to| Shape::Line(vec![(20.0, 20.0), to], 1.0, "#fff", false);
        assert!(PLACE.holds(&line((110.0, 50.0)).bounds()));
        assert!(!PLACE.holds(&line((111.0, 50.0)).bounds()));
        assert!(!PLACE.holds(&line((50.0, 51.0)).bounds()));
    }

    #[test]
    fn a_text_is_cut_where_room_ends() {
        assert_eq!(fitted("tap0 ingress", 12.0, 200.0), "tap0 ingress");
        let cut = fitted("a description that goes on and on", 12.0, 100.0);
        assert!(cut.ends_with('…') && width(&cut, 12.0, false) <= 100.0, "{cut}");
        assert_eq!(fitted("words", 12.0, 3.0), "");
    }

    #[test]
    fn level_stretches_are_short() {
        let points = [(0.0, 1.0), (1.0, 1.0), (2.0, 1.0), (3.0, 5.0), (4.0, 5.0)];
        assert_eq!(through(&points), "0.0 1.0L2.0 1.0L3.0 5.0L4.0 5.0");
        assert_eq!(through(&points[..1]), "0.0 1.0");
    }

    #[test]
    fn what_means_something_to_xml_is_escaped() {
        assert_eq!(escaped("<= 1 & > \"2\""), "&lt;= 1 &amp; &gt; &quot;2&quot;");
        let mut to = String::new();
        text((1.0, 2.0), Anchor::End).write(&mut to);
        assert!(to.contains(r#"text-anchor="end">words</text>"#), "{to}");
    }
}
