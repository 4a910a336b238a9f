//! What an audit group would drop is told, and passes.

use std::{io::Read as _, time::Duration};

use nix::sys::signal::Signal;
use sg_common::{events::Kind, verdict::Reason};
use sg_tests::{
    life::Plane,
    monitor::Monitor,
    packets::{
        Transport,
        flag::{ACK, SYN},
    },
    wire::Family,
};

use super::{bounds::counts_of, on, start, told};

/// A guest bound to `groups`: `now` enforces and lets nearly everything pass, `soon` is on trial and would hardly.
pub fn plane(groups: &str) -> Plane {
    let policy = format!(
        "version: 1
settings: {{limits: {{policy_bytes: 1048576, fragments: 1024}}, conntrack: {{max_entries: 4096}}}}
security_groups:
  now:
    default_policy: {{ingress: allow, egress: allow}}
    rules: [{{description: no ssh, direction: ingress, protocol: tcp, ports: 22, action: deny}}]
  soon:
    audit: true
    default_policy: {{ingress: deny, egress: deny}}
    rules: [{{description: no telnet, direction: ingress, protocol: tcp, ports: 23, action: deny}}, \
         {{direction: ingress, protocol: tcp, ports: 80}}, \
         {{description: no time, direction: egress, protocol: udp, ports: 123, action: deny}}, \
         {{direction: egress, protocol: udp, ports: 53}}]
interfaces:
  - {{name: tap0, role: guest, groups: [{groups}], addresses: [10.9.2.2, \"fd02::2\"]}}
"
    );
    Plane::new(&["tap0"], &policy)
}

/// Both directions and families, by a rule and by default. What passes either way, what the others drop anyway and what
/// belongs to a connection is not told of.
#[test]
fn what_would_be_dropped_is_told_and_passes() {
    for family in Family::BOTH {
        let plane = plane("now, soon");
        let mut monitor = Monitor::start(&plane, &["--only", "audited,dropped"]);
        let life = on(&plane, family);
        life.enters(&Transport::tcp(40_000, 80, SYN));
        life.enters(&Transport::tcp(40_000, 23, SYN));
        life.leaves(&Transport::tcp(23, 40_000, SYN | ACK));
        life.enters(&Transport::tcp(40_000, 23, ACK));
        life.enters(&Transport::udp(40_000, 9));
        life.is_kept_out(Reason::Rule, &Transport::tcp(40_000, 22, SYN));
        life.leaves(&Transport::udp(42_000, 53));
        life.leaves(&Transport::udp(42_000, 123));
        life.leaves(&Transport::udp(42_000, 123));
        life.enters(&Transport::udp(123, 42_000));
        life.leaves(&Transport::tcp(42_000, 443, SYN));
        let events = told(
            &mut monitor,
            &[
                "tap0 tcp :23 audited in, rule, soon#0 no telnet",
                "tap0 udp :9 audited in, default",
                "tap0 tcp :22 dropped in, rule, now#0 no ssh",
                "tap0 udp :42000 audited out, rule, soon#2 no time",
                "tap0 tcp :42000 audited out, default",
            ],
        );
        let [local, remote] = [events[0].local, events[0].remote].map(|end| end.expect("an end"));
        assert_eq!(
            (local.address, remote.address, remote.port),
            (family.guest(), family.peer(), Some(40_000))
        );
        assert_eq!((monitor.told(Duration::from_secs(2)), counts_of(&plane, Kind::Audited)), (None, (4, 4)));
        let counted = &plane.agent.stats().interfaces[0];
        assert_eq!((counted.ingress.audited, counted.egress.audited), (2, 2));
    }
}

/// An interface with audit groups alone tells what they would drop, too.
#[test]
fn an_audit_group_alone_tells() {
    let plane = plane("soon");
    let mut monitor = Monitor::start(&plane, &["--only", "audited"]);
    let life = on(&plane, Family::V4);
    life.enters(&Transport::tcp(40_000, 22, SYN));
    life.enters(&Transport::tcp(40_000, 23, SYN));
    told(
        &mut monitor,
        &["tap0 tcp :22 audited in, default", "tap0 tcp :23 audited in, rule, soon#0 no telnet"],
    );
}

/// Nothing is told to nobody, before or after somebody has listened.
#[test]
fn nobody_is_told_what_would_be_dropped() {
    let plane = plane("now, soon");
    let enter = || on(&plane, Family::V4).enters(&Transport::tcp(40_000, 23, SYN));
    enter();
    assert_eq!(counts_of(&plane, Kind::Audited), (0, 0));
    let mut monitor = Monitor::start(&plane, &[]);
    enter();
    monitor.event();
    assert_eq!(monitor.end(Signal::SIGINT), 0);
    enter();
    assert_eq!(counts_of(&plane, Kind::Audited), (1, 1));
}

/// A question is no packet.
#[test]
fn an_explanation_tells_nothing() {
    let plane = plane("now, soon");
    let mut monitor = Monitor::start(&plane, &[]);
    let question = "--interface tap0 --direction ingress --protocol tcp --port 23 --remote 10.9.1.2";
    assert_eq!(plane.agent.explain(question).verdict, "allow");
    let told = monitor.told(Duration::from_secs(2));
    assert_eq!((told, counts_of(&plane, Kind::Audited)), (None, (0, 0)));
}

/// A line for people: what the rule would do, and which rule.
#[test]
fn a_line_says_what_would_be_dropped() {
    let plane = plane("now, soon");
    let mut child = start(&plane, &["--reason", "rule", "--count", "2"]);
    let life = on(&plane, Family::V4);
    life.enters(&Transport::tcp(40_000, 23, SYN));
    life.is_kept_out(Reason::Rule, &Transport::tcp(40_000, 22, SYN));
    assert!(child.wait().expect("its end").success());
    let mut text = String::new();
    child.stdout.take().expect("a pipe").read_to_string(&mut text).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    let [audited, dropped] = lines.as_slice() else { panic!("{text}") };
    assert!(audited.contains(" AUDIT tap0 ") && audited.contains(":40000 > 10.9.2.2:23 "), "{text}");
    assert!(audited.contains("  would drop: rule soon #0 (no telnet), "), "{text}");
    assert!(dropped.contains(" DROP  tap0 ") && dropped.contains("  rule now #0 (no ssh), "), "{text}");
}
