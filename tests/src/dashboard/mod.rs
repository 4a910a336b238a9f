//! The dashboard of the examples as a picture: its panels, drawn from what a real Prometheus answers to their questions.
//!
//! Grafana is not at hand where tests run. What it would stumble over is looked for here instead: a panel that asks what
//! has no answer, one outside the grid, a title that has no room, a unit that is none. The picture is this renderer's,
//! not Grafana's, and says so.
//!
//! | module | is |
//! |---|---|
//! | [`json`] | what the dashboard says |
//! | [`answers`] | what Prometheus says to it |
//! | [`units`] | numbers in their units |
//! | [`frame`] | a panel's place, and what is drawn in it |
//! | [`chart`], [`gauges`], [`table`] | kinds of panels |
//! | [`page`] | all of them |
//! | [`life`] | a host with so much life that the picture is worth a look |

mod answers;
mod chart;
mod frame;
mod gauges;
mod json;
pub mod life;
mod page;
mod table;
mod units;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

pub use answers::Answers;
pub use json::{COLUMNS, Dashboard, Kind};
pub use page::Page;
pub use units::KNOWN as UNITS;

/// The folder of the dashboard and the alert rules.
pub fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/monitoring")
}

/// The dashboard of the examples.
///
/// # Errors
/// If it cannot be read, or has what is not understood here.
pub fn example() -> Result<Dashboard> {
    read(&examples().join("sg-dashboard.json"))
}

fn read(path: &Path) -> Result<Dashboard> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}
