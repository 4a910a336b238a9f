//! Reads what the kernel side counts.

use std::{collections::BTreeMap, time::SystemTime};

use sg_common::stats::InterfaceStats;

use crate::{
    compile::Clock,
    dataplane::{Error, Loaded},
    observe::{
        connection::{self, Connection},
        hits::{self, Row, Wanted},
    },
};

/// What was counted up to one moment.
#[derive(Clone, Debug)]
pub struct Sample {
    /// When.
    pub clock: Clock,
    /// Generation in force.
    pub generation: u32,
    /// Since when, where that is known.
    pub since: Option<SystemTime>,
    /// How many connections there may be.
    pub max_connections: u64,
    /// Counters by interface.
    pub interfaces: BTreeMap<String, InterfaceStats>,
    /// Live connections.
    pub connections: Vec<Connection>,
    /// Rules with what they decided.
    pub rules: Vec<Row>,
}

impl Sample {
    /// Reads it. `since` is when what is in force came into force.
    pub fn read(loaded: &Loaded, since: Option<SystemTime>) -> Result<Self, Error> {
        let clock = loaded.kernel.clock()?;
        let by_name = |(name, slot): (&String, u32)| Ok((name.clone(), loaded.kernel.interface_stats(slot)?));
        let slots = loaded.state.interfaces().iter().map(|(name, bound)| (name, bound.slot));
        let counted = hits::counted(loaded, &clock, None)?;
        let hits = |counter: u32| counted.get(&counter).copied().unwrap_or_default();
        Ok(Self {
            clock,
            generation: loaded.state.generation(),
            since,
            max_connections: loaded.kernel.settings()?.max_entries.into(),
            interfaces: slots.map(by_name).collect::<Result<_, Error>>()?,
            connections: connection::all(loaded, &clock),
            rules: hits::rows(&loaded.state, &Wanted::default(), clock.now_wall, hits),
        })
    }
}
