//! What a policy file means: defaults, services, templates, families, and the positions of items.

use std::time::{Duration, SystemTime};

use sg_agent::policy::{
    self, Loaded, Policy,
    model::{
        Action, Direction, LinkLocal, Match, OnIngressChange, PortRange, Remote, Role, Rule, RxHook, Settings,
    },
};

fn load(text: &str) -> Loaded {
    let loaded = policy::parse_str(text, "rules.yaml");
    assert!(loaded.policy.is_some(), "{:#?}", loaded.diagnostics);
    loaded
}

fn accept(text: &str) -> Policy {
    load(text).policy.expect("it is accepted")
}

fn rules(rules: &str) -> Vec<Rule> {
    accept(&format!("version: 1\nsecurity_groups:\n  web:\n    rules:\n{rules}")).groups["web"].rules.clone()
}

fn ports(protocol: u8, first: u16, last: u16) -> Match {
    Match::Ports(protocol, vec![PortRange { first, last }])
}

#[test]
fn the_least_policy_has_the_defaults() {
    let policy = accept("version: 1\n");
    assert_eq!(policy, Policy::default());
    assert_eq!(policy.settings, Settings::default());
}

#[test]
fn settings_are_read() {
    let policy = accept(
        "version: 1\nsettings:\n  timeouts: {tcp_established: 1h, icmp: 1m30s}\n  conntrack: {max_entries: 2048, tcp_pickup: loose}\n  quotas: {groups: 5}\n  limits: {policy_bytes: 1048576}\n  default_group: base\n",
    );
    assert_eq!(policy.settings.timeouts.tcp_established, Duration::from_secs(3600));
    assert_eq!(policy.settings.timeouts.icmp, Duration::from_secs(90));
    assert_eq!(policy.settings.conntrack.max_entries, 2048);
    assert_eq!(policy.settings.conntrack.max_per_interface, 2048, "a share is at most the table");
    assert_eq!(policy.settings.quotas.groups, 5);
    assert_eq!(policy.settings.limits.policy_bytes, 1 << 20);
    assert_eq!(policy.settings.default_group, "base");
}

#[test]
fn a_group_has_its_defaults() {
    let policy = accept("version: 1\nsecurity_groups: {web: {}}\n");
    let web = &policy.groups["web"];
    assert!(web.stateful && !web.audit && !web.allow_smtp);
    assert_eq!((web.default_ingress, web.default_egress), (Action::Deny, Action::Allow));
    assert_eq!(web.on_ingress_change, OnIngressChange::Recheck);
}

#[test]
fn a_rule_has_its_defaults() {
    let found = rules("      - {direction: ingress}\n");
    let [rule] = found.as_slice() else { panic!("one rule") };
    assert_eq!(
        (rule.index, rule.direction, rule.action, rule.priority),
        (0, Direction::Ingress, Action::Allow, 1)
    );
    assert_eq!((&rule.matches, &rule.remote, rule.families), (&Match::All, &Remote::Any, [true, true]));
}

#[test]
fn the_remote_implies_the_family() {
    let found = rules(
        "      - {direction: ingress, remote: 10.0.0.0/8}\n      - {direction: ingress, remote: 'fd00::1'}\n",
    );
    assert_eq!(found[0].families, [true, false]);
    assert_eq!(found[1].families, [false, true]);
    assert_eq!(found[1].remote, Remote::Prefix("fd00::1/128".parse().expect("a prefix")));
}

#[test]
fn icmp_is_of_one_family_and_type_0_is_type_0() {
    let found = rules(
        "      - {direction: ingress, protocol: icmp, icmp: {type: 0, code: 0}}\n      - {direction: ingress, protocol: 58}\n",
    );
    assert_eq!(found[0].matches, Match::Icmp { protocol: 1, kind: 0, code: Some(0) });
    assert_eq!(found[0].families, [true, false]);
    assert_eq!((&found[1].matches, found[1].families), (&Match::Protocol(58), [false, true]));
}

#[test]
fn ports_are_sorted_and_joined() {
    let found = rules(
        "      - {direction: ingress, protocol: tcp, ports: [443, 8000-8100, '80', 8050-8200, 8201]}\n",
    );
    let range = |first, last| PortRange { first, last };
    assert_eq!(found[0].matches, Match::Ports(6, vec![range(80, 80), range(443, 443), range(8000, 8201)]));
}

#[test]
fn a_service_gives_rules_of_one_index() {
    let found = rules(
        "      - {direction: ingress, service: ping}\n      - {direction: ingress, service: dns, priority: 7}\n",
    );
    let indexes: Vec<u32> = found.iter().map(|rule| rule.index).collect();
    assert_eq!(indexes, [0, 0, 1, 1]);
    assert_eq!((found[0].families, found[1].families), ([true, false], [false, true]));
    assert_eq!((&found[2].matches, &found[3].matches), (&ports(6, 53, 53), &ports(17, 53, 53)));
    assert_eq!(found[3].priority, 7);
}

#[test]
fn a_service_keeps_to_the_family_of_the_remote() {
    let found = rules("      - {direction: ingress, service: ping, remote: 10.0.0.0/8}\n");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].matches, Match::Icmp { protocol: 1, kind: 8, code: None });
}

#[test]
fn template_rules_follow_the_groups_own() {
    let loaded = load(
        "version: 1\nsecurity_groups:\n  web:\n    template: default\n    rules:\n      - {direction: ingress, protocol: gre}\n",
    );
    let policy = loaded.policy.expect("it is accepted");
    let found = &policy.groups["web"].rules;
    assert_eq!(found.iter().map(|rule| rule.index).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(found[1].remote, Remote::Group("web".into()));
    assert_eq!((found[2].direction, &found[2].matches), (Direction::Egress, &Match::All));
    assert_eq!(loaded.positions.rule("web", 0).line, 6);
    assert_eq!(loaded.positions.rule("web", 2).line, 4, "a template's rules stand where it is named");
}

#[test]
fn template_rules_count_for_the_quota() {
    let text = "version: 1\nsettings: {quotas: {rules_per_group: 1}}\nsecurity_groups:\n  web: {template: default}\n";
    let loaded = policy::parse_str(text, "x");
    assert_eq!(loaded.diagnostics[0].code.as_str(), "E-QUOTA");
}

#[test]
fn expiry_is_a_point_in_time_whatever_the_offset() {
    let found = rules(
        "      - {direction: ingress, expires: 2037-01-01T00:00:00Z}\n      - {direction: ingress, expires: 2037-01-01T02:00:00+02:00, protocol: udp}\n",
    );
    let end = SystemTime::UNIX_EPOCH + Duration::from_secs(2_114_380_800);
    assert_eq!((found[0].expires, found[1].expires), (Some(end), Some(end)));
}

#[test]
fn an_interface_is_read() {
    let policy = accept(
        r#"version: 1
security_groups: {web: {}}
interfaces:
  - name: tap0
    groups: [web]
    addresses: [10.0.0.5, "fd00::5"]
    mac: "52:54:00:12:34:56"
    allowed_address_pairs: [{address: 10.0.0.100, mac: "52:54:00:12:34:57"}, {address: 10.1.0.0/16}]
    exempt: [192.168.0.0/16]
    rx_hook: xdp-generic
    zone: blue
    link_local: eui64
"#,
    );
    let tap = &policy.interfaces[0];
    assert_eq!((tap.name.as_str(), tap.role, tap.rx_hook), ("tap0", Role::Guest, RxHook::XdpGeneric));
    assert_eq!(tap.mac, Some([0x52, 0x54, 0, 0x12, 0x34, 0x56]));
    assert_eq!(tap.allowed_address_pairs[0].mac, Some([0x52, 0x54, 0, 0x12, 0x34, 0x57]));
    assert_eq!(tap.allowed_address_pairs[1].prefix.to_string(), "10.1.0.0/16");
    assert_eq!((tap.zone.as_str(), tap.link_local, tap.anti_spoof), ("blue", LinkLocal::Eui64, true));
}

#[test]
fn anti_spoofing_is_on_for_guests_with_addresses_only() {
    let policy = accept(
        "version: 1\nsecurity_groups: {web: {}}\ninterfaces:\n  - {name: a, groups: [web]}\n  - {name: b, groups: [web], addresses: [10.0.0.1]}\n  - {name: c, groups: [web], addresses: [10.0.0.1], anti_spoof: false}\n  - {name: d, role: host, groups: [web], addresses: [10.0.0.1]}\n",
    );
    let on: Vec<bool> = policy.interfaces.iter().map(|interface| interface.anti_spoof).collect();
    assert_eq!(on, [false, true, false, false]);
}

#[test]
fn groups_may_refer_to_each_other_in_a_circle() {
    let rule = |to: &str| format!("{{rules: [{{direction: ingress, remote: 'group:{to}'}}]}}");
    let text =
        format!("version: 1\nsecurity_groups:\n  a: {}\n  b: {}\n  c: {}\n", rule("b"), rule("c"), rule("a"));
    assert_eq!(accept(&text).groups.len(), 3);
}

#[test]
fn aliases_repeat_values() {
    let policy = accept(
        "version: 1\nsecurity_groups:\n  a: {rules: &web [{direction: ingress, service: https}]}\n  b: {rules: *web}\n",
    );
    assert_eq!(policy.groups["a"].rules, policy.groups["b"].rules);
}

fn codes(text: &str) -> Vec<&'static str> {
    load(text).diagnostics.iter().map(|one| one.code.as_str()).collect()
}

#[test]
fn nothing_is_unused_where_interfaces_are_attached_later() {
    assert!(codes("version: 1\nsecurity_groups: {web: {}}\n").is_empty());
}

#[test]
fn an_idle_rule_is_found_across_prefixes_but_not_across_families() {
    let wide = "      - {direction: ingress, protocol: udp, remote: 10.0.0.0/8, action: deny}\n";
    let text =
        |rule: &str| format!("version: 1\nsecurity_groups:\n  web:\n    rules:\n{wide}      - {{{rule}}}\n");
    let idle = "direction: ingress, protocol: udp, ports: 53, remote: 10.9.0.0/16";
    assert_eq!(codes(&text(idle)), ["W-SHADOWED"]);
    for good in [
        "direction: egress, protocol: udp, ports: 53, remote: 10.9.0.0/16",
        "direction: ingress, protocol: udp, ports: 53, remote: 11.0.0.0/8",
        "direction: ingress, protocol: udp, ports: 53, remote: 0.0.0.0/0",
        "direction: ingress, protocol: sctp, ports: 53, remote: 10.9.0.0/16",
        "direction: ingress, protocol: udp, ports: 53, remote: 'fd00::/8'",
    ] {
        assert!(codes(&text(good)).is_empty(), "{good}");
    }
}

#[test]
fn a_rule_that_expires_covers_only_what_ends_before() {
    let text = |end: &str| {
        format!(
            "version: 1\nsecurity_groups:\n  web:\n    rules:\n      - {{direction: ingress, protocol: udp, action: deny, expires: 2999-01-01T00:00:00Z}}\n      - {{direction: ingress, protocol: udp, ports: 53{end}}}\n"
        )
    };
    assert!(codes(&text("")).is_empty());
    assert_eq!(codes(&text(", expires: 2998-01-01T00:00:00Z")), ["W-SHADOWED"]);
}

#[test]
fn quotas_are_100_groups_and_50_rules() {
    let groups = |count: usize| (0..count).map(|n| format!("  g{n}: {{}}\n")).collect::<String>();
    let rules = |count: usize| "      - {direction: ingress, service: https}\n".repeat(count);
    let with_groups = |count| format!("version: 1\nsecurity_groups:\n{}", groups(count));
    let with_rules = |count| format!("version: 1\nsecurity_groups:\n  web:\n    rules:\n{}", rules(count));
    for (fits, exceeds) in [(with_groups(100), with_groups(101)), (with_rules(50), with_rules(51))] {
        assert!(policy::parse_str(&fits, "x").policy.is_some());
        let loaded = policy::parse_str(&exceeds, "x");
        let codes: Vec<&str> = loaded.diagnostics.iter().map(|one| one.code.as_str()).collect();
        assert_eq!(codes, ["E-QUOTA"]);
    }
}

#[test]
fn a_protocol_is_the_same_by_name_and_by_number() {
    for (name, number) in [
        ("tcp", 6),
        ("udp", 17),
        ("icmp", 1),
        ("icmpv6", 58),
        ("gre", 47),
        ("sctp", 132),
        ("esp", 50),
        ("ah", 51),
    ] {
        let one =
            |text: &str| rules(&format!("      - {{direction: ingress, protocol: {text}}}\n")).remove(0);
        assert_eq!(one(name), one(&number.to_string()), "{name}");
    }
    let found = rules(
        "      - {direction: ingress, protocol: 132, ports: 7}\n      - {direction: ingress, protocol: 0}\n      - {direction: ingress, protocol: 255}\n",
    );
    assert_eq!(found[0].matches, ports(132, 7, 7));
    assert_eq!((&found[1].matches, &found[2].matches), (&Match::Protocol(0), &Match::Protocol(255)));
}

#[test]
fn ports_reach_from_0_to_65535() {
    let found = rules(
        "      - {direction: ingress, protocol: tcp, ports: 0}\n      - {direction: ingress, protocol: tcp, ports: 0-65535}\n      - {direction: ingress, protocol: tcp, ports: [65535]}\n",
    );
    let of = |at: usize| &found[at].matches;
    assert_eq!([of(0), of(1), of(2)], [&ports(6, 0, 0), &ports(6, 0, 65_535), &ports(6, 65_535, 65_535)]);
}

#[test]
fn an_ethertype_narrows_what_the_remote_leaves_open() {
    let found = rules(
        "      - {direction: ingress, ethertype: ipv6}\n      - {direction: ingress, service: ping, ethertype: ipv4}\n      - {direction: ingress, ethertype: ipv4, remote: 'group:web'}\n",
    );
    let families: Vec<[bool; 2]> = found.iter().map(|rule| rule.families).collect();
    assert_eq!(families, [[false, true], [true, false], [true, false]]);
}

#[test]
fn a_deny_before_it_shuts_what_a_rule_opens() {
    let text = |deny: &str| {
        format!(
            "version: 1\nsecurity_groups:\n  web:\n    template: web-server\n    rules:\n      - {{direction: ingress, action: deny, {deny}}}\n"
        )
    };
    assert_eq!(codes(&text("service: telnet")), ["W-OPEN-ADMIN", "W-OPEN-ADMIN"], "SSH and RDP");
    assert_eq!(codes(&text("protocol: tcp, ports: [22, 3389]")), [""; 0]);
}

#[test]
fn mail_that_another_group_opens_is_no_mistake() {
    let text = |more: &str| {
        format!(
            "version: 1\nsecurity_groups:\n  rule: {{rules: [{{direction: egress, service: smtp}}]}}\n  switch: {{allow_smtp: true{more}}}\ninterfaces: [{{name: a, groups: [rule, switch]}}]\n"
        )
    };
    assert_eq!(codes(&text("")), [""; 0]);
    assert_eq!(codes(&text(", audit: true")), ["W-SMTP"], "an audit group opens nothing");
}
