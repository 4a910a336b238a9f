//! What a dashboard of Grafana says, as far as the one of the examples says it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// Columns of Grafana's grid.
pub const COLUMNS: u32 = 24;

/// A dashboard.
#[derive(Clone, Debug, Deserialize)]
pub struct Dashboard {
    /// What it is called.
    pub title: String,
    /// Its panels, rows' headings included.
    pub panels: Vec<Panel>,
    annotations: Annotations,
}

#[derive(Clone, Debug, Deserialize)]
struct Annotations {
    list: Vec<Target>,
}

impl Dashboard {
    /// Questions whose answers are moments that every chart marks; milliseconds since the epoch.
    pub fn marks(&self) -> impl Iterator<Item = &Target> {
        self.annotations.list.iter()
    }
}

/// What draws a panel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The heading of a row of panels.
    Row,
    /// One number.
    Stat,
    /// One number as an arc.
    Gauge,
    /// Numbers as bars.
    BarGauge,
    /// Numbers over time.
    TimeSeries,
    /// Labels and numbers in columns.
    Table,
}

/// A panel.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Panel {
    /// Its title.
    pub title: String,
    /// What draws it.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Where it is.
    #[serde(rename = "gridPos")]
    pub grid: Grid,
    /// What it asks.
    #[serde(default)]
    pub targets: Vec<Target>,
    #[serde(default)]
    field_config: FieldConfig,
    #[serde(default)]
    transformations: Vec<Transformation>,
    #[serde(default)]
    options: Options,
}

impl Panel {
    /// How its numbers look.
    pub fn field(&self) -> &Field {
        &self.field_config.defaults
    }

    /// Whether the legend begins with the series that had the largest value.
    pub fn begins_with_largest(&self) -> bool {
        self.options.legend.sort_by.is_some()
    }

    /// The column by which the rows of a table are sorted, the largest first.
    pub fn sorted_by(&self) -> Option<&str> {
        self.options.sort_by.iter().find(|sort| sort.desc).map(|sort| &*sort.display_name)
    }

    /// The named colour that the panel has for a series of this name.
    pub fn fixed_colour(&self, name: &str) -> Option<&str> {
        let of = self.field_config.overrides.iter().filter(|one| one.matcher.options == name);
        let mut colours = of.flat_map(|one| &one.properties).filter(|property| property.id == "color");
        colours.find_map(|property| property.value["fixedColor"].as_str())
    }

    /// How the columns of a table are arranged.
    pub fn organize(&self) -> Option<&Organize> {
        self.transformations.iter().find(|one| one.id == "organize").map(|one| &one.options)
    }
}

/// A place on the grid: columns and rows.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Grid {
    /// First column, of [`COLUMNS`].
    pub x: u32,
    /// First row.
    pub y: u32,
    /// Columns.
    pub w: u32,
    /// Rows.
    pub h: u32,
}

/// A question to Prometheus.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    expr: String,
    /// What each series is called, with labels in double braces.
    #[serde(default)]
    pub legend_format: String,
}

impl Target {
    /// The expression with Grafana's variables filled in: everything is chosen, and rates are over `window` seconds.
    ///
    /// # Panics
    /// If a variable is left.
    #[track_caller]
    pub fn expression(&self, window: u64) -> String {
        let filled = self.expr.replace("$instance", ".*").replace("$interface", ".*");
        let filled = filled.replace("$__rate_interval", &format!("{window}s"));
        assert!(!filled.contains('$'), "{filled}");
        filled
    }

    /// What a series with these labels is called.
    pub fn legend(&self, labels: &BTreeMap<String, String>) -> String {
        labels.iter().fold(self.legend_format.clone(), |legend, (name, value)| {
            legend.replace(&format!("{{{{{name}}}}}"), value)
        })
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
struct FieldConfig {
    defaults: Field,
    #[serde(default)]
    overrides: Vec<Override>,
}

#[derive(Clone, Debug, Deserialize)]
struct Override {
    matcher: Matcher,
    properties: Vec<Property>,
}

#[derive(Clone, Debug, Deserialize)]
struct Matcher {
    options: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Property {
    id: String,
    value: Value,
}

/// How numbers look.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Field {
    /// Their unit.
    #[serde(default)]
    pub unit: String,
    /// Digits after the point, if not as many as fit.
    pub decimals: Option<usize>,
    /// The upper end of a gauge, an axis.
    pub max: Option<f64>,
    #[serde(default)]
    thresholds: Thresholds,
    #[serde(default)]
    mappings: Vec<Mapping>,
    #[serde(default)]
    custom: Custom,
}

impl Field {
    /// The named colour of the last threshold that the value reaches.
    pub fn colour(&self, value: f64) -> &str {
        let reached = self.thresholds.steps.iter().rev().find(|step| step.value.is_none_or(|at| value >= at));
        reached.map_or("text", |step| &step.color)
    }

    /// The word for a value, where the panel has one.
    pub fn word(&self, value: f64) -> Option<&str> {
        let words = self.mappings.iter().find_map(|mapping| mapping.options.get(&value.to_string()))?;
        Some(&words.text)
    }

    /// How opaque the area under a line is, 0 to 1.
    pub fn fill(&self) -> f64 {
        f64::from(self.custom.fill_opacity) / 100.0
    }

    /// Whether each line starts where the one before ends.
    pub fn is_stacked(&self) -> bool {
        self.custom.stacking["mode"] == "normal"
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Thresholds {
    steps: Vec<Step>,
}

#[derive(Clone, Debug, Deserialize)]
struct Step {
    color: String,
    value: Option<f64>,
}

#[derive(Clone, Debug, Deserialize)]
struct Mapping {
    options: BTreeMap<String, Words>,
}

#[derive(Clone, Debug, Deserialize)]
struct Words {
    text: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Custom {
    #[serde(default)]
    fill_opacity: u8,
    #[serde(default)]
    stacking: Value,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Options {
    legend: Legend,
    sort_by: Vec<SortBy>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Legend {
    sort_by: Option<LegendColumn>,
}

#[derive(Clone, Debug, Deserialize)]
enum LegendColumn {
    Max,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SortBy {
    display_name: String,
    desc: bool,
}

#[derive(Clone, Debug, Deserialize)]
struct Transformation {
    id: String,
    options: Organize,
}

/// How the columns of a table are arranged.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Organize {
    /// Columns that are left out.
    pub exclude_by_name: BTreeMap<String, bool>,
    /// Columns by their place.
    pub index_by_name: BTreeMap<String, u32>,
    /// Columns that are called otherwise.
    pub rename_by_name: BTreeMap<String, String>,
}
