//! What the dataplane of a host counts, read in this process: quick enough to look before and after every packet.

use std::collections::BTreeMap;

use sg_agent::{
    dataplane::{Loaded, Options},
    observe::names,
};
use sg_common::{
    addr::INGRESS,
    conntrack::TableUse,
    stats::{DirectionStats, InterfaceStats},
    verdict::Reason,
};

use crate::{agent::Drops, netns::Netns};

/// The counters of a host, under the policy that was in force when they were opened.
pub struct Counters {
    /// Tables and programs.
    pub loaded: Loaded,
    slots: BTreeMap<u32, String>,
}

/// What they said at some moment.
#[derive(Clone, Debug)]
pub struct Reading {
    interfaces: BTreeMap<String, InterfaceStats>,
    entries: TableUse,
}

/// A counter of packets that moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Interface.
    pub interface: String,
    /// [`INGRESS`] or [`EGRESS`](sg_common::addr::EGRESS).
    pub direction: usize,
    /// Why packets were dropped; `None` is the counter of those that passed.
    pub reason: Option<Reason>,
    /// By how much.
    pub count: u64,
}

impl Counters {
    /// The counters of `host`, whose agent keeps its state by `options`.
    ///
    /// # Panics
    /// If nothing is loaded.
    #[track_caller]
    pub fn open(host: &Netns, options: &Options) -> Self {
        let loaded = host.enter(|| Loaded::open(options).map_err(|error| error.to_string()));
        let loaded = loaded.unwrap_or_else(|error| panic!("{error}"));
        let slots = names::by_slot(&loaded.state)
            .into_iter()
            .map(|(slot, (name, _))| (slot, name.to_owned()))
            .collect();
        Self { slots, loaded }
    }

    /// What they say now.
    #[track_caller]
    pub fn read(&self) -> Reading {
        let kernel = &self.loaded.kernel;
        let stats = |slot: &u32| kernel.interface_stats(*slot).expect("the counters of an interface");
        Reading {
            interfaces: self.slots.iter().map(|(slot, name)| (name.clone(), stats(slot))).collect(),
            entries: self.entries(),
        }
    }

    /// Slots in use, of connections and of fragmented datagrams.
    #[track_caller]
    pub fn entries(&self) -> TableUse {
        self.loaded.kernel.table_use(0).expect("the fill of the tables")
    }
}

impl Reading {
    /// The counters of packets that moved since `before`.
    pub fn since(&self, before: &Self) -> Vec<Moved> {
        let mut all = Vec::new();
        for (interface, stats) in &self.interfaces {
            let before = before.interfaces.get(interface).copied().unwrap_or_default();
            all.extend(moved(&before, stats).into_iter().map(|(direction, reason, count)| Moved {
                interface: interface.clone(),
                direction,
                reason,
                count,
            }));
        }
        all
    }

    /// The drop counters that moved since `before`, as the agent would list them.
    pub fn drops_since(&self, before: &Self) -> Vec<Drops> {
        let drops = |moved: Moved| {
            let Moved { interface, direction, reason, count } = moved;
            let direction = if direction == INGRESS { "ingress" } else { "egress" };
            reason.map(|reason| Drops { interface, direction, reason: reason.name().to_owned(), count })
        };
        self.since(before).into_iter().filter_map(drops).collect()
    }

    /// Bytes that passed on `interface` in `direction`.
    #[track_caller]
    pub fn bytes(&self, interface: &str, direction: usize) -> u64 {
        self.interfaces[interface].0[direction].allowed_bytes
    }

    /// Whether no entry was added since `before`. (A drop may end one: a connection that is cut. A new one may take the
    /// slot of one that has expired, so slots in use do not tell it all.)
    pub fn adds_no_entry_to(&self, before: &Self) -> bool {
        self.opened() == before.opened()
            && self.entries.connections <= before.entries.connections
            && self.entries.fragments <= before.entries.fragments
    }

    /// Connections opened so far.
    pub fn opened(&self) -> u64 {
        self.interfaces.values().flat_map(|stats| stats.0).map(|direction| direction.opened).sum()
    }
}

/// The counters of one interface that moved: direction, reason (`None`: passed), by how much.
pub(crate) fn moved(before: &InterfaceStats, after: &InterfaceStats) -> Vec<(usize, Option<Reason>, u64)> {
    let mut all = Vec::new();
    for (direction, (before, after)) in before.0.iter().zip(&after.0).enumerate() {
        let counts = |stats: &DirectionStats| {
            let dropped = Reason::ALL.map(|reason| (Some(reason), stats.dropped[reason as usize]));
            [(None, stats.allowed)].into_iter().chain(dropped)
        };
        for ((counter, before), (_, after)) in counts(before).zip(counts(after)) {
            if after != before {
                all.push((direction, counter, after - before));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moved_is_named() {
        let mut after = InterfaceStats::default();
        after.0[INGRESS].dropped[Reason::Vlan as usize] = 2;
        after.0[1].allowed = 1;
        let reading = |stats| Reading {
            interfaces: BTreeMap::from([("tap0".to_owned(), stats)]),
            entries: TableUse::default(),
        };
        let (before, after) = (reading(InterfaceStats::default()), reading(after));
        let said: Vec<_> =
            after.since(&before).iter().map(|one| (one.direction, one.reason, one.count)).collect();
        assert_eq!(said, [(INGRESS, Some(Reason::Vlan), 2), (1, None, 1)]);
        let drops = after.drops_since(&before);
        assert_eq!((drops.len(), drops[0].direction, drops[0].reason.as_str()), (1, "ingress", "vlan"));
    }
}
