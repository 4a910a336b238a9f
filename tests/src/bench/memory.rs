//! What a tracked connection costs in memory (target 10).

use std::{
    fs,
    os::fd::{AsFd as _, AsRawFd as _},
};

use anyhow::{Context as _, Result};
use aya::maps::MapData;

use super::{Plan, Spread, entry::Entry, object::Family, policy::ENTRIES, rig::Rig};
use crate::progrun::pins;

const TARGET: f64 = 160.0;

const MODE: &str = "what the kernel has charged for the tables";

fn name(family: Family) -> String {
    format!("memory per connection, {}", family.name())
}

/// What they are called.
pub fn names(_: &Plan) -> Vec<String> {
    Family::ALL.map(name).to_vec()
}

/// The memory that the kernel has charged for the tables, per connection that the settings allow.
pub fn measure(plan: &Plan) -> Result<Vec<Entry>> {
    let wanted = plan.wanted(Family::ALL.to_vec(), |family| name(*family));
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let rig = Rig::new(1)?;
    let entry = |family: &Family| {
        let name = name(*family);
        plan.begin(&name);
        let maps = if *family == Family::V4 { ["CT4", "CT4_TAGS"] } else { ["CT6", "CT6_TAGS"] };
        let bytes = maps.iter().map(|map| charged(&rig, map)).sum::<Result<u64>>()?;
        let each = [bytes as f64 / f64::from(ENTRIES)];
        let entry = match family {
            Family::V4 => Entry::limited(&name, "bytes", &each, TARGET),
            Family::V6 => Entry::alone(&name, "bytes", Spread::of(&each)),
        };
        Ok(entry.about(10, MODE, 1))
    };
    wanted.iter().map(entry).collect()
}

fn charged(rig: &Rig, name: &str) -> Result<u64> {
    let map = MapData::from_pin(pins(&rig.host).join(name))?;
    let path = format!("/proc/self/fdinfo/{}", map.fd().as_fd().as_raw_fd());
    let info = fs::read_to_string(&path).with_context(|| path.clone())?;
    let field = info.lines().find_map(|line| line.strip_prefix("memlock:"));
    field.and_then(|bytes| bytes.trim().parse().ok()).with_context(|| format!("no memlock in {path}"))
}
