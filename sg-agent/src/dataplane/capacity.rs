//! How full the tables are, and the setting that makes each larger.

use serde::Serialize;
use sg_common::heap::Line;

use super::{Loaded, error::Error};

/// How full a table is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fill {
    /// What is in it.
    pub table: &'static str,
    /// How many there are.
    pub used: u64,
    /// How many fit.
    pub max: u64,
    /// The setting that says so.
    pub setting: &'static str,
}

impl Loaded {
    /// The fill of every table. Connections and fragments: slots in use, expired ones that nobody has needed yet included.
    pub fn capacity(&self) -> Result<Vec<Fill>, Error> {
        let Self { kernel, state, .. } = self;
        let (sizes, settings, slots) = (kernel.sizes()?, kernel.settings()?, kernel.table_use(0)?);
        let heap = state.heap();
        let bytes = |lines: u32| u64::from(lines) * size_of::<Line>() as u64;
        let fill = |table, used: u64, max: u64, setting| Fill { table, used, max, setting };
        let interfaces = state.interfaces().len() as u64;
        Ok(vec![
            fill("interfaces", interfaces, u64::from(sizes.interfaces) - 1, "settings.limits.interfaces"),
            // Each half holds one generation.
            fill(
                "policy_bytes",
                bytes(heap.high_water() - heap.base()),
                bytes(heap.end() - heap.base()),
                "settings.limits.policy_bytes",
            ),
            fill(
                "rule_counters",
                state.counters(),
                sizes.rule_counters.into(),
                "settings.limits.rule_counters",
            ),
            fill("members", state.members().len() as u64, sizes.members.into(), "settings.limits.members"),
            fill(
                "connections",
                slots.connections,
                settings.max_entries.into(),
                "settings.conntrack.max_entries",
            ),
            fill("fragments", slots.fragments, settings.max_fragments.into(), "settings.limits.fragments"),
        ])
    }
}
