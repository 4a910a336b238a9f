//! Faults that operators make: each is refused, with the line, the bad value and what is allowed.
//!
//! Files that cannot be read are in `files.rs`; the exact words are in `diagnostics/`.

use sg_agent::policy::{self, Diagnostic};

/// One fault: what it is, the file, the code, the line, and a word that message or advice must have.
type Case = (&'static str, &'static str, &'static str, u32, &'static str);

/// Y01, Y02, Y03, Y04, Y05, Y06, Y27, Y30, Y34
const DOCUMENT: &[Case] = &[
    ("empty file", "", "E-EMPTY", 1, "version: 1"),
    ("only comments", "# a\n\n# b\n", "E-EMPTY", 1, "version: 1"),
    ("only a document start", "---\n", "E-EMPTY", 1, "version: 1"),
    ("tab indentation", "version: 1\nsettings:\n\tquotas: {}\n", "E-YAML", 3, "tab"),
    ("unclosed quote", "version: 1\nsettings: {default_group: \"a}\n", "E-YAML", 2, "quote"),
    ("unclosed bracket", "version: 1\ninterfaces: [{name: tap0}\n", "E-YAML", 3, "bracket"),
    ("duplicate key", "version: 1\nsettings: {}\nsettings: {}\n", "E-KEY-DUPLICATE", 3, "line 2"),
    ("top level is a list", "- version: 1\n", "E-KIND", 1, "mapping"),
    ("top level is one value", "version\n", "E-KIND", 1, "mapping"),
    ("no version", "settings: {}\n", "E-KEY-MISSING", 1, "version: 1"),
    ("merge key", "version: 1\nsettings:\n  <<: {}\n", "E-KEY-UNKNOWN", 3, "merge"),
    ("second document", "version: 1\r\n---\r\nversion: 1\r\n", "E-DOCUMENTS", 2, "one document"),
    ("trailing document start", "version: 1\n---\n", "E-DOCUMENTS", 2, "one document"),
    ("unknown alias", "version: 1\nsettings: *nobody\n", "E-YAML", 2, "anchor"),
    ("alias in itself", "version: 1\nsettings: &a {quotas: *a}\n", "E-ALIAS", 2, "own value"),
    ("cut off after a key", "version: 1\nsecurity_groups:\n  web:\n    rules:\n", "E-KIND", 4, "nothing"),
    ("NUL", "version: 1\n# \0\n", "E-CONTROL", 2, "U+0000"),
];

/// Y08, Y09, Y10, Y25, Y26
const NAMES: &[Case] = &[
    ("interface without name", "version: 1\ninterfaces:\n  - role: guest\n", "E-KEY-MISSING", 3, "name"),
    (
        "two groups of one name",
        "version: 1\nsecurity_groups:\n  a: {}\n  a: {}\n",
        "E-KEY-DUPLICATE",
        4,
        "line 3",
    ),
    ("empty name", "version: 1\nsecurity_groups:\n  '': {}\n", "E-NAME", 3, "empty"),
    ("name that is a path", "version: 1\nsecurity_groups:\n  '..': {}\n", "E-NAME", 3, "leading `.`"),
    ("name with a slash", "version: 1\nsecurity_groups:\n  a/../b: {}\n", "E-NAME", 3, "`/`"),
    (
        "name that turns the writing",
        "version: 1\nsecurity_groups:\n  \"a\\u202eb\": {}\n",
        "E-NAME",
        3,
        "control",
    ),
    ("name: no", "version: 1\ninterfaces:\n  - name: no\n", "E-TEXT", 3, "quotes"),
    ("name: on", "version: 1\nsecurity_groups:\n  on: {}\n", "E-TEXT", 3, "\"on\""),
    ("name: 1_000", "version: 1\nsecurity_groups:\n  1_000: {}\n", "E-TEXT", 3, "number"),
    (
        "interface bound twice",
        "version: 1\ninterfaces:\n  - name: a\n  - name: a\n",
        "E-NAME-DUPLICATE",
        4,
        "line 3",
    ),
    (
        "interface name too long",
        "version: 1\ninterfaces:\n  - name: abcdefghijklmnop\n",
        "E-INTERFACE-NAME",
        3,
        "15",
    ),
];

/// Y32, Y33
const SETTINGS: &[Case] = &[
    ("timeout 0", "version: 1\nsettings: {timeouts: {icmp: 0s}}\n", "E-DURATION", 2, "1s"),
    ("negative timeout", "version: 1\nsettings: {timeouts: {icmp: -1s}}\n", "E-DURATION", 2, "-1s"),
    ("timeout with a blank", "version: 1\nsettings: {timeouts: {icmp: 10 m}}\n", "E-DURATION", 2, "`10m`"),
    ("timeout without unit", "version: 1\nsettings: {timeouts: {icmp: 30}}\n", "E-DURATION", 2, "`30s`"),
    (
        "endless timeout",
        "version: 1\nsettings: {timeouts: {icmp: 99999999999999999999s}}\n",
        "E-DURATION",
        2,
        "365d",
    ),
    ("table of 0", "version: 1\nsettings: {conntrack: {max_entries: 0}}\n", "E-RANGE", 2, "1024"),
    (
        "table of 2^33",
        "version: 1\nsettings: {conntrack: {max_entries: 8589934592}}\n",
        "E-RANGE",
        2,
        "16777216",
    ),
    ("pickup", "version: 1\nsettings: {conntrack: {tcp_pickup: losse}}\n", "E-CHOICE", 2, "`loose`"),
    ("limit", "version: 1\nsettings: {limits: {interfaces: 65536}}\n", "E-RANGE", 2, "65535"),
];

/// Y11, Y19, Y21, Y25, Y31
const INTERFACES: &[Case] = &[
    (
        "MAC of six words",
        "version: 1\ninterfaces:\n  - {name: a, mac: 52:54:00:12:34}\n",
        "E-MAC",
        3,
        "six bytes",
    ),
    (
        "multicast MAC",
        "version: 1\ninterfaces:\n  - {name: a, mac: '01:00:5e:00:00:01'}\n",
        "E-MAC",
        3,
        "multicast",
    ),
    (
        "broadcast MAC",
        "version: 1\ninterfaces:\n  - {name: a, mac: 'ff:ff:ff:ff:ff:ff'}\n",
        "E-MAC",
        3,
        "broadcast",
    ),
    (
        "VIP with a multicast MAC",
        "version: 1\ninterfaces:\n  - {name: a, allowed_address_pairs: [{address: 10.0.0.1, mac: '01:00:5e:00:00:01'}]}\n",
        "E-MAC",
        3,
        "multicast",
    ),
    (
        "anti_spoof of nothing",
        "version: 1\ninterfaces:\n  - {name: a, anti_spoof: true}\n",
        "E-ANTI-SPOOF",
        3,
        "addresses",
    ),
    ("unknown group", "version: 1\ninterfaces:\n  - {name: a, groups: [web]}\n", "E-GROUP-UNKNOWN", 3, "web"),
    ("role", "version: 1\ninterfaces:\n  - {name: a, role: gest}\n", "E-CHOICE", 3, "`guest`"),
    ("hook", "version: 1\ninterfaces:\n  - {name: a, rx_hook: xdp}\n", "E-CHOICE", 3, "`xdp-native`"),
    (
        "exempt with host bits",
        "version: 1\ninterfaces:\n  - {name: a, exempt: [10.0.0.1/8]}\n",
        "E-HOST-BITS",
        3,
        "10.0.0.0/8",
    ),
];

/// Rules; the file around them puts them on line 5. Y07, Y11, Y12, Y13, Y14, Y15, Y16, Y17, Y18, Y19, Y20, Y21, Y22, Y23,
/// Y24, Y26
const RULES: &[(&str, &str, &str, &str)] = &[
    ("unknown key", "direction: ingress, prots: tcp", "E-KEY-UNKNOWN", "`protocol`"),
    ("direction", "direction: inbound2", "E-CHOICE", "`ingress`"),
    ("action", "direction: ingress, action: permit", "E-CHOICE", "`allow`"),
    ("protocol tpc", "direction: ingress, protocol: tpc", "E-PROTOCOL", "`tcp`"),
    ("protocol 256", "direction: ingress, protocol: 256", "E-PROTOCOL", "255"),
    ("protocol -1", "direction: ingress, protocol: -1", "E-PROTOCOL", "`all`"),
    ("protocol 06", "direction: ingress, protocol: '06'", "E-PROTOCOL", "leading zero"),
    ("port 65536", "direction: ingress, protocol: tcp, ports: 65536", "E-PORT", "65535"),
    ("port -1", "direction: ingress, protocol: tcp, ports: -1", "E-PORT", "`-1`"),
    ("port 80a", "direction: ingress, protocol: tcp, ports: 80a", "E-PORT", "`80a`"),
    ("port 80.5", "direction: ingress, protocol: tcp, ports: 80.5", "E-PORT", "`80.5`"),
    ("port 012", "direction: ingress, protocol: tcp, ports: 012", "E-PORT", "octal"),
    ("port 1_000", "direction: ingress, protocol: tcp, ports: 1_000", "E-PORT", "`_`"),
    ("port 22:22", "direction: ingress, protocol: tcp, ports: 22:22", "E-PORT", "base 60"),
    ("range reversed", "direction: ingress, protocol: tcp, ports: 90-80", "E-PORT-REVERSED", "`80-90`"),
    ("ports of all", "direction: ingress, protocol: all, ports: 1", "E-PORT-PROTOCOL", "`udp`"),
    ("ports of icmp", "direction: ingress, protocol: icmp, ports: 1", "E-PORT-PROTOCOL", "`icmp`"),
    ("ports of gre", "direction: ingress, protocol: gre, ports: 1", "E-PORT-PROTOCOL", "`gre`"),
    ("code without type", "direction: ingress, protocol: icmp, icmp: {code: 0}", "E-ICMP", "type"),
    ("type 256", "direction: ingress, protocol: icmp, icmp: {type: 256}", "E-RANGE", "255"),
    ("CIDR 10.0.0.0/33", "direction: ingress, remote: 10.0.0.0/33", "E-PREFIX", "0 to 32"),
    ("CIDR 10.0.0/8", "direction: ingress, remote: 10.0.0/8", "E-PREFIX", "`10.0.0.0/8`"),
    ("CIDR 10.0.0.256/32", "direction: ingress, remote: 10.0.0.256/32", "E-PREFIX", "10.0.0.256"),
    ("CIDR ::/129", "direction: ingress, remote: '::/129'", "E-PREFIX", "0 to 128"),
    ("host bits", "direction: ingress, remote: 10.0.0.1/8", "E-HOST-BITS", "`10.0.0.0/8`"),
    ("v6 in ipv4", "direction: ingress, ethertype: ipv4, remote: 'fd00::/8'", "E-FAMILY", "IPv6"),
    ("v4 in ipv6", "direction: ingress, ethertype: ipv6, remote: 10.0.0.0/8", "E-FAMILY", "IPv4"),
    ("unknown group", "direction: ingress, remote: 'group:wbe'", "E-GROUP-UNKNOWN", "`web`"),
    ("group in a cycle that is not there", "direction: ingress, remote: 'group:a'", "E-GROUP-UNKNOWN", "`a`"),
    (
        "unknown address group",
        "direction: ingress, remote: 'address-group:x'",
        "E-ADDRESS-GROUP-UNKNOWN",
        "`x`",
    ),
    (
        "two remotes",
        "direction: ingress, remote: 10.0.0.0/8, remote_group: web",
        "E-KEY-UNKNOWN",
        "`remote_group`",
    ),
    ("priority 0", "direction: ingress, priority: 0", "E-RANGE", "1 to 100"),
    ("priority -1", "direction: ingress, priority: -1", "E-RANGE", "1 to 100"),
    ("priority 101", "direction: ingress, priority: 101", "E-RANGE", "1 to 100"),
    ("priority high", "direction: ingress, priority: high", "E-NUMBER", "1 to 100"),
    ("priority 1e3", "direction: ingress, priority: 1e3", "E-NUMBER", "exponent"),
    ("no direction", "protocol: tcp", "E-KEY-MISSING", "direction"),
    (
        "ping over the wrong family",
        "direction: ingress, protocol: icmpv6, ethertype: ipv4",
        "E-FAMILY",
        "`icmpv6`",
    ),
];

fn has(found: &[Diagnostic], code: &str, line: u32, word: &str) -> bool {
    found.iter().any(|one| {
        let said = format!("{} {}", one.message, one.advice().unwrap_or_default());
        one.code.as_str() == code && one.span.line == line && one.span.column > 0 && said.contains(word)
    })
}

#[test]
fn each_fault_is_named() {
    let mut wrong = Vec::new();
    for (what, text, code, line, word) in [DOCUMENT, NAMES, SETTINGS, INTERFACES].concat() {
        let loaded = policy::parse_str(text, "rules.yaml");
        if loaded.policy.is_some() || !has(&loaded.diagnostics, code, line, word) {
            wrong.push(format!("{what}: {:#?}", loaded.diagnostics));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn with_rule(rule: &str) -> String {
    format!("version: 1\nsecurity_groups:\n  web:\n    rules:\n      - {{{rule}}}\n")
}

#[test]
fn each_fault_of_a_rule_is_named() {
    for (what, rule, code, word) in RULES {
        let loaded = policy::parse_str(&with_rule(rule), "rules.yaml");
        assert!(loaded.policy.is_none(), "{what} is accepted");
        assert!(has(&loaded.diagnostics, code, 5, word), "{what}: {:#?}", loaded.diagnostics);
    }
}

#[test]
fn all_faults_come_at_once() {
    let rules: String = RULES.iter().map(|(_, rule, ..)| format!("      - {{{rule}}}\n")).collect();
    let loaded =
        policy::parse_str(&format!("version: 1\nsecurity_groups:\n  web:\n    rules:\n{rules}"), "x");
    for (line, (what, _, code, word)) in (5..).zip(RULES) {
        assert!(has(&loaded.diagnostics, code, line, word), "{what} on line {line}");
    }
    assert!(loaded.diagnostics.is_sorted_by_key(|one| one.span.line), "they come in the order of the file");
}

/// Y34
#[test]
fn every_cut_of_the_example_is_refused_or_warned_about() {
    let example = include_str!("../../rules.example.yaml");
    for end in (0..example.len()).filter(|end| example.is_char_boundary(*end)) {
        let loaded = policy::parse_str(&example[..end], "rules.yaml");
        let whole_line = example[..end].ends_with('\n');
        assert!(
            whole_line || !loaded.is_ok(true),
            "cut at byte {end}: {:?}",
            &example[end.saturating_sub(40)..end]
        );
    }
}
