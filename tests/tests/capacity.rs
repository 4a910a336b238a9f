//! What does not fit is refused before the kernel is touched; what the kernel refuses half-way is taken back.

use std::{
    collections::BTreeMap,
    fs,
    os::fd::{AsFd as _, AsRawFd as _},
};

use aya::maps::MapData;
use sg_common::{
    addr::Addr,
    members::{Member, MemberKey, Membership},
};
use sg_tests::{
    agent::{Agent, Capacity},
    netns::Netns,
    progrun::pins,
    tables::{Tables, member_table},
};

/// How much of everything.
#[derive(Clone, Copy, Default)]
struct Much {
    rules: u32,
    members: u32,
    prefixes: u32,
    groups: u32,
}

/// A policy with so much in it, for tables of the given limits.
fn policy(limits: &str, much: Much) -> String {
    let list = |count: u32, one: &dyn Fn(u32) -> String| (0..count).map(one).collect::<String>();
    let address = |at: u32| format!("10.{}.{}.{}", at >> 16, at >> 8 & 255, at & 255);
    let prefixes = list(much.prefixes, &|at| format!("{}/30, ", address(at * 8)));
    let members = list(much.members, &|at| format!("{}, ", address(at)));
    let rules = list(much.rules, &|at| {
        format!("      - {{direction: egress, protocol: udp, ports: {}}}\n", 1_000 + 2 * at)
    });
    let groups = list(much.groups, &|at| format!("  g{at}: {{rules: []}}\n"));
    format!(
        "version: 1
settings:
  conntrack: {{max_entries: 1024, max_per_interface: 64}}
  limits: {{{limits}}}
  quotas: {{rules_per_group: 150}}
address_groups: {{list: {{addresses: [{prefixes}192.0.2.0/24]}}}}
security_groups:
  web:
    members: [{members}192.0.2.1]
    rules:
      - {{direction: ingress, protocol: tcp, ports: 81, remote: 'address-group:list'}}
      - {{direction: ingress, protocol: tcp, ports: 82, remote: 'group:web'}}
{rules}{groups}interfaces:
  - {{name: 'tap?', role: guest, groups: [web]}}
"
    )
}

const LIMITS: &str = "policy_bytes: 1048576, interfaces: 2, rule_counters: 256, members: 64, fragments: 1024";

fn count(rules: u32, members: u32, prefixes: u32, groups: u32) -> Much {
    Much { rules, members, prefixes, groups }
}

/// E07: each table at its capacity and one more. The refusal names the limit and the setting that raises it; not a byte
/// of a table differs afterwards, and the policy before is in force.
#[test]
fn what_does_not_fit_is_refused_before_the_kernel_is_touched() {
    let host = Netns::with_devices(&["tap0"]);
    let agent = Agent::new(&host);
    // Ingress needs three counters in a row, egress one more than there are rules.
    agent.apply(&policy(LIMITS, count(1, 10, 10, 0)));
    let generation = agent.status().generation;
    let tables = Tables::of(&host);
    let refused = |much: Much, words: &[&str]| {
        let run = agent.try_apply(&policy(LIMITS, much));
        assert_ne!(run.status, 0, "{words:?}: {}", run.stdout);
        assert!(words.iter().all(|word| run.stderr.contains(word)), "{words:?}: {}", run.stderr);
        assert_eq!(Tables::of(&host).written_since(&tables), BTreeMap::new(), "{words:?}");
        assert_eq!(agent.status().generation, generation);
    };
    refused(count(1, 64, 10, 0), &["65 group members", "settings.limits.members (now 64)"]);
    refused(count(149, 10, 10, 0), &["rule", "150"]);
    refused(count(1, 10, 60_000, 0), &["524288 bytes", "settings.limits.policy_bytes (1048576)"]);
    refused(count(1, 10, 10, 100), &["settings.quotas.groups"]);
    host.add_device("tap1");
    host.add_device("tap2");
    refused(count(1, 10, 10, 0), &["tap2", "settings.limits.interfaces (now 2)"]);
    host.ip("link del tap2");
    refused(
        count(130, 10, 10, 0),
        &["131 rule counters", "interface tap1", "settings.limits.rule_counters (now 256)"],
    );
    // What just fits.
    agent.apply(&policy(LIMITS, count(1, 63, 10, 0)));
    assert_eq!(used(&agent, "interfaces"), 2);
    assert_eq!(used(&agent, "members"), 64);
}

fn capacity(agent: &Agent, table: &str) -> Capacity {
    let all = agent.status().capacity;
    all.into_iter().find(|one| one.table == table).unwrap_or_else(|| panic!("no table {table}"))
}

fn used(agent: &Agent, table: &str) -> u64 {
    capacity(agent, table).used
}

/// `status` tells how full every table is, and by which setting it grows.
#[test]
fn status_shows_the_fill_of_every_table() {
    let host = Netns::with_devices(&["tap0"]);
    let agent = Agent::new(&host);
    agent.apply(&policy(LIMITS, count(1, 9, 10, 0)));
    let all: Vec<(String, u64, String)> =
        agent.status().capacity.into_iter().map(|one| (one.table, one.max, one.setting)).collect();
    let row = |table: &str, max: u64, setting: &str| (table.to_owned(), max, format!("settings.{setting}"));
    assert_eq!(
        all,
        [
            row("interfaces", 2, "limits.interfaces"),
            row("policy_bytes", 524_288 - 64, "limits.policy_bytes"),
            row("rule_counters", 256, "limits.rule_counters"),
            row("members", 64, "limits.members"),
            row("connections", 1_024, "conntrack.max_entries"),
            row("fragments", 1_024, "limits.fragments"),
        ]
    );
    let fills = ["interfaces", "rule_counters", "members", "connections"].map(|table| used(&agent, table));
    assert_eq!(fills, [1, 3 + 2, 10, 0]);
    let lines = used(&agent, "policy_bytes");
    agent.apply(&policy(LIMITS, count(1, 9, 40, 0)));
    assert!(used(&agent, "policy_bytes") > lines && lines.is_multiple_of(64));
    let shown = agent.run(&["status"]).stdout;
    assert!(shown.contains("TABLE") && shown.contains("settings.limits.rule_counters"), "{shown}");
}

/// E08: the kernel runs out of room in the middle of the preparation (others have filled the table of members): what was
/// written is taken back, the policy before stays, and the change succeeds once there is room.
#[test]
fn a_failure_half_way_leaves_the_policy_before() {
    let host = Netns::with_devices(&["tap0"]);
    let agent = Agent::new(&host);
    agent.apply(&policy(LIMITS, count(1, 10, 10, 0)));
    let generation = agent.status().generation;
    let mut members = member_table(&host);
    let foreign: Vec<MemberKey> =
        (0..40u8).map(|at| MemberKey { addr: Addr::v4([172, 31, 0, at]), zone: 77 }).collect();
    for key in &foreign {
        let member = Member { key: *key, membership: Membership { since: 0, now: 1, before: 1 } };
        members.insert(key, member, 0).expect("a foreign element");
    }
    let before = Tables::of(&host);
    // Eleven of them are there; thirteen more find room, the others do not.
    let run = agent.try_apply(&policy(LIMITS, count(2, 40, 20, 0)));
    assert_ne!(run.status, 0);
    assert!(run.stderr.contains("writing a group member"), "{}", run.stderr);
    let written = Tables::of(&host).written_since(&before);
    assert!(!written.contains_key("MEMBERS") && !written.contains_key("CONTROL"), "{written:?}");
    assert_eq!(agent.status().generation, generation);
    let verdict = |port: u16, remote: &str| {
        let question =
            format!("--interface tap0 --direction ingress --protocol tcp --remote {remote} --port {port}");
        agent.explain(&question).verdict
    };
    assert_eq!((verdict(82, "10.0.0.9"), verdict(82, "10.0.0.30")), ("allow".to_owned(), "deny".to_owned()));
    foreign.iter().for_each(|key| members.remove(key).expect("the foreign element"));
    agent.apply(&policy(LIMITS, count(2, 40, 20, 0)));
    assert_eq!((verdict(82, "10.0.0.9"), verdict(82, "10.0.0.30")), ("allow".to_owned(), "allow".to_owned()));
}

/// Bytes that the kernel charges for the tables of a host.
fn cost(host: &Netns) -> BTreeMap<String, u64> {
    let directory = fs::read_dir(pins(host)).expect("the pins");
    let names = directory.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let is_table = |name: &String| name.chars().all(|letter| !letter.is_ascii_lowercase());
    let charged = |name: String| {
        let map = MapData::from_pin(pins(host).join(&name)).ok()?;
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", map.fd().as_fd().as_raw_fd())).ok()?;
        let bytes = info.lines().find_map(|line| line.strip_prefix("memlock:"))?.trim().parse().ok()?;
        Some((name, bytes))
    };
    names.filter(is_table).filter_map(charged).collect()
}

/// Bytes that the kernel charges for all tables under these limits, with so many connections and members.
fn total(limits: &str, connections: u32, members: u32) -> f64 {
    let host = Netns::with_devices(&["tap0"]);
    let agent = Agent::new(&host);
    let text = policy(limits, count(1, members, 10, 0));
    agent.apply(&text.replace("max_entries: 1024", &format!("max_entries: {connections}")));
    cost(&host).values().sum::<u64>() as f64
}

/// The table of docs/policy.md, "Settings", by what the kernel charges: bytes for one more of each.
#[test]
fn limits_cost_what_the_manual_says() {
    let cpus = aya::util::nr_cpus().expect("the CPUs") as f64;
    let of = |interfaces: u32, policy: u32, counters: u32, members: u32, fragments: u32| {
        format!(
            "interfaces: {interfaces}, policy_bytes: {policy}, rule_counters: {counters}, members: {members}, \
             fragments: {fragments}"
        )
    };
    const MIB: u32 = 1 << 20;
    let base = total(&of(64, MIB, 1_024, 5_000, 1_024), 1_024, 9);
    let one = |limits: String, connections: u32, members: u32, more: u32| {
        (total(&limits, connections, members) - base) / f64::from(more)
    };
    let about = |what: &str, is: f64, says: f64| {
        println!("{what}: {is:.1} bytes each, the manual says {says:.0}");
        assert!(
            (is - says).abs() <= says * 0.1 + 1.0,
            "{what}: {is:.1} bytes each, the manual says {says:.0}"
        );
    };
    about("an interface", one(of(4_160, MIB, 1_024, 5_000, 1_024), 1_024, 9, 4_096), 360.0 + 576.0 * cpus);
    about("a byte of policy", one(of(64, 17 * MIB, 1_024, 5_000, 1_024), 1_024, 9, 16 * MIB), 1.0);
    about("a rule counter", one(of(64, MIB, 1_024 + 65_536, 5_000, 1_024), 1_024, 9, 65_536), 32.0 * cpus);
    about("a member", one(of(64, MIB, 1_024, 5_000, 1_024), 1_024, 4_009, 4_000), 110.0);
    about("a fragmented datagram", one(of(64, MIB, 1_024, 5_000, 1_024 + 65_536), 1_024, 9, 65_536), 135.0);
    about("a connection", one(of(64, MIB, 1_024, 5_000, 1_024), 1_024 + 65_536, 9, 65_536), 234.0);
}
