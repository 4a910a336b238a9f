//! An entry of a conntrack table in words.

use std::{
    cmp::Ordering,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use serde::{Deserialize, Serialize};
use sg_common::{
    conntrack::{Entry, Key, Key4, Key6, Kind, Life, State as LifeState},
    control::table,
    interface::Interface,
};

use super::{names, time};
use crate::{
    compile::{Clock, State, fate::Tracked},
    dataplane::Loaded,
    policy::validate::protocol_name,
};

const TCP: u8 = 6;

/// A flow key of either family, in plain types.
pub trait Ends: Key {
    /// Table whose entries have such keys, see [`table`].
    const TABLE: usize;
    /// Local and remote address.
    fn addresses(&self) -> (IpAddr, IpAddr);
    /// Local and remote port.
    fn ports(&self) -> (u16, u16);
    /// Directory slot of the interface.
    fn interface(&self) -> u32;
    /// IP protocol.
    fn protocol(&self) -> u8;
    /// The connection as a change of policy judges it.
    fn tracked(&self, life: Life, generation: u32) -> Tracked;
}

macro_rules! ends {
    ($key:ident, $table:expr, $address:ident) => {
        impl Ends for $key {
            const TABLE: usize = $table;

            fn addresses(&self) -> (IpAddr, IpAddr) {
                ($address::from(self.local).into(), $address::from(self.remote).into())
            }

            fn ports(&self) -> (u16, u16) {
                (u16::from_be_bytes(self.local_port), u16::from_be_bytes(self.remote_port))
            }

            fn interface(&self) -> u32 {
                u32::from(self.slot)
            }

            fn protocol(&self) -> u8 {
                self.protocol
            }

            fn tracked(&self, life: Life, generation: u32) -> Tracked {
                Tracked {
                    life,
                    generation,
                    local: $address::from(self.local).into(),
                    remote: $address::from(self.remote).into(),
                    protocol: self.protocol,
                    ports: self.ports().into(),
                    query: self.query,
                }
            }
        }
    };
}

ends!(Key4, table::V4, Ipv4Addr);
ends!(Key6, table::V6, Ipv6Addr);

/// A live connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Name of its interface.
    pub interface: String,
    /// IP protocol.
    pub protocol: u8,
    /// The protected side.
    pub local: End,
    /// The other side.
    pub remote: End,
    /// Its life word, by which it is evicted.
    pub life: Life,
    /// Conntrack table that it is in.
    pub table: usize,
    /// Its slot there.
    pub slot: u32,
    /// Rule counter of the rule that admitted it.
    pub counter: u32,
    /// As a change of policy judges it.
    pub tracked: Tracked,
    /// Ticks since its first packet.
    pub age: u64,
    /// Ticks that it lives if no packet comes.
    pub remaining: u64,
    /// Packets, `[ingress, egress]`.
    pub packets: [u32; 2],
    /// Bytes, likewise.
    pub bytes: [u64; 2],
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct End {
    /// Address.
    pub address: IpAddr,
    /// Port, if the protocol has ports; for ICMP the identifier, at the local end.
    pub port: Option<u16>,
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.address, self.port) {
            (IpAddr::V6(address), Some(port)) => write!(f, "[{address}]:{port}"),
            (address, Some(port)) => write!(f, "{address}:{port}"),
            (address, None) => write!(f, "{address}"),
        }
    }
}

/// Every live connection, in the order of listings.
pub fn all(loaded: &Loaded, clock: &Clock) -> Vec<Connection> {
    let Loaded { kernel, state, .. } = loaded;
    let mut found = live(state, clock, &kernel.connections_v4(clock.now_tick));
    found.extend(live(state, clock, &kernel.connections_v6(clock.now_tick)));
    found.sort_by(Connection::cmp_listed);
    found
}

/// The live ones of `entries`, which are read from a table with their slots. Entries of an interface that is gone, of
/// an earlier owner of its slot, and those that a change of policy has cut are not connections any more.
pub fn live<K: Ends>(state: &State, clock: &Clock, entries: &[(u32, Entry<K>)]) -> Vec<Connection> {
    let names = names::by_slot(state);
    let connection = |(slot, entry): &(u32, Entry<K>)| {
        let life = Life(entry.life);
        let (name, bound) = names.get(&entry.key.interface())?;
        let stands = life.is_live_at(clock.now_tick) && stands(&bound.row, entry.generation, life);
        stands.then(|| connection(name, *slot, entry, clock))
    };
    entries.iter().filter_map(connection).collect()
}

/// Whether the interface's directory entry lets an entry of `generation` go on; what the rules say is seen at its next
/// packet only.
fn stands(row: &Interface, generation: u32, life: Life) -> bool {
    let is_before = |other: u32| (generation.wrapping_sub(other) as i32) < 0;
    !is_before(row.born) && (life.opened_by_egress() || !is_before(row.cleared))
}

fn connection<K: Ends>(interface: &str, slot: u32, entry: &Entry<K>, clock: &Clock) -> Connection {
    let life = Life(entry.life);
    let (key, protocol) = (&entry.key, entry.key.protocol());
    let (local, remote) = key.addresses();
    let (local_port, remote_port) = key.ports();
    let is_query = life.state() == LifeState::Query;
    let has_ports = has_ports(protocol);
    Connection {
        interface: interface.to_owned(),
        protocol,
        local: End { address: local, port: (has_ports || is_query).then_some(local_port) },
        remote: End { address: remote, port: has_ports.then_some(remote_port) },
        life,
        table: K::TABLE,
        slot,
        counter: entry.counter,
        tracked: key.tracked(life, entry.generation),
        age: clock.now_tick.saturating_sub(entry.created),
        remaining: life.expires().saturating_sub(clock.now_tick),
        packets: by_direction(life, entry.packets),
        bytes: by_direction(life, entry.bytes),
    }
}

/// `[from the opener, to the opener]` as `[ingress, egress]`.
pub fn by_direction<T>(life: Life, [from_opener, to_opener]: [T; 2]) -> [T; 2] {
    if life.opened_by_egress() { [to_opener, from_opener] } else { [from_opener, to_opener] }
}

/// Whether connections of the protocol are told apart by ports: TCP, UDP, SCTP.
pub fn has_ports(protocol: u8) -> bool {
    matches!(protocol, TCP | 17 | 132)
}

impl Connection {
    /// Its state in a word.
    pub fn state(&self) -> &'static str {
        match self.life.state() {
            _ if self.life.kind() != Kind::Live => "free",
            LifeState::OneWay if self.protocol == TCP => "syn-sent",
            LifeState::OneWay => "one-way",
            LifeState::SynReceived => "syn-received",
            LifeState::Established => "established",
            LifeState::FinWait => "fin-wait",
            LifeState::TwoWay => "two-way",
            LifeState::Query => "icmp",
            LifeState::Fragments => "fragments",
        }
    }

    /// Who opened it.
    pub fn opener(&self) -> &'static str {
        if self.life.opened_by_egress() { "egress" } else { "ingress" }
    }

    /// Its protocol by name, or its number.
    pub fn protocol_name(&self) -> String {
        protocol_name(Some(self.protocol))
    }

    /// Its place in listings.
    pub fn cmp_listed(&self, other: &Self) -> Ordering {
        let place = |one: &Self| (one.protocol, one.local, one.remote, one.opener(), one.table, one.slot);
        self.interface.cmp(&other.interface).then_with(|| place(self).cmp(&place(other)))
    }

    /// Its row of `conntrack list --json`.
    pub fn row(&self, clock: &Clock) -> Row<'_> {
        Row {
            interface: &self.interface,
            protocol: self.protocol_name(),
            state: self.state(),
            opener: self.opener(),
            local: self.local,
            remote: self.remote,
            expires_in_seconds: time::seconds_up(clock, self.remaining),
            age_seconds: time::seconds_down(clock, self.age),
            packets: Both::of(self.packets.map(u64::from)),
            bytes: Both::of(self.bytes),
        }
    }
}

/// A connection in JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Row<'a> {
    interface: &'a str,
    protocol: String,
    state: &'static str,
    opener: &'static str,
    local: End,
    remote: End,
    expires_in_seconds: u64,
    age_seconds: u64,
    packets: Both,
    bytes: Both,
}

/// A number for each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Both {
    /// Towards the protected side.
    pub ingress: u64,
    /// From it.
    pub egress: u64,
}

impl Both {
    /// Of `[ingress, egress]`.
    pub fn of([ingress, egress]: [u64; 2]) -> Self {
        Self { ingress, egress }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use sg_common::interface::flag;

    use super::*;
    use crate::compile::tests::make;

    pub fn entry4(protocol: u8, state: LifeState, egress: bool, expires: u64) -> Entry<Key4> {
        Entry {
            life: Life::live(Life(0).claim(), state, egress, expires).0,
            key: Key4 {
                remote: [192, 0, 2, 1],
                local: [10, 0, 0, 5],
                remote_port: 40_000_u16.to_be_bytes(),
                local_port: 443_u16.to_be_bytes(),
                slot: 1,
                protocol,
                query: 0,
            },
            generation: 1,
            created: 4000,
            packets: [3, 2],
            bytes: [300, 200],
            ..Entry::default()
        }
    }

    pub fn one_interface() -> State {
        let policy = make::policy(vec![make::group("web", Vec::new())]);
        make::first(&policy, &[make::interface(&["web"], &["10.0.0.5"])])
    }

    #[test]
    fn an_entry_in_json() {
        let entries = [(9, entry4(TCP, LifeState::Established, false, 65_000))];
        let live = live(&one_interface(), &make::clock(), &entries);
        assert_eq!((live[0].slot, live[0].table), (9, table::V4));
        assert_eq!(
            serde_json::to_string(&live[0].row(&make::clock())).unwrap(),
            r#"{"interface":"tap1","protocol":"tcp","state":"established","opener":"ingress","#.to_owned()
                + r#""local":{"address":"10.0.0.5","port":443},"remote":{"address":"192.0.2.1","port":40000},"#
                + r#""expires_in_seconds":600,"age_seconds":10,"packets":{"ingress":3,"egress":2},"#
                + r#""bytes":{"ingress":300,"egress":200}}"#
        );
    }

    #[test]
    fn only_what_a_packet_would_find_is_live() {
        let expired = entry4(TCP, LifeState::Established, false, 5000);
        let free = Entry { life: Life(expired.life).free().0, ..expired };
        let mut other = entry4(TCP, LifeState::Established, false, 6000);
        other.key.slot = 7;
        let earlier = Entry { generation: 0, ..entry4(17, LifeState::TwoWay, true, 6000) };
        let entries = [expired, free, other, earlier].map(|entry| (0, entry));
        assert_eq!(live(&one_interface(), &make::clock(), &entries), []);
    }

    #[test]
    fn what_was_cleared_is_cut() {
        let row = Interface { born: 1, cleared: 5, ..Interface::default() };
        let life = |egress| Life::live(Life(0), LifeState::TwoWay, egress, 10);
        assert!(!stands(&row, 4, life(false)) && stands(&row, 5, life(false)) && stands(&row, 4, life(true)));
        // Also if a later policy would have kept it.
        assert!(!stands(&Interface { flags: flag::KEEP_INGRESS, ..row }, 4, life(false)));
    }

    #[test]
    fn states_have_words() {
        let state = one_interface();
        let word = |protocol, of| {
            let live = live(&state, &make::clock(), &[(0, entry4(protocol, of, true, 6000))]);
            (live[0].state(), live[0].remote.port)
        };
        use LifeState::*;
        assert_eq!(word(TCP, OneWay), ("syn-sent", Some(40_000)));
        assert_eq!(word(TCP, SynReceived).0, "syn-received");
        assert_eq!(word(TCP, FinWait).0, "fin-wait");
        assert_eq!(word(17, OneWay).0, "one-way");
        assert_eq!(word(17, TwoWay).0, "two-way");
        assert_eq!(word(1, Query), ("icmp", None));
        assert_eq!(word(47, OneWay), ("one-way", None));
    }
}
