//! Packets and drops of an interface.

use std::collections::BTreeMap;

use serde::Serialize;
use sg_common::{
    addr::{EGRESS, INGRESS},
    stats::{DirectionStats, InterfaceStats},
    verdict::Reason,
};

/// `stats --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// By interface.
    pub interfaces: Vec<InterfaceCounts>,
}

/// What an interface's packets came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InterfaceCounts {
    /// Its name.
    pub name: String,
    /// Towards the protected side.
    pub ingress: DirectionCounts,
    /// From it.
    pub egress: DirectionCounts,
}

/// One direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DirectionCounts {
    /// All packets.
    pub packets: u64,
    /// Those that passed.
    pub allowed: u64,
    /// Bytes that passed.
    pub bytes: u64,
    /// Packets dropped, by reason; only reasons that there are packets for.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Connections opened.
    pub opened: u64,
    /// Packets that an audit group would have dropped.
    pub audited: u64,
}

impl InterfaceCounts {
    /// The counters of the interface `name`, added up over the CPUs.
    pub fn new(name: &str, stats: &InterfaceStats) -> Self {
        let direction = |direction: usize| DirectionCounts::new(&stats.0[direction]);
        Self { name: name.to_owned(), ingress: direction(INGRESS), egress: direction(EGRESS) }
    }
}

impl DirectionCounts {
    fn new(stats: &DirectionStats) -> Self {
        let dropped: BTreeMap<&str, u64> = Reason::ALL
            .iter()
            .zip(stats.dropped)
            .filter(|(_, count)| *count > 0)
            .map(|(reason, count)| (reason.name(), count))
            .collect();
        Self {
            packets: stats.allowed + dropped.values().sum::<u64>(),
            allowed: stats.allowed,
            bytes: stats.allowed_bytes,
            dropped,
            opened: stats.opened,
            audited: stats.audited,
        }
    }

    /// Packets dropped.
    pub fn drops(&self) -> u64 {
        self.dropped.values().sum()
    }

    /// Drops in words, the largest first: `default 12, rule 3`.
    pub fn reasons(&self) -> String {
        let mut reasons: Vec<(&str, u64)> =
            self.dropped.iter().map(|(name, count)| (*name, *count)).collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let words: Vec<String> = reasons.iter().map(|(name, count)| format!("{name} {count}")).collect();
        words.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_in_json() {
        let mut stats = InterfaceStats::default();
        stats.0[INGRESS].allowed = 5;
        stats.0[INGRESS].allowed_bytes = 500;
        stats.0[INGRESS].dropped[Reason::Default as usize] = 2;
        stats.0[INGRESS].dropped[Reason::SpoofedMac as usize] = 3;
        stats.0[EGRESS].opened = 1;
        let stats = Stats { interfaces: vec![InterfaceCounts::new("tap0", &stats)] };
        assert_eq!(
            serde_json::to_string(&stats).unwrap(),
            r#"{"interfaces":[{"name":"tap0","ingress":{"packets":10,"allowed":5,"bytes":500,"#.to_owned()
                + r#""dropped":{"default":2,"spoofed-mac":3},"opened":0,"audited":0},"#
                + r#""egress":{"packets":0,"allowed":0,"bytes":0,"dropped":{},"opened":1,"audited":0}}]}"#
        );
        assert_eq!(stats.interfaces[0].ingress.reasons(), "spoofed-mac 3, default 2");
    }
}
