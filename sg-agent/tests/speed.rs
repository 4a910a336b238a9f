//! Large files are checked in time that grows with their size, not with its square, and in bounded memory.
//!
//! Time is the thread's own on the processor, so that a busy machine does not count. The bounds are for mistakes of order:
//! some four times the 2 s that 100,000 rules with 100,000 networks may take. A build that is not optimised checks a
//! quarter of them in ten times that.

use std::{fmt::Write as _, fs, path::Path};

use sg_agent::policy::{self, Loaded, render};

/// Seconds of processor time that this thread has used.
fn used() -> f64 {
    let stat = fs::read_to_string("/proc/thread-self/stat").expect("/proc");
    let (_, fields) = stat.rsplit_once(") ").expect("a name in brackets");
    let ticks: Vec<f64> = fields.split(' ').skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    // USER_HZ is 100 on every architecture that we know.
    ticks.iter().sum::<f64>() / 100.0
}

/// Peak memory of this process in MiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

/// Does `work` and says how many seconds it took.
fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = used();
    let result = work();
    (result, used() - start)
}

/// Rules.
const MANY: usize = if cfg!(debug_assertions) { 24_000 } else { 96_000 };

/// Seconds that may take here what an optimised build does in `optimised`, with all the rules.
fn bound(optimised: f64) -> f64 {
    optimised * if cfg!(debug_assertions) { 2.5 } else { 1.0 }
}

fn network(number: usize) -> String {
    format!("{}.{}.{}.0/24", 10 + (number >> 16), (number >> 8) & 255, number & 255)
}

/// A policy with `count` rules in groups of 100 and as many networks: every second rule names one itself, the others name
/// address groups from files.
fn write(folder: &Path, count: usize) {
    let mut text = "version: 1\nsettings: {quotas: {groups: 5000, rules_per_group: 100}}\n".to_owned();
    let lists: String = (0..10).map(|list| format!("  list{list}: {{file: list{list}.netset}}\n")).collect();
    let _ = write!(text, "address_groups:\n{lists}security_groups:\n");
    for list in 0..10 {
        let lines: String = (list..count / 2).step_by(10).map(|number| network(number) + "\n").collect();
        fs::write(folder.join(format!("list{list}.netset")), lines).expect("a temporary folder");
    }
    for number in 0..count {
        if number % 100 == 0 {
            let _ = write!(text, "  g{}:\n    rules:\n", number / 100);
        }
        let remote = match number % 2 {
            0 => network(count / 2 + number / 2),
            _ => format!("\"address-group:list{}\"", number % 10),
        };
        let _ = writeln!(
            text,
            "      - {{description: rule {number}, direction: ingress, protocol: tcp, ports: {}-{}, remote: {remote}}}",
            10_000 + number % 20_000,
            10_000 + number % 20_000 + number % 7,
        );
    }
    fs::write(folder.join("policy.yaml"), text).expect("a temporary folder");
}

fn checked(count: usize) -> (Loaded, f64) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write(folder.path(), count);
    timed(|| policy::load(&folder.path().join("policy.yaml")))
}

#[test]
fn many_rules_and_networks_are_checked_in_seconds() {
    let (small, seconds_small) = checked(MANY / 8);
    assert!(small.policy.is_some(), "{:#?}", small.diagnostics.first());
    drop(small);
    let (large, seconds) = checked(MANY);
    let policy = large.policy.as_ref().expect("it is accepted");
    assert_eq!(policy.groups.values().map(|group| group.rules.len()).sum::<usize>(), MANY);
    assert_eq!(policy.address_groups.values().map(|group| group.prefixes.len()).sum::<usize>(), MANY / 2);
    assert!(seconds < bound(8.0), "{seconds} s");
    grows_with_size(seconds_small, seconds);
    assert!(peak() < 1024, "{} MiB", peak());
}

/// All in one group, which is the worst for what compares rules with each other: once none decides before another, once
/// one before all.
#[test]
fn a_group_of_many_rules_is_checked_in_seconds() {
    let head =
        "version: 1\nsettings: {quotas: {rules_per_group: 100000}}\nsecurity_groups:\n  web:\n    rules:\n";
    for first in ["", "      - {direction: ingress, action: deny}\n"] {
        let checked = |count: usize| {
            let rule = |port: usize| {
                format!("      - {{direction: ingress, protocol: udp, ports: {}}}\n", port % 65_536)
            };
            let rules: String = (0..count).map(rule).collect();
            timed(|| policy::parse_str(&format!("{head}{first}{rules}"), "policy.yaml"))
        };
        let ((_, seconds_small), (large, seconds)) = (checked(MANY / 8), checked(MANY));
        assert!(large.policy.is_some());
        assert!(seconds < bound(8.0), "{seconds} s");
        grows_with_size(seconds_small, seconds);
    }
}

/// Eight times as much takes eight times as long, not 64 times; with something for the clock's ticks.
fn grows_with_size(seconds_small: f64, seconds: f64) {
    assert!(seconds < 20.0 * (seconds_small + 0.02), "{seconds_small} s for an eighth, {seconds} s for all");
}

#[test]
fn many_faults_are_told_quickly_and_not_all() {
    let rules = "      - {direction: inbound, protocol: tpc, remote: \"group:wbe\"}\n".repeat(MANY / 3);
    let text = format!("version: 1\nsecurity_groups:\n  web:\n    rules:\n{rules}");
    let (loaded, seconds) = timed(|| policy::parse_str(&text, "policy.yaml"));
    assert_eq!(loaded.diagnostics.len(), 10_001);
    let last = loaded.diagnostics.last().expect("findings");
    // One is that the group has more rules than the quota.
    assert_eq!(
        (last.code.as_str(), &last.message),
        ("E-MORE", &format!("and {} more faults", MANY + 1 - 10_000))
    );
    assert!(seconds < bound(4.0), "{seconds} s");
    let (shown, seconds) = timed(|| render::human(&loaded.diagnostics, &loaded.sources, false));
    assert!(shown.len() < 8 << 20, "{} bytes", shown.len());
    assert!(seconds < bound(1.0), "{seconds} s to show them");
}
