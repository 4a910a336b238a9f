//! What the specification says happens to a packet, with connections, fragments, changes of policy and time: the judge
//! of sequences.
//!
//! Written from the specification alone, and slow: entries in a map, every rule asked in order ([`crate::oracle`]), a
//! clock that is a number. It takes packets that are already parsed ([`Packet`]), or frames ([`Model::judge_frame`]),
//! which it reads with a parser of its own.
//!
//! Where the specification leaves room, this is what was decided:
//!
//! - TCP is established when its opener sends a segment without SYN after the other side has answered. A RST is not an
//!   answer.
//! - A RST marks the entry; the next segment that is none takes the mark away. A FIN is final.
//! - A SYN that the rules allow begins a FIN-WAIT or reset entry anew, with its sender as opener. On any other entry it
//!   moves the timer and nothing else; from the other side of a connection nobody answered yet, it is the answer.
//! - ICMP queries are tracked with code 0 only, by type and identifier; other ICMP is for the rules alone.
//! - What continues a connection that is not there is dropped as such only if the rules would let it pass.
//! - A datagram that came whole and in order is forgotten; one of which as many bytes have come as it has, in two seconds.
//! - An inbound connection whose first packet a new policy allows without state is forgotten, its packet judged as new.

mod automaton;
mod guard;
mod packet;
pub mod read;
mod standing;
#[cfg(test)]
mod steps;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, SystemTime},
};

use sg_agent::policy::{
    Policy,
    model::{Direction, Interface, Role},
};
use sg_common::verdict::{Reason, Stage};

pub use automaton::{Entry, State};
pub use packet::{Content, Packet, Part, Quoted};

use read::{Frame, Place};
use standing::Standing;

use crate::{
    oracle::{Answer, By, Oracle, Question, Service},
    progrun::Verdict,
};

/// What a connection is known by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Interface.
    pub interface: String,
    /// Protected side: address, and port where there is one.
    pub local: (IpAddr, u16),
    /// Other side.
    pub remote: (IpAddr, u16),
    /// IP protocol.
    pub protocol: u8,
    /// For an ICMP query its type, its identifier, and who asks.
    pub query: Option<(u8, u16, Direction)>,
}

/// What a fragmented datagram is known by: interface, source, destination, protocol, identification.
type Datagram = (String, IpAddr, IpAddr, u8, u32);

/// How long a first fragment is remembered.
const FRAGMENT_LIFE: Duration = Duration::from_secs(30);
/// How long it is still remembered when as many bytes have come as the datagram has, but not in order.
const LATE: Duration = Duration::from_secs(2);

/// A datagram whose first fragment has passed.
#[derive(Clone, Debug)]
struct Remembered {
    ends: Duration,
    /// Up to where its fragments have come in order.
    reached: usize,
    /// How many bytes have come.
    seen: usize,
    /// How long it is, if its last fragment has come.
    length: Option<usize>,
}

impl Remembered {
    /// Takes note of a later fragment; whether the datagram is complete with it, and nothing can follow.
    fn is_over_after(&mut self, part: Part, now: Duration) -> bool {
        let (span, is_last) = part.span();
        let in_order = span.start == self.reached;
        self.reached = if in_order { span.end } else { self.reached };
        self.seen += span.len();
        self.length = if is_last { Some(span.end) } else { self.length };
        if self.length.is_some_and(|length| self.seen >= length) {
            self.ends = self.ends.min(now + LATE);
        }
        is_last && in_order
    }
}

/// A host with a policy, its connections, and a clock.
#[derive(Clone, Debug)]
pub struct Model {
    policy: Policy,
    /// Time since the model was made.
    now: Duration,
    entries: BTreeMap<Key, Entry>,
    datagrams: BTreeMap<Datagram, Remembered>,
    /// How often what judges an interface has changed.
    changes: BTreeMap<String, u32>,
}

impl Model {
    /// A host that knows no connections.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            now: Duration::ZERO,
            entries: BTreeMap::new(),
            datagrams: BTreeMap::new(),
            changes: BTreeMap::new(),
        }
    }

    /// The policy in force.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Lets time pass.
    pub fn wait(&mut self, time: Duration) {
        self.now += time;
        let now = self.now;
        self.entries.retain(|_, entry| entry.ends > now);
        self.datagrams.retain(|_, remembered| remembered.ends > now);
    }

    /// How long it takes each connection and fragmented datagram to end.
    pub fn ends(&self) -> impl Iterator<Item = Duration> {
        self.connections().map(|(.., left)| left).chain(self.datagrams())
    }

    /// Live connections and how long each lives on. Those that were cut and have not noticed are not among them.
    pub fn connections(&self) -> impl Iterator<Item = (&Key, &Entry, Duration)> {
        let standing = self.entries.iter().filter(|(_, entry)| !entry.is_cleared);
        standing.map(|(key, entry)| (key, entry, entry.ends - self.now))
    }

    /// How long the fragmented datagrams are remembered that are remembered now.
    pub fn datagrams(&self) -> impl Iterator<Item = Duration> {
        self.datagrams.values().map(|remembered| remembered.ends - self.now)
    }

    /// What happens to a packet.
    ///
    /// # Panics
    /// If the policy does not bind its interface by name.
    #[track_caller]
    pub fn judge(&mut self, packet: &Packet) -> Verdict {
        let named = |interface: &&Interface| interface.name == packet.interface;
        let interface =
            self.policy.interfaces.iter().find(named).expect("an interface of the policy").clone();
        if let Some(verdict) = guard::judge(&interface, packet) {
            return verdict;
        }
        if self.is_related(&interface, packet) {
            return Verdict::Pass(Stage::Established);
        }
        match packet.part.datagram() {
            None => self.track(&interface, packet),
            Some(id) if packet.part.is_later() => self.later_fragment(&interface, packet, id),
            Some(id) => self.first_fragment(&interface, packet, id),
        }
    }

    /// What happens to a frame, whatever its bytes.
    ///
    /// # Panics
    /// If the policy does not bind its interface by name.
    #[track_caller]
    pub fn judge_frame(&mut self, interface: &str, direction: Direction, frame: &[u8]) -> Verdict {
        let named = |one: &&Interface| one.name == interface;
        let bound = self.policy.interfaces.iter().find(named).expect("an interface of the policy");
        match read::read(frame, Place { interface, role: bound.role, direction }) {
            Err(reason) => Verdict::Drop(reason),
            Ok(Frame::Other) => Verdict::Pass(Stage::Infrastructure),
            Ok(Frame::Arp(arp)) => guard::arp(bound, direction, &arp),
            Ok(Frame::Ip { packet, is_sound: false, .. }) => guard::unsound(bound, &packet),
            Ok(Frame::Ip { packet, is_brief: false, .. })
                if bound.role == Role::Guest && direction == Direction::Egress =>
            {
                guard::overlong(bound, &packet)
            }
            Ok(Frame::Ip { packet, .. }) => self.judge(&packet),
        }
    }

    fn first_fragment(&mut self, interface: &Interface, packet: &Packet, id: u32) -> Verdict {
        let datagram = datagram(packet, id);
        if self.datagrams.contains_key(&datagram) {
            return Verdict::Drop(Reason::BadFragment);
        }
        let verdict = self.track(interface, packet);
        if matches!(verdict, Verdict::Pass(_)) {
            let (span, _) = packet.part.span();
            let ends = self.now + FRAGMENT_LIFE;
            let remembered = Remembered { ends, reached: span.end, seen: span.len(), length: None };
            self.datagrams.insert(datagram, remembered);
        }
        verdict
    }

    fn later_fragment(&mut self, interface: &Interface, packet: &Packet, id: u32) -> Verdict {
        let datagram = datagram(packet, id);
        if let Some(remembered) = self.datagrams.get_mut(&datagram) {
            if remembered.is_over_after(packet.part, self.now) {
                self.datagrams.remove(&datagram);
            }
            return Verdict::Pass(Stage::Established);
        }
        self.rules(interface, packet.direction, packet)
            .map_or_else(Verdict::Drop, |(stage, _)| Verdict::Pass(stage))
    }

    /// Whether it is an ICMP error that quotes a packet of a live connection and goes to that packet's sender. A
    /// connection that the policy in force would cut is none.
    fn is_related(&self, interface: &Interface, packet: &Packet) -> bool {
        let Content::Error { quoted, .. } = &packet.content else { return false };
        if quoted.is_later || quoted.source != packet.destination {
            return false;
        }
        let inner = Packet {
            direction: packet.direction.reversed(),
            source: quoted.source,
            destination: quoted.destination,
            part: Part::Whole,
            content: (*quoted.content).clone(),
            ..packet.clone()
        };
        inner.key().is_some_and(|key| self.standing(interface, &key) == Standing::GoesOn)
    }

    /// What the rules say: the stage that lets the packet pass and whether that is tracked, or why it is dropped.
    fn rules(&self, interface: &Interface, to: Direction, packet: &Packet) -> Result<(Stage, bool), Reason> {
        let service = match packet.part {
            part if part.is_later() => Service::LaterFragment(packet.protocol()),
            _ => packet.service(),
        };
        self.answer(interface, to, packet.remote(), service)
    }

    fn answer(
        &self,
        interface: &Interface,
        direction: Direction,
        remote: IpAddr,
        service: Service,
    ) -> Result<(Stage, bool), Reason> {
        let question = Question { direction, remote, service, now: SystemTime::now() };
        let Answer { allowed, by, stateful } = Oracle::new(&self.policy).judge(interface, &question);
        match (by, allowed) {
            (By::Rule { .. }, true) => Ok((Stage::Rule, stateful)),
            (By::Default, true) => Ok((Stage::Default, stateful)),
            (By::Exempt, _) => Ok((Stage::Exempt, false)),
            (By::Rule { .. }, false) => Err(Reason::Rule),
            (By::Default, false) => Err(Reason::Default),
            (By::Smtp, _) => Err(Reason::Smtp),
            (By::NoPolicy, _) => Err(Reason::NoPolicy),
        }
    }

    /// Makes an entry for the connection that a packet opens, if there is room.
    fn open(&mut self, interface: &Interface, packet: &Packet, key: Key) -> Result<(), Reason> {
        let limits = self.policy.settings.conntrack;
        let own = self.entries.keys().filter(|other| other.interface == interface.name).count();
        if own >= limits.max_per_interface as usize {
            return Err(Reason::InterfaceFull);
        }
        if self.entries.len() >= limits.max_entries as usize {
            return Err(Reason::ConntrackFull);
        }
        self.begin(packet, key);
        Ok(())
    }

    /// A connection begins, in the place of another if there is one.
    fn begin(&mut self, packet: &Packet, key: Key) {
        let change = self.change(&key.interface);
        let entry = Entry::opened_by(packet, change, &self.policy.settings.timeouts, self.now);
        self.entries.insert(key, entry);
    }

    fn change(&self, interface: &str) -> u32 {
        self.changes.get(interface).copied().unwrap_or_default()
    }

    /// The interfaces of the policy, by name.
    fn interfaces(&self) -> BTreeSet<String> {
        self.policy.interfaces.iter().map(|interface| interface.name.clone()).collect()
    }
}

fn datagram(packet: &Packet, id: u32) -> Datagram {
    (packet.interface.clone(), packet.source, packet.destination, packet.protocol(), id)
}

/// The other direction.
trait Reversed {
    fn reversed(self) -> Self;
}

impl Reversed for Direction {
    fn reversed(self) -> Self {
        match self {
            Self::Ingress => Self::Egress,
            Self::Egress => Self::Ingress,
        }
    }
}

#[cfg(test)]
mod tests;
