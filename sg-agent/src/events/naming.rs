//! Names of interfaces, groups and rules for a record of the kernel side.

use std::net::{IpAddr, Ipv6Addr};

use sg_common::{
    addr::{Addr, EGRESS},
    conntrack::{Life, State as LifeState},
    events::{End as Ended, Event as Record, Kind},
    verdict::Reason,
};

use super::event::{Event, How, Icmp, Rule, What};
use crate::{
    compile::{Clock, State, state::Bound},
    observe::{
        connection::{Both, End, by_direction, has_ports},
        time,
    },
    policy::{
        model::{Direction, Group, Rule as PolicyRule},
        validate::protocol_name,
    },
};

/// What is in force, and what time it is.
pub struct Naming<'a> {
    /// What is in force.
    pub state: &'a State,
    /// What was in force before, if that is known: connections that a change of policy cuts are of its rules.
    pub before: Option<&'a State>,
    /// The clocks.
    pub clock: &'a Clock,
    /// The name of the device with an index, for devices that nothing is in force on.
    pub device: &'a dyn Fn(u32) -> Option<String>,
}

impl Naming<'_> {
    /// The event that `record` tells of; `None` if this build does not know what it is about.
    pub fn event(&self, record: &Record) -> Option<Event> {
        let kind = Kind::from_number(record.kind)?;
        // The slot may have got another tenant since.
        let is_same = |bound: &Bound| match kind {
            Kind::Dropped | Kind::Audited => bound.row.ifindex == record.ifindex,
            Kind::Opened | Kind::Closed => !is_before(record.generation, bound.row.born),
        };
        let mut bound = self.state.interfaces().iter();
        let tenant = bound.find(|(_, bound)| bound.slot == record.slot && is_same(bound));
        let interface = tenant.map_or_else(|| self.unnamed(record), |(name, _)| name.clone());
        let rule = tenant.and_then(|(name, _)| self.rule(name, record));
        let (local, remote) = ends(record, kind).unzip();
        Some(Event {
            time: Event::stamp(time::when(self.clock, moment(record, kind))),
            what: self.what(record, kind, tenant.is_some()),
            interface,
            protocol: local.is_some().then(|| protocol_name(Some(record.protocol))),
            local,
            remote: remote.flatten(),
            icmp: icmp(record, kind).filter(|_| local.is_some()),
            rule: rule.map(|(group, rule)| Rule {
                group: group.name.clone(),
                rule: rule.index,
                description: rule.description.clone(),
            }),
        })
    }

    /// The rule with the record's counter, in the policy that had judged it: in another the counter may be another rule's.
    fn rule(&self, interface: &str, record: &Record) -> Option<(&Group, &PolicyRule)> {
        let mut states = [Some(self.state), self.before].into_iter().flatten();
        let (state, bound) = states.find_map(|state| {
            let bound = state.interfaces().get(interface)?;
            (!is_before(record.generation, bound.row.generation)).then_some((state, bound))
        })?;
        state.rule_with_counter(bound, record.counter)
    }

    fn unnamed(&self, record: &Record) -> String {
        match record.ifindex {
            0 => "(gone)".to_owned(),
            index => (self.device)(index).unwrap_or_else(|| format!("#{index}")),
        }
    }

    fn what(&self, record: &Record, kind: Kind, is_there: bool) -> What {
        let direction = direction(usize::from(record.direction) == EGRESS);
        let reason = || Reason::from_number(record.why).unwrap_or(Reason::Internal).name().to_owned();
        match kind {
            Kind::Dropped => What::Dropped {
                direction,
                reason: reason(),
                packet_bytes: record.length,
                source_mac: (record.mac != [0; 6]).then(|| mac(record.mac)),
            },
            Kind::Audited => What::Audited { direction, reason: reason(), packet_bytes: record.length },
            Kind::Opened => What::Opened { opener: direction },
            Kind::Closed => {
                let life = Life(record.life);
                let ticks = moment(record, kind).saturating_sub(record.created);
                What::Closed {
                    opener: self::direction(life.opened_by_egress()),
                    how: how(record.why, life, is_there),
                    packets: Both::of(by_direction(life, record.packets).map(u64::from)),
                    bytes: Both::of(by_direction(life, record.bytes)),
                    duration_seconds: ticks as f64 / f64::from(self.clock.hz.max(1)),
                }
            }
        }
    }
}

/// When it happened: a connection whose time was over ended then, whenever that was noticed.
fn moment(record: &Record, kind: Kind) -> u64 {
    let is_over = kind == Kind::Closed && record.why == Ended::Over as u8;
    if is_over { record.tick.min(Life(record.life).expires()) } else { record.tick }
}

/// Generations wrap: `one` is before `other` if the difference is negative.
const fn is_before(one: u32, other: u32) -> bool {
    (one.wrapping_sub(other) as i32) < 0
}

const fn direction(is_egress: bool) -> Direction {
    if is_egress { Direction::Egress } else { Direction::Ingress }
}

fn how(why: u8, life: Life, is_there: bool) -> How {
    match Ended::from_number(why) {
        Some(Ended::Cut) => How::Cut,
        Some(Ended::Flushed) => How::Flushed,
        Some(Ended::Gone) => How::Gone,
        _ if !is_there => How::Gone,
        _ if life.is_reset() => How::Rst,
        _ if life.state() == LifeState::FinWait => How::Fin,
        _ => How::Expired,
    }
}

/// Both ends; the other one is `None` where only a sender is known (ARP).
fn ends(record: &Record, kind: Kind) -> Option<(End, Option<End>)> {
    let zero = Addr::default();
    if record.local == zero && record.remote == zero {
        return None;
    }
    let ports = has_ports(record.protocol);
    let identifier = icmp(record, kind).is_some_and(|icmp| is_query(record.protocol, icmp.kind));
    let local_port = (ports || identifier).then(|| u16::from_be_bytes(record.local_port));
    let remote_port = ports.then(|| u16::from_be_bytes(record.remote_port));
    let remote = (record.remote != zero).then(|| End { address: address(record.remote), port: remote_port });
    Some((End { address: address(record.local), port: local_port }, remote))
}

fn icmp(record: &Record, kind: Kind) -> Option<Icmp> {
    let [icmp_kind, code] = record.icmp;
    let is_icmp = matches!(record.protocol, 1 | 58) && (kind != Kind::Closed || icmp_kind != 0);
    is_icmp.then_some(Icmp { kind: icmp_kind, code })
}

fn is_query(protocol: u8, kind: u8) -> bool {
    sg_common::conntrack::query::of(protocol, kind).is_some()
}

fn address(addr: Addr) -> IpAddr {
    if addr.is_mapped() { IpAddr::from(addr.v4_octets()) } else { Ipv6Addr::from(addr.0).into() }
}

fn mac(octets: [u8; 6]) -> String {
    octets.map(|octet| format!("{octet:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use sg_common::stats::NO_COUNTER;

    use super::*;
    use crate::{
        compile::tests::make,
        policy::model::{Action, Remote},
    };

    fn state() -> State {
        let mut deny = make::rule(Direction::Ingress, make::tcp(23), Remote::Any, Action::Deny);
        deny.description = "no telnet".to_owned();
        let policy = make::policy(vec![make::group("web", vec![deny])]);
        make::first(&policy, &[make::interface(&["web"], &["10.0.0.5"])])
    }

    /// A packet from 192.0.2.1:40000 to 10.0.0.5:23 on the only interface, two seconds ago.
    fn dropped(state: &State) -> Record {
        let bound = &state.interfaces()["tap1"];
        Record {
            tick: 4800,
            local: Addr::v4([10, 0, 0, 5]),
            remote: Addr::v4([192, 0, 2, 1]),
            local_port: 23_u16.to_be_bytes(),
            remote_port: 40_000_u16.to_be_bytes(),
            slot: bound.slot,
            ifindex: bound.row.ifindex,
            length: 60,
            counter: bound.counters[0][0].base,
            generation: 1,
            kind: Kind::Dropped as u8,
            why: Reason::Rule as u8,
            protocol: 6,
            ..Record::default()
        }
    }

    fn json(state: &State, record: &Record) -> String {
        let device = |index: u32| (index == 9).then(|| "eth9".to_owned());
        let naming = Naming { state, before: None, clock: &make::clock(), device: &device };
        serde_json::to_string(&naming.event(record).unwrap()).unwrap()
    }

    #[test]
    fn a_drop_in_json() {
        let state = state();
        assert_eq!(
            json(&state, &dropped(&state)),
            r#"{"time":"1970-01-12T13:46:38.000Z","event":"dropped","direction":"ingress","reason":"rule","#
                .to_owned()
                + r#""packet_bytes":60,"interface":"tap1","protocol":"tcp","#
                + r#""local":{"address":"10.0.0.5","port":23},"remote":{"address":"192.0.2.1","port":40000},"#
                + r#""group":"web","rule":0,"description":"no telnet"}"#
        );
    }

    #[test]
    fn an_audited_packet_is_named_after_the_audit_group() {
        let deny = make::rule(Direction::Ingress, make::tcp(23), Remote::Any, Action::Deny);
        let mut trial = make::group("trial", vec![deny]);
        trial.audit = true;
        let policy = make::policy(vec![make::group("now", Vec::new()), trial]);
        let state = make::first(&policy, &[make::interface(&["now", "trial"], &["10.0.0.5"])]);
        let by_rank = |why: Reason, rank| Record {
            kind: Kind::Audited as u8,
            why: why as u8,
            counter: state.interfaces()["tap1"].row.audit_counters[0] + rank,
            ..dropped(&state)
        };
        let ends = r#""packet_bytes":60,"interface":"tap1","protocol":"tcp","#.to_owned()
            + r#""local":{"address":"10.0.0.5","port":23},"remote":{"address":"192.0.2.1","port":40000}"#;
        let time = r#""time":"1970-01-12T13:46:38.000Z""#;
        assert_eq!(
            json(&state, &by_rank(Reason::Rule, 0)),
            format!(
                r#"{{{time},"event":"audited","direction":"ingress","reason":"rule",{ends},"group":"trial","rule":0,"description":""}}"#
            )
        );
        assert_eq!(
            json(&state, &by_rank(Reason::Default, 1)),
            format!(r#"{{{time},"event":"audited","direction":"ingress","reason":"default",{ends}}}"#)
        );
        let elsewhere = Record { ifindex: 77, ..by_rank(Reason::Rule, 0) };
        assert!(json(&state, &elsewhere).contains("\"interface\":\"#77\""));
    }

    #[test]
    fn what_could_not_be_read_has_no_ends() {
        let state = state();
        let record = Record {
            why: Reason::Malformed as u8,
            counter: NO_COUNTER,
            local: Addr::default(),
            remote: Addr::default(),
            mac: [2, 0, 0, 0, 0, 10],
            ..dropped(&state)
        };
        assert_eq!(
            json(&state, &record),
            r#"{"time":"1970-01-12T13:46:38.000Z","event":"dropped","direction":"ingress","#.to_owned()
                + r#""reason":"malformed","packet_bytes":60,"source_mac":"02:00:00:00:00:0a","#
                + r#""interface":"tap1","protocol":null,"local":null,"remote":null}"#
        );
    }

    #[test]
    fn a_connection_in_json() {
        let state = state();
        let life = |egress| Life::live(Life(0).claim(), LifeState::FinWait, egress, 4800);
        let record = Record {
            kind: Kind::Closed as u8,
            why: Ended::Over as u8,
            life: life(true).0,
            // It was over half a second ago, and noticed now.
            tick: 4850,
            created: 4550,
            packets: [3, 2],
            bytes: [300, 200],
            ..dropped(&state)
        };
        assert_eq!(
            json(&state, &record),
            r#"{"time":"1970-01-12T13:46:38.000Z","event":"closed","opener":"egress","how":"fin","#
                .to_owned()
                + r#""packets":{"ingress":2,"egress":3},"bytes":{"ingress":200,"egress":300},"#
                + r#""duration_seconds":2.5,"interface":"tap1","protocol":"tcp","#
                + r#""local":{"address":"10.0.0.5","port":23},"remote":{"address":"192.0.2.1","port":40000},"#
                + r#""group":"web","rule":0,"description":"no telnet"}"#
        );
    }

    #[test]
    fn an_end_has_a_word() {
        let life = Life::live(Life(0), LifeState::Established, false, 1);
        let reset = life.moved(LifeState::Established, true, true, 1);
        assert_eq!(how(Ended::Over as u8, life, true), How::Expired);
        assert_eq!(how(Ended::Over as u8, reset, true), How::Rst);
        assert_eq!(how(Ended::Over as u8, reset, false), How::Gone);
        assert_eq!(how(Ended::Cut as u8, reset, false), How::Cut);
        assert_eq!(how(Ended::Flushed as u8, life, true).word(), "flushed");
        assert_eq!(how(Ended::Gone as u8, life, true).word(), "gone");
    }

    #[test]
    fn a_slot_that_has_another_tenant_is_not_named_after_it() {
        let state = state();
        let naming = Naming { state: &state, before: None, clock: &make::clock(), device: &|_| None };
        let name = |record: &Record| naming.event(record).unwrap().interface;
        assert_eq!(name(&Record { ifindex: 77, ..dropped(&state) }), "#77");
        let closed = Record { kind: Kind::Closed as u8, ifindex: 0, ..dropped(&state) };
        assert_eq!(
            (name(&closed), name(&Record { generation: 0, ..closed })),
            ("tap1".into(), "(gone)".into())
        );
        let opened = Record { kind: Kind::Opened as u8, ..closed };
        assert_eq!(name(&opened), "tap1");
        assert_eq!(naming.event(&Record { kind: 9, ..closed }), None);
    }

    #[test]
    fn a_rule_is_named_by_the_policy_that_judged() {
        let state = state();
        let empty = make::policy(vec![make::group("web", Vec::new())]);
        let after = make::apply(&state, &empty, &[make::interface(&["web"], &["10.0.0.5"])]).1;
        assert!(after.interfaces()["tap1"].row.generation > 1);
        let rule = |before| {
            let naming = Naming { state: &after, before, clock: &make::clock(), device: &|_| None };
            naming.event(&dropped(&state)).unwrap().rule.map(|rule| rule.description)
        };
        assert_eq!((rule(None), rule(Some(&state))), (None, Some("no telnet".to_owned())));
    }

    #[test]
    fn queries_have_an_identifier_and_arp_a_sender() {
        let state = state();
        let ping = Record { protocol: 1, icmp: [8, 0], local_port: [0, 7], ..dropped(&state) };
        assert!(json(&state, &ping).contains(
            r#""local":{"address":"10.0.0.5","port":7},"remote":{"address":"192.0.2.1","port":null},"icmp":{"type":8,"code":0}"#
        ));
        let arp = Record { remote: Addr::default(), protocol: 0, ..dropped(&state) };
        assert!(json(&state, &arp).contains(r#""local":{"address":"10.0.0.5","port":null},"remote":null"#));
    }
}
