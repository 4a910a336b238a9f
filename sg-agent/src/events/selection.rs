//! Which events somebody wants, and how many.

use std::time::{Duration, Instant};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use sg_common::events;

use super::event::{Event, Missed, Told, What};
use crate::{observe::connection::End, policy::model::Direction};

/// What an event has to be; what is `None` or empty does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wish {
    /// Of one of these kinds: `dropped`, `opened`, `closed`, `audited`.
    pub kinds: Vec<Kind>,
    /// Name of the interface.
    pub interface: Option<String>,
    /// Direction of the packet, or of the first one of the connection.
    pub direction: Option<Direction>,
    /// IP protocol by name, or its number.
    pub protocol: Option<String>,
    /// Network of the protected side.
    pub local: Option<IpNet>,
    /// Network of the other side.
    pub remote: Option<IpNet>,
    /// Port of either end, or ICMP identifier.
    pub port: Option<u16>,
    /// Why a packet was dropped, or would have been; of connections none is dropped.
    pub reason: Option<String>,
    /// Only every how many-th.
    pub sample: Option<u64>,
    /// At most so many in a second.
    pub per_second: Option<u64>,
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A packet was dropped.
    Dropped,
    /// A connection was opened.
    Opened,
    /// A connection is no longer tracked.
    Closed,
    /// The rules in force let a packet pass that an audit group would have dropped.
    Audited,
}

impl Kind {
    /// Its bit in what the kernel side is asked for.
    pub const fn bit(self) -> u32 {
        match self {
            Self::Dropped => events::Kind::Dropped.bit(),
            Self::Opened => events::Kind::Opened.bit(),
            Self::Closed => events::Kind::Closed.bit(),
            Self::Audited => events::Kind::Audited.bit(),
        }
    }
}

impl Wish {
    /// Whether `event` is asked for, sample and rate aside.
    pub fn takes(&self, event: &Event) -> bool {
        let is_kind = self.kinds.is_empty() || self.kinds.contains(&kind(&event.what));
        let ends = [event.local, event.remote];
        let within = |net: &Option<IpNet>, end: &Option<End>| {
            net.is_none_or(|net| end.is_some_and(|end| net.contains(&end.address)))
        };
        is_kind
            && self.interface.as_ref().is_none_or(|name| *name == event.interface)
            && self.direction.is_none_or(|direction| direction == event.direction())
            && self.protocol.as_ref().is_none_or(|name| event.protocol.as_ref() == Some(name))
            && within(&self.local, &event.local)
            && within(&self.remote, &event.remote)
            && self.port.is_none_or(|port| ends.iter().flatten().any(|end| end.port == Some(port)))
            && self.reason.as_ref().is_none_or(|wanted| reason(&event.what) == Some(wanted))
    }
}

const fn kind(what: &What) -> Kind {
    match what {
        What::Dropped { .. } => Kind::Dropped,
        What::Opened { .. } => Kind::Opened,
        What::Closed { .. } => Kind::Closed,
        What::Audited { .. } => Kind::Audited,
    }
}

fn reason(what: &What) -> Option<&String> {
    match what {
        What::Dropped { reason, .. } | What::Audited { reason, .. } => Some(reason),
        What::Opened { .. } | What::Closed { .. } => None,
    }
}

/// What is left of a stream of events for somebody with a wish.
#[derive(Clone, Debug)]
pub struct Selection {
    wish: Wish,
    /// Events taken so far, for the sample.
    taken: u64,
    second: Instant,
    /// Events let through since `second`.
    passed: u64,
    missed: Missed,
}

impl Selection {
    /// Nothing was selected so far.
    pub fn new(wish: Wish, now: Instant) -> Self {
        Self { wish, taken: 0, second: now, passed: 0, missed: Missed::default() }
    }

    /// What somebody with this wish is told of it, at `now`.
    pub fn pass(&mut self, told: Told, now: Instant) -> Option<Told> {
        match told {
            Told::Event(event) => self.passes(&event, now).then_some(Told::Event(event)),
            Told::Missed(missed) => {
                self.missed = self.missed.and(missed);
                None
            }
        }
    }

    /// How much was kept back since this was asked the last time. To be asked now and then.
    pub fn kept_back(&mut self) -> Option<Told> {
        let missed = std::mem::take(&mut self.missed);
        (missed.total() > 0).then_some(Told::Missed(missed))
    }

    fn passes(&mut self, event: &Event, now: Instant) -> bool {
        if !self.wish.takes(event) {
            return false;
        }
        self.taken += 1;
        let passes = self.is_in_sample() && self.is_in_rate(now);
        if !passes {
            self.missed.count(&event.what);
        }
        passes
    }

    fn is_in_sample(&self) -> bool {
        self.wish.sample.is_none_or(|sample| self.taken.is_multiple_of(sample.max(1)))
    }

    fn is_in_rate(&mut self, now: Instant) -> bool {
        if now.duration_since(self.second) >= Duration::from_secs(1) {
            self.second = now;
            self.passed = 0;
        }
        self.passed += 1;
        self.wish.per_second.is_none_or(|rate| self.passed <= rate)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        events::event::{How, Rule},
        observe::connection::Both,
    };

    pub fn dropped() -> Event {
        let end = |address: &str, port| End { address: address.parse().unwrap(), port: Some(port) };
        Event {
            time: "2026-03-01T02:14:07.123Z".to_owned(),
            what: What::Dropped {
                direction: Direction::Ingress,
                reason: "rule".to_owned(),
                packet_bytes: 60,
                source_mac: None,
            },
            interface: "tap1".to_owned(),
            protocol: Some("tcp".to_owned()),
            local: Some(end("10.0.0.5", 23)),
            remote: Some(end("192.0.2.1", 40_000)),
            icmp: None,
            rule: Some(Rule { group: "web".to_owned(), rule: 0, description: "no telnet".to_owned() }),
        }
    }

    pub fn audited() -> Event {
        let reason = "rule".to_owned();
        let what = What::Audited { direction: Direction::Ingress, reason, packet_bytes: 60 };
        Event { what, ..dropped() }
    }

    pub fn opened() -> Event {
        Event { what: What::Opened { opener: Direction::Egress }, ..dropped() }
    }

    pub fn closed() -> Event {
        let what = What::Closed {
            opener: Direction::Ingress,
            how: How::Fin,
            packets: Both::of([12, 10]),
            bytes: Both::of([1400, 52_000]),
            duration_seconds: 31.25,
        };
        Event { what, ..dropped() }
    }

    #[test]
    fn every_part_narrows() {
        let net = |text: &str| Some(text.parse().unwrap());
        let some = |text: &str| Some(text.to_owned());
        for (wish, expected) in [
            (Wish::default(), true),
            (Wish { kinds: vec![Kind::Opened, Kind::Dropped], ..Wish::default() }, true),
            (Wish { kinds: vec![Kind::Opened], ..Wish::default() }, false),
            (Wish { interface: some("tap1"), ..Wish::default() }, true),
            (Wish { interface: some("tap2"), ..Wish::default() }, false),
            (Wish { direction: Some(Direction::Egress), ..Wish::default() }, false),
            (Wish { protocol: some("tcp"), ..Wish::default() }, true),
            (Wish { protocol: some("udp"), ..Wish::default() }, false),
            (Wish { local: net("10.0.0.0/8"), ..Wish::default() }, true),
            (Wish { local: net("192.0.2.0/24"), ..Wish::default() }, false),
            (Wish { remote: net("192.0.2.0/24"), ..Wish::default() }, true),
            (Wish { remote: net("10.0.0.0/8"), ..Wish::default() }, false),
            (Wish { port: Some(23), ..Wish::default() }, true),
            (Wish { port: Some(80), ..Wish::default() }, false),
            (Wish { reason: some("rule"), ..Wish::default() }, true),
            (Wish { reason: some("default"), ..Wish::default() }, false),
        ] {
            assert_eq!(wish.takes(&dropped()), expected, "{wish:?}");
        }
        let by_rule = Wish { reason: some("rule"), ..Wish::default() };
        assert_eq!((by_rule.takes(&audited()), by_rule.takes(&opened())), (true, false));
        let only = |kind| Wish { kinds: vec![kind], ..Wish::default() }.takes(&audited());
        assert_eq!((only(Kind::Audited), only(Kind::Dropped)), (true, false));
        let nobody = Event { local: None, remote: None, ..dropped() };
        assert!(!Wish { remote: net("0.0.0.0/0"), ..Wish::default() }.takes(&nobody));
    }

    /// How many of so many drops pass within one second.
    fn passing(wish: Wish, drops: usize) -> (usize, Option<Told>) {
        let start = Instant::now();
        let mut selection = Selection::new(wish, start);
        let pass = |_: &usize| selection.pass(Told::Event(Box::new(dropped())), start).is_some();
        ((0..drops).filter(pass).count(), selection.kept_back())
    }

    #[test]
    fn what_is_kept_back_is_counted() {
        let missed = |count| Some(Told::Missed(Missed { dropped_not_shown: count, ..Missed::default() }));
        assert_eq!(passing(Wish::default(), 50), (50, None));
        assert_eq!(passing(Wish { sample: Some(10), ..Wish::default() }, 50), (5, missed(45)));
        assert_eq!(passing(Wish { per_second: Some(7), ..Wish::default() }, 50), (7, missed(43)));
        assert_eq!(passing(Wish { port: Some(80), ..Wish::default() }, 50), (0, None));
    }

    #[test]
    fn a_second_later_there_is_room_again() {
        let start = Instant::now();
        let mut selection = Selection::new(Wish { per_second: Some(1), ..Wish::default() }, start);
        let mut passes = |millis| {
            let now = start + Duration::from_millis(millis);
            selection.pass(Told::Event(Box::new(closed())), now).is_some()
        };
        assert_eq!([passes(0), passes(999), passes(1000), passes(1500)], [true, false, true, false]);
        let more = Missed { opened_not_shown: 5, audited_not_shown: 1, ..Missed::default() };
        assert_eq!(selection.pass(Told::Missed(more), start), None);
        assert_eq!(
            selection.pass(Told::Event(Box::new(audited())), start + Duration::from_millis(1600)),
            None
        );
        let all = Missed { closed_not_shown: 2, audited_not_shown: 2, ..more };
        assert_eq!((selection.kept_back(), selection.kept_back()), (Some(Told::Missed(all)), None));
    }
}
