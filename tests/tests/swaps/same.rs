//! What is in force already.

use std::{collections::BTreeMap, fs, path::Path, time::SystemTime};

use sg_tests::{
    agent::Agent,
    held::{Held, policy},
    netns::Netns,
    tables::Tables,
};

const POLICY: &str = "version: 1
settings: {conntrack: {max_entries: 4096, max_per_interface: 1024}, limits: {policy_bytes: 1048576, interfaces: 64}}
security_groups:
  web:
    members: [192.0.2.1, 192.0.2.2]
    rules:
      - {direction: ingress, protocol: tcp, ports: 80}
      - {direction: ingress, protocol: udp, remote: 'group:web'}
interfaces:
  - {name: tap0, role: guest, groups: [web], addresses: [10.0.0.1]}
";

/// Every file below `directory`, and when it was written.
fn files(directory: &Path) -> BTreeMap<String, SystemTime> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).expect("the state directory").flatten() {
        let written = entry.metadata().and_then(|data| data.modified()).expect("when it was written");
        match entry.path().is_dir() {
            true => found.extend(files(&entry.path())),
            false => drop(found.insert(entry.path().display().to_string(), written)),
        }
    }
    found
}

/// R14: the same file, applied again by a new process and by one that stays: no word of a table of the policy changes, in
/// neither half, and no file is written.
#[test]
fn the_same_file_again_writes_nothing() {
    let host = Netns::with_devices(&["tap0"]);
    let agent = Agent::new(&host);
    agent.apply(POLICY);
    let (tables, before) = (Tables::of(&host), files(&agent.state_dir()));
    for _ in 0..3 {
        agent.apply(POLICY);
    }
    // The same rules in other words.
    agent.apply(&POLICY.replace("ports: 80", "ports: [80]"));
    assert_eq!(Tables::of(&host).written_since(&tables), BTreeMap::new());
    assert_eq!(files(&agent.state_dir()), before);
}

/// R14: the same of a writer that stays.
#[test]
fn a_writer_that_stays_writes_nothing_twice() {
    let host = Netns::with_devices(&["tap0"]);
    let mut held = Held::new(&host, &policy(POLICY));
    let tables = Tables::of(&host);
    for _ in 0..3 {
        let outcome = held.apply(&policy(POLICY));
        assert!(!outcome.is_changed && outcome.in_force_after.is_zero() && outcome.hooks_changed == 0);
    }
    assert_eq!(Tables::of(&host).written_since(&tables), BTreeMap::new());
    // The look is not blind.
    let changed = held.apply(&policy(&POLICY.replace("ports: 80", "ports: 81")));
    assert!(changed.is_changed && !changed.in_force_after.is_zero());
    let written = Tables::of(&host).written_since(&tables);
    assert_eq!(written.keys().copied().collect::<Vec<_>>(), ["CONTROL", "DIRECTORY", "HEAP", "SETTINGS"]);
}
