//! What happened between two samples.

use std::collections::BTreeMap;

use sg_common::{
    addr::{EGRESS, INGRESS},
    stats::{DirectionStats, InterfaceStats},
    verdict::Reason,
};

use super::{
    sample::Sample,
    snapshot::{Drops, Flow, Interface, Rate, Rule, Snapshot},
};
use crate::{
    observe::{connection::Connection, hits::Row, time},
    policy::model::Direction,
};

/// How many samples an interface's history goes back.
pub const REMEMBERED: usize = 120;

/// The samples so far.
#[derive(Debug, Default)]
pub struct History {
    host: String,
    last: Option<Sample>,
    packets: BTreeMap<String, Vec<f64>>,
}

/// What two samples are compared by.
#[derive(Clone, Copy)]
struct Pair<'a> {
    before: Option<&'a Sample>,
    now: &'a Sample,
    /// Seconds between them.
    seconds: f64,
}

impl History {
    /// Of the host with this name; no sample yet.
    pub fn new(host: String) -> Self {
        Self { host, ..Self::default() }
    }

    /// The moment of `sample`, with rates since the last one.
    pub fn add(&mut self, sample: Sample) -> Snapshot {
        let before = self.last.take();
        let ticks = |sample: &Sample| sample.clock.now_tick as f64 / f64::from(sample.clock.hz.max(1));
        let seconds = before.as_ref().map(|before| (ticks(&sample) - ticks(before)).max(0.001));
        let pair = Pair { before: before.as_ref(), now: &sample, seconds: seconds.unwrap_or(f64::INFINITY) };
        let mut snapshot = pair.snapshot(seconds);
        self.remember(&mut snapshot);
        snapshot.host.clone_from(&self.host);
        self.last = Some(sample);
        snapshot
    }

    fn remember(&mut self, snapshot: &mut Snapshot) {
        let is_there = |name: &String| snapshot.interfaces.iter().any(|one| one.name == *name);
        self.packets.retain(|name, _| is_there(name));
        for one in &mut snapshot.interfaces {
            let packets = self.packets.entry(one.name.clone()).or_default();
            if snapshot.interval.is_some() {
                packets.push(one.ingress.packets + one.egress.packets);
            }
            let old = packets.len().saturating_sub(REMEMBERED);
            packets.drain(..old);
            one.history.clone_from(packets);
        }
    }
}

impl Pair<'_> {
    fn rate(self, before: u64, now: u64) -> f64 {
        // Counters begin again when a slot or a rule gets a new owner.
        now.saturating_sub(before) as f64 / self.seconds
    }

    fn snapshot(self, interval: Option<f64>) -> Snapshot {
        let now = self.now;
        let stamp = time::rfc3339(now.clock.now_wall).unwrap_or_default();
        let age = now.since.and_then(|since| now.clock.now_wall.duration_since(since).ok());
        let interfaces: Vec<Interface> = now.interfaces.keys().map(|name| self.interface(name)).collect();
        let drops = self.drops();
        let is_full =
            |reason| matches!(reason, Reason::ConntrackFull | Reason::InterfaceFull | Reason::FragmentsFull);
        Snapshot {
            host: String::new(),
            time: stamp.split_once('T').map(|(_, time)| time.replace('Z', "")).unwrap_or_default(),
            generation: now.generation,
            age: age.map(|age| age.as_secs()),
            connections: (now.connections.len() as u64, now.max_connections),
            opened: interfaces.iter().map(|one| one.opened).sum(),
            refused: drops.iter().filter(|one| is_full(one.reason)).map(|one| one.ingress + one.egress).sum(),
            interfaces,
            flows: self.flows(),
            drops,
            rules: self.rules(),
            interval,
        }
    }

    /// The counters of an interface before and now. One that is new has counted nothing before.
    fn stats(self, name: &str) -> [InterfaceStats; 2] {
        let now = self.now.interfaces.get(name).copied().unwrap_or_default();
        let before = self.before.and_then(|before| before.interfaces.get(name).copied());
        [before.unwrap_or(now), now]
    }

    fn interface(self, name: &str) -> Interface {
        let [before, now] = self.stats(name);
        let rate = |direction: usize| {
            let (before, now) = (&before.0[direction], &now.0[direction]);
            let dropped = |stats: &DirectionStats| stats.dropped.iter().sum();
            Rate {
                packets: self.rate(before.allowed, now.allowed),
                bytes: self.rate(before.allowed_bytes, now.allowed_bytes),
                drops: self.rate(dropped(before), dropped(now)),
            }
        };
        let opened = |stats: &InterfaceStats| stats.0[INGRESS].opened + stats.0[EGRESS].opened;
        Interface {
            name: name.to_owned(),
            ingress: rate(INGRESS),
            egress: rate(EGRESS),
            opened: self.rate(opened(&before), opened(&now)),
            history: Vec::new(),
        }
    }

    fn drops(self) -> Vec<Drops> {
        Reason::ALL.into_iter().filter_map(|reason| self.drops_for(reason)).collect()
    }

    fn drops_for(self, reason: Reason) -> Option<Drops> {
        let at = reason as usize;
        let mut sum = Drops { reason, ingress: 0.0, egress: 0.0, total: 0, most: String::new() };
        let mut most = (0, 0);
        for name in self.now.interfaces.keys() {
            let [before, now] = self.stats(name);
            let dropped = |stats: &InterfaceStats, direction: usize| stats.0[direction].dropped[at];
            sum.ingress += self.rate(dropped(&before, INGRESS), dropped(&now, INGRESS));
            sum.egress += self.rate(dropped(&before, EGRESS), dropped(&now, EGRESS));
            let both = |stats: &InterfaceStats| dropped(stats, INGRESS) + dropped(stats, EGRESS);
            sum.total += both(&now);
            let counted = (both(&now).saturating_sub(both(&before)), both(&now));
            if counted > most {
                most = counted;
                sum.most.clone_from(name);
            }
        }
        (sum.total > 0).then_some(sum)
    }

    fn flows(self) -> Vec<Flow> {
        // The life word without what changes tells one owner of a slot from the next.
        let identity = |one: &Connection| (one.table, one.slot, one.life.free().0);
        let counted = |one: &Connection| {
            let packets: u64 = one.packets.iter().map(|count| u64::from(*count)).sum();
            (packets, one.bytes.iter().sum::<u64>())
        };
        let before = self.before.map_or(&[][..], |before| &before.connections);
        let before: BTreeMap<_, _> = before.iter().map(|one| (identity(one), counted(one))).collect();
        let flow = |one: &Connection| {
            let (packets, bytes) = counted(one);
            let (packets_before, bytes_before) = before.get(&identity(one)).copied().unwrap_or_default();
            let clock = &self.now.clock;
            Flow {
                interface: one.interface.clone(),
                protocol: one.protocol_name(),
                state: one.state(),
                opener: if one.opener() == "egress" { Direction::Egress } else { Direction::Ingress },
                local: one.local,
                remote: one.remote,
                bytes: self.rate(bytes_before, bytes),
                packets: self.rate(packets_before, packets),
                age: time::seconds_down(clock, one.age),
                expires: time::seconds_up(clock, one.remaining),
            }
        };
        self.now.connections.iter().map(flow).collect()
    }

    fn rules(self) -> Vec<Rule> {
        fn identity(row: &Row) -> (&str, Direction, &str, u32) {
            (&row.interface, row.direction, &row.group, row.index)
        }
        let before = self.before.map_or(&[][..], |before| &before.rules);
        let before: BTreeMap<_, _> =
            before.iter().map(|row| (identity(row), (row.packets, row.bytes))).collect();
        let rule = |row: &Row| {
            let counted = (row.packets, row.bytes);
            let (packets, bytes) = before.get(&identity(row)).copied().unwrap_or(counted);
            Rule {
                interface: row.interface.clone(),
                direction: row.direction,
                group: row.group.clone(),
                index: row.index,
                action: row.action,
                description: row.description.clone(),
                packets: self.rate(packets, row.packets),
                bytes: self.rate(bytes, row.bytes),
                total: row.packets,
            }
        };
        self.now.rules.iter().map(rule).collect()
    }
}
