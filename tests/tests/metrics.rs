//! Counters that never go down: through changes of policy, interfaces that leave, and an agent that starts anew.

use sg_agent::metrics::{
    InForce, Totals,
    snapshot::{Rule, Use},
};
use sg_common::{addr::INGRESS, verdict::Reason};
use sg_tests::{
    packets::Transport,
    wire::{Family, PORT, Wire},
};

const DNS: &str = "{direction: ingress, protocol: udp, ports: 53, description: names}";
const NTP: &str = "{direction: ingress, protocol: udp, ports: 123, description: time}";
const CLOCK: &str = "{direction: ingress, protocol: udp, ports: 123, description: clock}";
const MANY: usize = 1000;

fn group(rules: &[&str]) -> String {
    format!("security_groups:\n  guest:\n    rules: [{}]", rules.join(", "))
}

fn rule<'a>(in_force: &'a InForce, description: &str) -> &'a Rule {
    let mut found = in_force.rules.iter().filter(|rule| rule.described.description == description);
    found.next().unwrap_or_else(|| panic!("no rule {description}"))
}

/// A datagram of a flow of its own comes in.
fn hit(wire: &Wire, from: u16, port: u16) {
    wire.enters(&Family::V4.inward(), &Transport::udp(from, port));
}

/// Connections opened on the guest's interface. Packets let in would be others' too: devices speak up when they come up.
fn let_in(in_force: &InForce) -> u64 {
    bound(in_force, PORT).stats.0[INGRESS].opened
}

#[track_caller]
fn bound(in_force: &InForce, name: &str) -> Use {
    let interface = in_force.interfaces.iter().find(|one| one.status.name == name);
    interface.and_then(|one| one.bound).expect("a bound interface")
}

/// On its way to the guest a packet meets two interfaces, and each judges it by its own rules.
#[test]
fn each_interface_counts_for_itself() {
    let wire = Wire::new(&group(&[DNS]));
    let policy = "version: 1
security_groups:
  guest: {rules: [{direction: ingress, protocol: udp, ports: 53}]}
  uplink: {rules: [{direction: ingress, protocol: udp}]}
interfaces:
  - {name: tap0, role: guest, groups: [guest], addresses: [10.9.2.2]}
  - {name: up0, role: host, groups: [uplink]}
";
    wire.agent.apply(policy);
    hit(&wire, 40_000, 53);
    for from in [40_001, 40_002] {
        wire.is_lost(&Family::V4.inward(), &Transport::udp(from, 123));
    }
    let in_force = wire.agent.in_force(&mut Totals::default(), MANY);
    let counts = |name: &str| {
        let Use { stats, held } = bound(&in_force, name);
        let ingress = &stats.0[INGRESS];
        // What devices say of themselves when they come up passes too.
        assert!(ingress.allowed >= ingress.opened, "{ingress:?}");
        (ingress.dropped[Reason::Default as usize], ingress.opened, held.connections)
    };
    assert_eq!(counts(PORT), (2, 1, 1));
    assert_eq!(counts("up0"), (0, 3, 3));
}

#[test]
fn a_rule_counts_on_whatever_comes_and_goes() {
    let wire = Wire::new(&group(&[DNS, NTP]));
    hit(&wire, 40_000, 123);
    hit(&wire, 40_001, 123);
    let mut totals = Totals::default();
    let before = wire.agent.in_force(&mut totals, MANY);
    let time = rule(&before, "time").clone();
    assert_eq!((time.counted.packets, time.described.index), (2, 1));

    // It moves and is described anew: the same series.
    wire.apply(&group(&[CLOCK, DNS]));
    let moved = wire.agent.in_force(&mut totals, MANY);
    let clock = rule(&moved, "clock");
    assert_eq!((&clock.key, clock.counted, clock.described.index), (&time.key, time.counted, 0));

    // Its interface leaves.
    let elsewhere = format!(
        "version: 1\n{}\ninterfaces: [{{name: up0, role: host, groups: [guest]}}]\n",
        group(&[CLOCK])
    );
    wire.agent.apply(&elsewhere);
    let left = wire.agent.in_force(&mut totals, MANY);
    assert_eq!(rule(&left, "clock").counted, time.counted);
    assert!(left.interfaces.iter().all(|one| one.status.name != PORT));

    // An agent starts, and the interface comes back.
    let mut totals = wire.agent.recalled();
    wire.apply(&group(&[NTP]));
    hit(&wire, 40_002, 123);
    let back = wire.agent.in_force(&mut totals, MANY);
    assert_eq!(rule(&back, "time").counted.packets, 3);
    assert_eq!(let_in(&back), 1, "a new life of the interface");

    // What is unloaded is forgotten.
    assert_eq!(wire.agent.run(&["unload"]).status, 0);
    assert_eq!(wire.agent.recalled(), Totals::default());
}

#[test]
fn rules_beyond_the_limit_are_counted_as_left_out() {
    let wire = Wire::new(&group(&[DNS, NTP, "{direction: egress, protocol: gre}"]));
    hit(&wire, 40_000, 123);
    let few = wire.agent.in_force(&mut Totals::default(), 1);
    assert_eq!(few.rules_left_out, 2);
    assert_eq!(few.rules, [rule(&few, "time").clone()], "the one that counted most");
}

/// Slots that expired entries keep are told, and how long they have.
#[test]
fn expired_entries_are_told_until_they_are_swept() {
    let wire = Wire::new(&group(&[DNS]));
    hit(&wire, 40_000, 53);
    let live = wire.agent.in_force(&mut Totals::default(), MANY);
    assert_eq!((live.connections, live.expiry_lag.as_secs()), ([1, 0], 0));
    wire.clock().advance_seconds(130);
    let expired = wire.agent.in_force(&mut Totals::default(), MANY);
    assert_eq!(expired.connections, [0, 0]);
    let lag = expired.expiry_lag.as_secs();
    assert!((95..160).contains(&lag), "30 of 130 seconds it was live: {lag}");
    wire.agent.counters().loaded.kernel.sweep_all().expect("a sweep");
    assert_eq!(wire.agent.in_force(&mut Totals::default(), MANY).expiry_lag.as_secs(), 0);
}
