//! Plots of the measurements as SVG: what a refused packet costs by the number of rules, and how far each target is
//! reached.
//!
//! Written by hand: two plots of fixed shape are less than what a plotting crate takes to be told, and those know
//! nothing of pages that are light or dark by turns, which one media query in the picture does.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result};

use super::{
    endtoend::{self, NFT_LINEAR, NFT_SET},
    entry::{Entry, Target},
};
use crate::svg::escaped;

const WIDTH: f64 = 760.0;
/// Rules that the flood is sent against.
const RULES: [usize; 4] = [10, 250, 5_000, 100_000];

/// Writes those plots for which there are measurements.
///
/// # Errors
/// If the directory cannot be written to.
pub fn write(entries: &[Entry], directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    let plots = [("rules.svg", by_rules(entries)), ("targets.svg", targets(entries))];
    for (name, plot) in plots {
        let path = directory.join(name);
        if let Some(plot) = plot {
            fs::write(&path, plot).with_context(|| format!("writing {}", path.display()))?;
        }
    }
    Ok(())
}

/// Classes with their colour on a light and on a dark page.
const COLOURS: [(&str, &str, &str); 5] = [
    ("a", "#0969da", "#4493f8"),
    ("b", "#bc4c00", "#db6d28"),
    ("c", "#8250df", "#ab7df8"),
    ("met", "#1a7f37", "#3fb950"),
    ("missed", "#cf222e", "#f85149"),
];

/// The style of a class. (Not every viewer knows variables.)
fn colour(class: &str, colour: &str) -> String {
    format!("  .{class} .stroke {{ stroke: {colour} }} .{class} .fill {{ fill: {colour} }}\n")
}

/// A picture of this height with a title.
fn picture(height: f64, title: &str, subtitle: &str, content: &str) -> String {
    let light: String = COLOURS.iter().map(|(class, light, _)| colour(class, light)).collect();
    let dark: String = COLOURS.iter().map(|(class, _, dark)| colour(class, dark)).collect();
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}">
<style>
  .page {{ fill: #ffffff }}
  text {{ font: 13px system-ui, sans-serif; fill: #1f2328 }}
  .title {{ font-size: 16px; font-weight: 600 }}
  .quiet {{ fill: #59636e }}
  .line {{ stroke: #d1d9e0; stroke-width: 1 }}
  .axis {{ stroke: #59636e; stroke-width: 1 }}
  .goal {{ stroke: #1f2328; stroke-width: 1.5; stroke-dasharray: 4 3 }}
  .stroke {{ stroke-width: 2.5; fill: none }}
{light}  @media (prefers-color-scheme: dark) {{
    text {{ fill: #f0f6fc }} .quiet {{ fill: #9198a1 }} .line {{ stroke: #3d444d }} .axis {{ stroke: #9198a1 }}
    .goal {{ stroke: #f0f6fc }} .page {{ fill: #0d1117 }}
{dark}  }}
</style>
<rect class="page" width="{WIDTH}" height="{height}" rx="6"/>
<text class="title" x="16" y="26">{title}</text>
<text class="quiet" x="16" y="46">{subtitle}</text>
{content}</svg>
"##
    )
}

/// Decades from `low` to `high`, as a stretch of pixels.
#[derive(Clone, Copy, Debug)]
struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// The pixel of a value; values outside are drawn at the edge.
    fn at(&self, value: f64) -> f64 {
        let share = (value.clamp(self.low, self.high) / self.low).ln() / (self.high / self.low).ln();
        self.from + share * (self.to - self.from)
    }

    /// The powers of ten within.
    fn decades(&self) -> impl Iterator<Item = f64> {
        let (low, high) = (self.low.log10().ceil() as i32, self.high.log10().floor() as i32);
        (low..=high).map(|power| 10f64.powi(power))
    }
}

/// One contender's numbers by rules.
struct Series {
    class: &'static str,
    name: String,
    /// Rules and ns per packet.
    points: Vec<(f64, f64)>,
}

/// ns per packet of a rate.
fn nanoseconds(per_second: f64) -> f64 {
    1e9 / per_second
}

fn series(entries: &[Entry]) -> Vec<Series> {
    let flood = |rules: usize, reference: &str| {
        let name = endtoend::flood(rules);
        let is_it = |entry: &&Entry| {
            entry.name == name && entry.reference.as_ref().is_some_and(|one| one.name == reference)
        };
        entries.iter().find(is_it)
    };
    let by = |value: &dyn Fn(usize) -> Option<f64>| -> Vec<(f64, f64)> {
        RULES.iter().filter_map(|rules| Some((*rules as f64, nanoseconds(value(*rules)?)))).collect()
    };
    let theirs = |reference: &str| {
        by(&|rules| flood(rules, reference)?.reference.as_ref().map(|one| one.spread.median))
    };
    let ours = by(&|rules| flood(rules, NFT_SET).map(|entry| entry.ours.median));
    [("a", "sg", ours), ("b", NFT_SET, theirs(NFT_SET)), ("c", NFT_LINEAR, theirs(NFT_LINEAR))]
        .into_iter()
        .map(|(class, name, points)| Series { class, name: name.to_owned(), points })
        .filter(|series| series.points.len() > 1)
        .collect()
}

/// ns per refused packet by the number of rules, both by decades.
fn by_rules(entries: &[Entry]) -> Option<String> {
    let series = series(entries);
    let values = || series.iter().flat_map(|one| one.points.iter().map(|point| point.1));
    let (low, high) = values().fold((f64::MAX, 0.0f64), |(low, high), ns| (low.min(ns), high.max(ns)));
    if series.is_empty() {
        return None;
    }
    const BOTTOM: f64 = 330.0;
    let x = Scale { low: 8.0, high: 130_000.0, from: 80.0, to: 620.0 };
    let y = Scale { low: low / 2.0, high: high * 1.5, from: BOTTOM, to: 66.0 };
    let mut content = String::new();
    for tick in y.decades() {
        let at = y.at(tick);
        let _ = writeln!(content, r#"<path class="line" d="M{:.1} {at:.1}H{:.1}"/>"#, x.from, x.to);
        let _ = writeln!(
            content,
            r#"<text class="quiet" x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
            x.from - 8.0,
            at + 4.0,
            time(tick)
        );
    }
    for rules in RULES {
        let _ = writeln!(
            content,
            r#"<text class="quiet" x="{:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
            x.at(rules as f64),
            BOTTOM + 20.0,
            super::plan::thousands(rules)
        );
    }
    let _ = writeln!(content, r#"<path class="axis" d="M{:.1} {BOTTOM}H{:.1}"/>"#, x.from, x.to);
    series.iter().for_each(|one| draw(&mut content, one, x, y));
    let title = "Time to refuse a packet, by the number of rules";
    let subtitle = "client to guest through the host: everything from generating the packet on, one CPU";
    Some(picture(370.0, title, subtitle, &content))
}

fn draw(content: &mut String, series: &Series, x: Scale, y: Scale) {
    let points: Vec<(f64, f64)> = series.points.iter().map(|(rules, ns)| (x.at(*rules), y.at(*ns))).collect();
    let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
    let _ =
        writeln!(content, r#"<g class="{}"><path class="stroke" d="M{}"/>"#, series.class, path.join("L"));
    for (x, y) in &points {
        let _ = writeln!(content, r#"<circle class="fill" cx="{x:.1}" cy="{y:.1}" r="4"/>"#);
    }
    if let (Some((x, y)), Some((_, ns))) = (points.last(), series.points.last()) {
        let _ = writeln!(
            content,
            r#"<text x="{:.1}" y="{:.1}">{}, {}</text>"#,
            x + 12.0,
            y + 4.0,
            series.name,
            time(*ns)
        );
    }
    content.push_str("</g>\n");
}

/// ns in words.
fn time(ns: f64) -> String {
    match ns {
        ns if ns < 1e3 => format!("{ns:.0} ns"),
        ns if ns < 1e4 && ns % 1e3 > 0.0 => format!("{:.1} µs", ns / 1e3),
        ns if ns < 1e6 => format!("{:.0} µs", ns / 1e3),
        ns => format!("{:.0} ms", ns / 1e6),
    }
}

/// One bar for each target: how many times better than asked for.
fn targets(entries: &[Entry]) -> Option<String> {
    let bars: Vec<(&Entry, f64, Target)> = entries
        .iter()
        .filter_map(|entry| {
            let (target, reference) = (entry.target?, entry.reference.as_ref()?);
            // Of what there must be none there is no ratio.
            (target.number() > 0.0).then(|| (entry, target.reached(reference.ratio.median), target))
        })
        .collect();
    if bars.is_empty() {
        return None;
    }
    const TOP: f64 = 76.0;
    const STEP: f64 = 22.0;
    let bottom = TOP + STEP * bars.len() as f64;
    let x = Scale { low: 0.2, high: 20.0, from: 430.0, to: 690.0 };
    let mut content = String::new();
    for tick in [0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0] {
        let at = x.at(tick);
        let class = if tick == 1.0 { "goal" } else { "line" };
        let _ = writeln!(content, r#"<path class="{class}" d="M{at:.1} {:.1}V{bottom:.1}"/>"#, TOP - 4.0);
        let _ = writeln!(
            content,
            r#"<text class="quiet" x="{at:.1}" y="{:.1}" text-anchor="middle">{tick}</text>"#,
            TOP - 10.0
        );
    }
    for ((entry, reached, target), row) in bars.iter().zip(0u32..) {
        bar(&mut content, entry, *reached, *target, (TOP + STEP * f64::from(row), x));
    }
    let title = "Targets: how many times better than asked for";
    let subtitle = "1 is the target; bars to the left of it miss";
    Some(picture(bottom + 16.0, title, subtitle, &content))
}

fn bar(content: &mut String, entry: &Entry, reached: f64, target: Target, (top, x): (f64, Scale)) {
    let (goal, end) = (x.at(1.0), x.at(reached));
    let class = if entry.met() == Some(true) { "met" } else { "missed" };
    let reference = entry.reference.as_ref();
    let (against, ratio) = reference.map_or(("", 0.0), |one| (one.name.as_str(), one.ratio.median));
    let label = escaped(&match against {
        "the limit" => entry.name.clone(),
        against => format!("{}: {against}", entry.name),
    });
    let target = escaped(&target.to_string());
    let _ = writeln!(
        content,
        r#"<text x="{:.1}" y="{:.1}" text-anchor="end" textLength="{:.0}" lengthAdjust="spacingAndGlyphs">{label}</text>"#,
        x.from - 12.0,
        top + 14.0,
        // Above that a label would run out of the picture.
        (label.chars().count() as f64 * 6.2).min(402.0)
    );
    let _ = writeln!(
        content,
        r#"<g class="{class}"><rect class="fill" x="{:.1}" y="{:.1}" width="{:.1}" height="{:.1}" rx="2"><title>{ratio:.2}, target {target}</title></rect></g>"#,
        goal.min(end),
        top + 4.0,
        (end - goal).abs().max(2.0),
        13.0
    );
    let _ = writeln!(
        content,
        r#"<text class="quiet" x="{:.1}" y="{:.1}" text-anchor="end">{reached:.2}</text>"#,
        WIDTH - 14.0,
        top + 14.0
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flood(rules: usize, ours: f64, theirs: (&str, f64), target: Option<Target>) -> Entry {
        Entry::rate(&endtoend::flood(rules), "packets/s", &[ours], (theirs.0, &[theirs.1]), target)
    }

    #[test]
    fn values_lie_between_the_ends_by_decades() {
        let scale = Scale { low: 1.0, high: 100.0, from: 0.0, to: 200.0 };
        assert_eq!(
            [1.0, 10.0, 100.0, 1000.0, 0.1].map(|v| scale.at(v).round()),
            [0.0, 100.0, 200.0, 200.0, 0.0]
        );
        assert_eq!(scale.decades().collect::<Vec<_>>(), [1.0, 10.0, 100.0]);
        let upwards = Scale { from: 300.0, to: 100.0, ..scale };
        assert!((upwards.at(10.0) - 200.0).abs() < 1e-9);
    }

    #[test]
    fn a_series_has_a_point_for_each_number_of_rules() {
        let entries =
            [flood(10, 900.0, (NFT_SET, 1_900.0), None), flood(5_000, 950.0, (NFT_SET, 2_000.0), None)];
        let series = series(&entries);
        let named: Vec<&str> = series.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(named, ["sg", NFT_SET]);
        let rounded: Vec<(f64, f64)> = series[1].points.iter().map(|(x, y)| (*x, y.round())).collect();
        assert_eq!(rounded, [(10.0, 1_900.0), (5_000.0, 2_000.0)]);
        assert!(by_rules(&entries).is_some_and(|text| text.contains("nft, one set, 2 µs")));
        assert!(by_rules(&entries[..1]).is_none());
    }

    #[test]
    fn what_misses_its_target_is_a_bar_to_the_left() {
        let entry = |ours| flood(5_000, ours, (NFT_SET, 2_000.0), Some(Target::AtLeast(2.0)));
        let met = targets(&[entry(500.0)]).expect("a plot");
        let missed = targets(&[entry(1_500.0)]).expect("a plot");
        assert!(met.contains(r#"<g class="met">"#) && met.contains(">2.00</text>"), "{met}");
        assert!(missed.contains(r#"<g class="missed">"#) && missed.contains(">0.67</text>"), "{missed}");
        assert!(met.contains("target &gt;= 2.00") && !met.contains(">="), "{met}");
        assert!(targets(&[Entry::none("lost", "x", &[0.0])]).is_none());
    }

    #[test]
    fn times_are_read_in_their_unit() {
        assert_eq!(
            [750.0, 1e3, 1_923.0, 15_873.0, 3e6].map(time),
            ["750 ns", "1 µs", "1.9 µs", "16 µs", "3 ms"]
        );
    }
}
