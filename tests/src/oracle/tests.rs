//! Sentences of the specification, by hand.

use std::time::{Duration, UNIX_EPOCH};

use super::*;

/// A policy with these groups and one interface `tap0` bound to `bound`; `more` are further interfaces.
fn world(groups: &str, bound: &str, more: &str) -> Policy {
    policy(&format!(
        "version: 1\n\
         address_groups: {{office: {{addresses: [203.0.113.0/24]}}, nobody: {{addresses: []}}}}\n\
         security_groups:\n{groups}\n\
         interfaces:\n  - {{name: tap0, role: guest, groups: [{bound}], addresses: [10.0.0.5]}}\n{more}"
    ))
}

fn tcp(port: u16) -> Service {
    Service::Ports { protocol: 6, destination: port }
}

fn ask(direction: Direction, remote: &str, service: Service) -> Question {
    let remote = remote.parse().expect("an address");
    Question { direction, remote, service, now: UNIX_EPOCH + Duration::from_secs(1_800_000_000) }
}

fn answer(policy: &Policy, direction: Direction, remote: &str, service: Service) -> Answer {
    Oracle::new(policy).judge(&policy.interfaces[0], &ask(direction, remote, service))
}

/// Whether a packet from `remote` gets in.
fn admits(policy: &Policy, remote: &str, service: Service) -> bool {
    answer(policy, Direction::Ingress, remote, service).allowed
}

/// Whether a packet to `remote` gets out.
fn lets_out(policy: &Policy, remote: &str, service: Service) -> bool {
    answer(policy, Direction::Egress, remote, service).allowed
}

#[test]
fn without_a_rule_nothing_gets_in_and_everything_out() {
    let policy = world("  web: {rules: []}", "web", "");
    assert_eq!(answer(&policy, Direction::Ingress, "10.9.9.9", tcp(80)).by, By::Default);
    assert!(!admits(&policy, "10.9.9.9", tcp(80)) && lets_out(&policy, "10.9.9.9", tcp(80)));
}

#[test]
fn smallest_priority_first_and_inside_it_deny_before_allow() {
    let policy = world(
        "  a: {rules: [
             {direction: ingress, protocol: tcp, ports: 1-100, priority: 2},
             {direction: ingress, protocol: tcp, ports: 50-60, priority: 2, action: deny},
             {direction: ingress, protocol: tcp, ports: 55, priority: 1},
             {direction: ingress, protocol: tcp, ports: 70, priority: 10, action: deny}]}",
        "a",
        "",
    );
    for (port, passes) in
        [(49, true), (50, false), (54, false), (55, true), (56, false), (61, true), (70, true)]
    {
        assert_eq!(admits(&policy, "10.9.9.9", tcp(port)), passes, "port {port}");
    }
    let decided = answer(&policy, Direction::Ingress, "10.9.9.9", tcp(50)).by;
    assert_eq!(decided, By::Rule { place: 1, group: "a".to_owned(), index: 1 });
}

#[test]
fn groups_that_only_allow_are_additive() {
    let groups = "  ssh: {rules: [{direction: ingress, service: ssh}]}
  ping: {rules: [{direction: ingress, service: ping}]}";
    let echo = Service::Icmp { protocol: 1, kind: 8, code: 0 };
    let both = world(groups, "ssh, ping", "");
    assert!(admits(&both, "10.9.9.9", tcp(22)) && admits(&both, "10.9.9.9", echo));
    let one = world(groups, "ping", "");
    assert!(!admits(&one, "10.9.9.9", tcp(22)) && admits(&one, "10.9.9.9", echo));
}

#[test]
fn a_default_that_two_groups_disagree_on_is_closed() {
    let groups = "  open: {default_policy: {ingress: allow, egress: allow}, rules: []}
  shut: {default_policy: {ingress: deny, egress: deny}, rules: []}";
    assert!(admits(&world(groups, "open", ""), "10.9.9.9", tcp(1)));
    assert!(!admits(&world(groups, "open, shut", ""), "10.9.9.9", tcp(1)));
    assert!(!lets_out(&world(groups, "open, shut", ""), "10.9.9.9", tcp(1)));
}

#[test]
fn an_interface_bound_to_nothing_gets_the_default_group() {
    let rules = "{rules: [{direction: ingress, protocol: tcp, ports: 22}]}";
    let policy = world(&format!("  default: {rules}"), "", "");
    assert!(admits(&policy, "10.9.9.9", tcp(22)));
    let without = world(&format!("  other: {rules}"), "", "");
    assert_eq!(answer(&without, Direction::Egress, "10.9.9.9", tcp(22)).by, By::NoPolicy);
    assert!(!lets_out(&without, "10.9.9.9", tcp(22)));
}

#[test]
fn never_means_any() {
    let policy = world(
        "  a: {rules: [
             {direction: ingress, protocol: all, remote: 'address-group:nobody'},
             {direction: ingress, protocol: all, remote: 'group:empty'},
             {direction: ingress, protocol: icmp, icmp: {type: 0}}]}
  empty: {rules: []}",
        "a",
        "",
    );
    assert!(!admits(&policy, "10.9.9.9", tcp(80)));
    let icmp = |kind| Service::Icmp { protocol: 1, kind, code: 0 };
    assert!(admits(&policy, "10.9.9.9", icmp(0)) && !admits(&policy, "10.9.9.9", icmp(8)));
}

#[test]
fn icmp_is_ipv4s_and_icmpv6_is_ipv6s() {
    let policy = world("  a: {rules: [{direction: ingress, protocol: icmp}]}", "a", "");
    assert!(admits(&policy, "10.9.9.9", Service::Icmp { protocol: 1, kind: 8, code: 0 }));
    assert!(!admits(&policy, "fd00::9", Service::Icmp { protocol: 58, kind: 128, code: 0 }));
    assert!(!admits(&policy, "fd00::9", Service::Other(1)));
    let ping = world("  a: {rules: [{direction: ingress, service: ping}]}", "a", "");
    assert!(admits(&ping, "10.9.9.9", Service::Icmp { protocol: 1, kind: 8, code: 0 }));
    assert!(admits(&ping, "fd00::9", Service::Icmp { protocol: 58, kind: 128, code: 0 }));
}

#[test]
fn a_remote_implies_its_family() {
    let policy =
        world("  a: {rules: [{direction: ingress, protocol: tcp, ports: 80, remote: 0.0.0.0/0}]}", "a", "");
    assert!(admits(&policy, "10.9.9.9", tcp(80)) && !admits(&policy, "fd00::9", tcp(80)));
}

#[test]
fn prefixes_and_ports_end_where_they_say() {
    let policy = world(
        "  a: {rules: [{direction: ingress, protocol: tcp, ports: [443, 8000-8100], remote: 'address-group:office'}]}",
        "a",
        "",
    );
    for (remote, port, passes) in [
        ("203.0.113.0", 443, true),
        ("203.0.113.255", 8100, true),
        ("203.0.112.255", 443, false),
        ("203.0.114.0", 443, false),
        ("203.0.113.1", 7999, false),
        ("203.0.113.1", 8101, false),
    ] {
        assert_eq!(admits(&policy, remote, tcp(port)), passes, "{remote} port {port}");
    }
    assert!(!admits(&policy, "203.0.113.1", Service::Ports { protocol: 17, destination: 443 }));
}

#[test]
fn members_are_bound_interfaces_of_the_tenant_and_the_members_list() {
    let policy = world(
        "  a: {members: [10.0.9.0/24], rules: [{direction: ingress, protocol: all, remote: 'group:a'}]}",
        "a",
        "  - {name: tap1, role: guest, groups: [a], addresses: [10.0.0.6]}
  - {name: tap2, role: guest, groups: [a], addresses: [10.0.0.7], zone: blue}\n",
    );
    for (remote, passes) in [
        ("10.0.0.5", true),
        ("10.0.0.6", true),
        ("10.0.0.7", false),
        ("10.0.9.77", true),
        ("10.0.8.255", false),
    ] {
        assert_eq!(admits(&policy, remote, tcp(80)), passes, "{remote}");
    }
}

#[test]
fn a_rule_stops_matching_when_it_expires() {
    let rule = "{direction: ingress, protocol: tcp, ports: 80, expires: 2027-01-15T08:00:00Z}";
    let policy = world(&format!("  a: {{rules: [{rule}]}}"), "a", "");
    // 2027-01-15T08:00:00Z is second 1,800,000,000.
    let mut question = ask(Direction::Ingress, "10.9.9.9", tcp(80));
    assert!(!Oracle::new(&policy).judge(&policy.interfaces[0], &question).allowed);
    question.now -= Duration::from_nanos(1);
    assert!(Oracle::new(&policy).judge(&policy.interfaces[0], &question).allowed);
}

#[test]
fn outbound_mail_is_blocked_unless_a_group_allows_it() {
    let blocked = world("  a: {rules: []}", "a", "");
    for port in [25, 465, 587] {
        assert_eq!(answer(&blocked, Direction::Egress, "10.9.9.9", tcp(port)).by, By::Smtp);
    }
    assert!(lets_out(&blocked, "10.9.9.9", Service::Ports { protocol: 17, destination: 25 }));
    assert!(lets_out(&world("  a: {allow_smtp: true, rules: []}", "a", ""), "10.9.9.9", tcp(25)));
}

#[test]
fn exempt_networks_pass_before_everything() {
    let policy = policy(
        "version: 1\nsecurity_groups: {a: {rules: []}}\n\
         interfaces: [{name: tap0, role: guest, groups: [a], exempt: [192.168.0.0/16]}]\n",
    );
    assert!(admits(&policy, "192.168.3.4", tcp(80)) && !admits(&policy, "192.169.0.0", tcp(80)));
    assert!(lets_out(&policy, "192.168.3.4", tcp(25)));
}

#[test]
fn what_stateless_groups_allow_is_not_tracked() {
    let rules = "rules: [{direction: ingress, protocol: tcp, ports: 80}]";
    let policy = world(&format!("  a: {{stateful: false, {rules}}}"), "a", "");
    assert!(!answer(&policy, Direction::Ingress, "10.9.9.9", tcp(80)).stateful);
    let policy = world(&format!("  a: {{{rules}}}"), "a", "");
    assert!(answer(&policy, Direction::Ingress, "10.9.9.9", tcp(80)).stateful);
}

#[test]
fn an_audit_group_drops_nothing() {
    let groups =
        "  trial: {audit: true, rules: [{direction: egress, protocol: tcp, ports: 80, action: deny}]}
  web: {rules: []}";
    assert!(admits(&world(groups, "trial", ""), "10.9.9.9", tcp(1)));
    let both = world(groups, "trial, web", "");
    assert!(lets_out(&both, "10.9.9.9", tcp(80)) && !admits(&both, "10.9.9.9", tcp(1)));
}

#[test]
fn a_later_fragment_without_a_first_needs_a_rule_without_ports() {
    let later = Service::LaterFragment(6);
    let with = |rules: &str| world(&format!("  a: {{rules: [{rules}]}}"), "a", "");
    assert!(!admits(&with("{direction: ingress, protocol: tcp, ports: 1-65535}"), "10.9.9.9", later));
    assert!(admits(&with("{direction: ingress, protocol: tcp}"), "10.9.9.9", later));
    assert!(!lets_out(&with(""), "10.9.9.9", later));
    let deny =
        "{direction: ingress, protocol: tcp, ports: 23, action: deny}, {direction: ingress, protocol: tcp}";
    assert!(!admits(&with(deny), "10.9.9.9", later));
}
