//! From a [`Document`] to a [`Policy`]: every value is judged, every name resolved, every fault reported.
//!
//! A policy comes out only when nothing refuses the file, so whoever holds one may rely on the promises of
//! [`model`](super::model).

mod address_groups;
mod groups;
mod interfaces;
mod matches;
mod names;
mod net;
mod positions;
mod remotes;
mod rules;
mod scalars;
mod settings;

use std::collections::BTreeSet;

pub use address_groups::Files;
pub use matches::protocol_name;
pub use names::{is_unprintable, name_fault};
pub use net::parse_prefix;
pub use positions::{GroupPositions, Positions};
pub(super) use rules::narrowed;
pub use scalars::seconds;

use super::{
    diagnostic::{Diagnostic, Report},
    document::{Document, Scalar},
    model::Policy,
};

/// An accepted file.
#[derive(Debug)]
pub struct Validated {
    /// What it means.
    pub policy: Policy,
    /// Where its items stand.
    pub positions: Positions,
    /// Warnings about how it is written.
    pub warnings: Report,
}

/// Names that rules and interfaces may refer to, whether or not their bodies are good.
#[derive(Default)]
struct Names {
    groups: BTreeSet<String>,
    address_groups: BTreeSet<String>,
}

/// Judges `document`; on a fault gives all of them, and the warnings.
pub fn validate(mut document: Document<'_>, files: &mut Files<'_>) -> Result<Validated, Vec<Diagnostic>> {
    let mut report = std::mem::take(&mut document.report);
    let report = &mut report;
    let mut positions = Positions::default();
    let names = Names {
        groups: texts(document.groups.iter().map(|doc| &doc.name)),
        address_groups: texts(document.address_groups.iter().map(|doc| &doc.name)),
    };
    let settings = settings::settings(&document.settings, report);
    let policy = Policy {
        address_groups: address_groups::address_groups(
            &document.address_groups,
            files,
            &mut positions,
            report,
        ),
        groups: groups::groups(&document.groups, &names, settings.quotas, &mut positions, report),
        interfaces: interfaces::interfaces(&document.interfaces, &names, &mut positions, report),
        settings,
    };
    let report = std::mem::take(report);
    if report.has_errors() {
        return Err(report.into_sorted());
    }
    Ok(Validated { policy, positions, warnings: report })
}

fn texts<'a>(scalars: impl Iterator<Item = &'a Scalar<'a>>) -> BTreeSet<String> {
    scalars.map(|scalar| scalar.text.to_string()).collect()
}
