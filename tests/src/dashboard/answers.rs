//! What Prometheus answers to the questions of a dashboard.

use std::collections::BTreeMap;

use super::json::{Dashboard, Kind, Panel, Target};
use crate::prometheus::{Prometheus, Span};

/// One series of a panel.
#[derive(Clone, Debug)]
pub struct Series {
    /// What the legend calls it.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// A value for each step of the span, or the only one.
    pub values: Vec<Option<f64>>,
}

impl Series {
    /// The last value.
    pub fn last(&self) -> Option<f64> {
        self.values.iter().rev().find_map(|value| *value)
    }

    /// The largest value.
    pub fn max(&self) -> Option<f64> {
        self.values.iter().flatten().copied().reduce(f64::max)
    }
}

/// A panel with what it shows.
#[derive(Clone, Debug)]
pub struct Filled {
    /// The panel.
    pub panel: Panel,
    /// Its series, those of all its questions.
    pub series: Vec<Series>,
}

/// A dashboard with what it shows.
#[derive(Clone, Debug)]
pub struct Answers {
    /// What the dashboard is called.
    pub title: String,
    /// Its panels.
    pub panels: Vec<Filled>,
    /// Moments that are marked on every chart; steps of the span.
    pub marks: Vec<usize>,
    /// The time that it shows.
    pub span: Span,
    /// Questions to which there was no answer, with their panels' titles.
    pub silent: Vec<String>,
}

impl Answers {
    /// Asks everything. Rates are over `window` seconds.
    ///
    /// # Errors
    /// If Prometheus refuses a question: the panel and why.
    pub fn ask(
        dashboard: &Dashboard,
        prometheus: &Prometheus,
        span: Span,
        window: u64,
    ) -> Result<Self, String> {
        let mut silent = Vec::new();
        let mut panels = Vec::new();
        for panel in &dashboard.panels {
            let mut series = Vec::new();
            for target in &panel.targets {
                let found = answer(panel.kind, target, prometheus, span, window)
                    .map_err(|error| format!("{}: {error}", panel.title))?;
                if found.is_empty() || found.iter().any(|one| one.last().is_none()) {
                    silent.push(format!("{}: {}", panel.title, target.expression(window)));
                }
                series.extend(found.into_iter().filter(|one| one.last().is_some()));
            }
            panels.push(Filled { panel: panel.clone(), series });
        }
        let mut marks = Vec::new();
        for target in dashboard.marks() {
            let found = answer(Kind::TimeSeries, target, prometheus, span, window)?;
            let moments = found.iter().flat_map(|series| series.values.iter().flatten());
            marks.extend(moments.filter_map(|moment| step_of(*moment, span)));
        }
        marks.sort_unstable();
        marks.dedup();
        Ok(Self { title: dashboard.title.clone(), panels, marks, span, silent })
    }
}

/// The step of a moment, in milliseconds since the epoch, if it is within.
fn step_of(moment: f64, span: Span) -> Option<usize> {
    let second = (moment / 1000.0).round() as u64;
    (span.from..=span.to).contains(&second).then(|| ((second - span.from) / span.step) as usize)
}

fn answer(
    kind: Kind,
    target: &Target,
    prometheus: &Prometheus,
    span: Span,
    window: u64,
) -> Result<Vec<Series>, String> {
    let expression = target.expression(window);
    let named = |labels: BTreeMap<String, String>, values| {
        let name = target.legend(&labels);
        Series { name, labels, values }
    };
    Ok(match kind {
        Kind::TimeSeries => {
            let found = prometheus.range(&expression, span)?;
            found.into_iter().map(|one| named(one.metric.clone(), one.by_step(span))).collect()
        }
        _ => {
            let found = prometheus.query(&expression)?;
            found.into_iter().map(|one| named(one.metric.clone(), vec![finite(one.value())])).collect()
        }
    })
}

fn finite(value: f64) -> Option<f64> {
    Some(value).filter(|value| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_at_its_moment() {
        let span = Span { from: 100, to: 110, step: 5 };
        let moments = [99_000.0, 100_000.0, 106_100.0, 110_400.0, 111_000.0];
        assert_eq!(moments.map(|moment| step_of(moment, span)), [None, Some(0), Some(1), Some(2), None]);
    }

    #[test]
    fn a_series_has_a_last_and_a_largest_value() {
        let values = vec![None, Some(3.0), Some(7.0), Some(5.0), None];
        let series = Series { name: String::new(), labels: BTreeMap::new(), values };
        assert_eq!((series.last(), series.max()), (Some(5.0), Some(7.0)));
    }
}
