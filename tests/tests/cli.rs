//! Commands as scripts see them: exit status, and what is said where.

use serde_json::{Value, json};
use sg_tests::{agent::Agent, netns::Netns};

const POLICY: &str = "version: 1
security_groups:
  web: {rules: [{description: HTTP, direction: ingress, protocol: tcp, ports: 80}]}
interfaces:
  - {name: tap0, role: guest, groups: [web], addresses: [10.0.0.5]}
";

/// One more interface.
const LATER: &str = "  - {name: tap1, role: guest, groups: [web], addresses: [10.0.0.6]}\n";

/// A host with a device `tap0`.
fn host() -> Netns {
    Netns::with_devices(&["tap0"])
}

#[test]
fn every_fault_is_reported_at_once_with_its_place() {
    let host = host();
    let agent = Agent::new(&host);
    agent.apply(POLICY);
    let before = agent.status().generation;
    let faulty = "version: 1
security_groups:
  web:
    rules:
      - {direction: ingress, protocol: tcp, ports: 99999}
      - {direction: ingress, protocol: tpc}
      - {direction: ingress, remote: 10.0.0.0/33}
      - {direction: ingress, remote: 'group:wbe'}
      - {direction: ingress, colour: red}
interfaces: [{name: tap0, role: guest, groups: [web], addresses: [10.0.0.5]}]
";
    let run = agent.try_apply(faulty);
    assert_eq!(run.status, 1);
    for (line, value) in [(5, "99999"), (6, "tpc"), (7, "10.0.0.0/33"), (8, "wbe"), (9, "colour")] {
        assert!(run.stderr.contains(&format!("policy.yaml:{line}:")), "line {line} in {}", run.stderr);
        assert!(run.stderr.contains(value), "{value} in {}", run.stderr);
    }
    assert_eq!(agent.status().generation, before);
    let path = agent.write("policy.yaml", faulty);
    for how in [&["apply", "--json"][..], &["apply", "--dry-run", "--json"]] {
        let run = agent.run(&[how, &[&*path.to_string_lossy()]].concat());
        assert_eq!(run.status, 1);
        let report: Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!((&report["ok"], &report["diagnostics"][0]["line"]), (&json!(false), &json!(5)), "{how:?}");
    }
}

#[test]
fn a_missing_interface_is_a_fault_with_its_place() {
    let host = host();
    let agent = Agent::new(&host);
    agent.apply(POLICY);
    let both = format!("{POLICY}{LATER}");
    let run = agent.try_apply(&both);
    assert_eq!(run.status, 1, "{}", run.stderr);
    for said in ["policy.yaml:6:", "`tap1`", "`tap0`"] {
        assert!(run.stderr.contains(said), "{said} in {}", run.stderr);
    }
    assert_eq!(enforced(&agent), ["tap0"]);
    assert_eq!(agent.status().generation, 1);

    let path = agent.write("policy.yaml", &both);
    let apply = || agent.run(&["apply", "--allow-missing", &path.to_string_lossy()]);
    assert_eq!(apply().status, 0);
    assert_eq!(enforced(&agent), ["tap0"]);
    host.ip("link add tap1 type veth peer name tap1x");
    assert_eq!(apply().status, 0);
    assert_eq!(enforced(&agent), ["tap0", "tap1"]);
}

/// The interfaces whose hooks are all there.
fn enforced(agent: &Agent) -> Vec<String> {
    let status = agent.status();
    status
        .interfaces
        .into_iter()
        .filter(|interface| interface.enforced)
        .map(|interface| interface.name)
        .collect()
}

#[test]
fn wrong_usage_is_status_2() {
    let host = host();
    let agent = Agent::new(&host);
    for arguments in [&["frobnicate"][..], &["apply"], &["explain", "--port", "ninety"]] {
        assert_eq!(agent.run(arguments).status, 2, "{arguments:?}");
    }
}

#[test]
fn reading_what_is_not_loaded_is_status_3() {
    let host = host();
    let agent = Agent::new(&host);
    for arguments in
        [&["status"][..], &["stats"], &["rules"], &["conntrack", "list"], &["conntrack", "count"]]
    {
        let run = agent.run(arguments);
        assert_eq!(run.status, 3, "{arguments:?}: {}{}", run.stdout, run.stderr);
        assert_eq!(run.stderr.trim().lines().count(), 1, "one sentence: {}", run.stderr);
    }
}

#[test]
fn a_log_that_nobody_writes_is_not_waited_for() {
    let host = host();
    let agent = Agent::new(&host);
    agent.apply(POLICY);
    let run = agent.run(&["kernel-log"]);
    assert_eq!(run.status, 3);
    assert!(run.stderr.contains("without SG_KERNEL_LOG=debug"), "{}", run.stderr);
}

#[test]
fn filtering_outlives_the_command_and_ends_with_unload() {
    let host = host();
    let agent = Agent::new(&host);
    agent.apply(POLICY);
    let status = agent.status();
    assert!(status.interfaces.iter().all(|interface| interface.enforced));
    let pins = sg_tests::progrun::pins(&host);
    assert!(pins.exists());
    assert_eq!(agent.run(&["unload"]).status, 0);
    assert!(!pins.exists());
    assert_eq!(agent.run(&["status"]).status, 3);
}

#[test]
fn rules_and_explain_name_the_rule() {
    let host = host();
    let agent = Agent::new(&host);
    agent.apply(POLICY);
    let rules = agent.rules();
    assert_eq!(rules.len(), 1);
    assert_eq!((rules[0].group.as_str(), rules[0].index, rules[0].packets), ("web", 0, 0));
    let base = "--interface tap0 --direction ingress --protocol tcp --remote 192.0.2.1";
    let allowed = agent.explain(&format!("{base} --port 80"));
    assert_eq!((allowed.verdict.as_str(), allowed.stage.as_str()), ("allow", "rule"));
    assert_eq!((allowed.group.as_deref(), allowed.rule), (Some("web"), Some(0)));
    let denied = agent.explain(&format!("{base} --port 81"));
    assert_eq!((denied.verdict.as_str(), denied.stage.as_str()), ("deny", "default"));
    for wrong in ["--protocol udp", "--protocol gre --port 80", "--protocol icmpv6"] {
        let line = format!("explain --interface tap0 --direction ingress --remote 192.0.2.1 {wrong}");
        let run = agent.run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(run.status, 2, "{wrong}: {}", run.stderr);
    }
    // Asking leaves no trace.
    assert_eq!(agent.status().conntrack.entries, 0);
    assert_eq!(agent.rules()[0].packets, 0);
}
