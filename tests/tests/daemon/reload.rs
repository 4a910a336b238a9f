//! The policy file changes: how it is noticed, and what comes of a bad one.

use std::fs;

use nix::sys::signal::Signal;
use sg_tests::{
    daemon::{Daemon, config, write_config},
    traffic::PATIENT,
};

use super::{Scene, live, policy};

/// E12: SIGHUP reads the file again; the service manager is told when it begins and when it is done.
#[test]
fn a_signal_reloads() {
    let scene = Scene::new("80");
    let mut daemon = Daemon::start(&scene.agent);
    write_config(&scene.agent, &policy("81"));
    daemon.signal(Signal::SIGHUP);
    let told = daemon.until("READY=1");
    let began = told.iter().position(|line| line == "RELOADING=1").expect("RELOADING=1");
    assert!(told[began + 1].starts_with("MONOTONIC_USEC="), "{told:?}");
    scene.expect("web", [false, true]);
}

/// A file that is renamed into place, written in place, or comes back is noticed, and so is one that it names.
#[test]
fn a_change_is_noticed_however_it_is_made() {
    let scene = Scene::new("80");
    let mut daemon = Daemon::start(&scene.agent);
    let path = config(&scene.agent);
    let beside = path.with_extension("new");
    fs::write(&beside, policy("81")).expect("a file");
    fs::rename(&beside, &path).expect("the policy file");
    daemon.until("READY=1");
    scene.expect("web", [false, true]);

    write_config(&scene.agent, &policy("80, 81"));
    daemon.until("READY=1");
    scene.expect("web", [true, true]);

    fs::rename(&path, &beside).expect("the policy file");
    daemon.until_reload(|reload| reload["ok"] == false);
    scene.expect("web", [true, true]);
    fs::write(&beside, with_list()).expect("a file");
    let list = path.with_file_name("list.netset");
    fs::write(&list, "203.0.113.0/24\n").expect("a file");
    daemon.told();
    fs::rename(&beside, &path).expect("the policy file");
    daemon.until_reload(|reload| reload["ok"] == true);
    scene.expect("web", [true, false]);

    daemon.told();
    fs::write(&list, "198.51.100.0/24\n").expect("a file");
    daemon.until("READY=1");
    scene.expect("web", [false, false]);
}

/// The file is large, and while it is still being read another takes its place and is applied by hand: what was read first
/// does not come into force after that, not even for a moment.
#[test]
fn what_was_read_before_an_apply_does_not_undo_it() {
    const RULES: usize = 60_000;
    let scene = Scene::new("80");
    let mut daemon = Daemon::start(&scene.agent);
    let rules = "      - {direction: ingress, protocol: tcp, ports: 9}\n".repeat(RULES);
    let large = policy("81").replace("    rules:\n", &format!("    rules:\n{rules}"));
    let quota = format!("settings: {{quotas: {{rules_per_group: {}}}}}\n", RULES + 9);
    let path = config(&scene.agent);
    let replace = |text: &str| {
        let beside = path.with_extension("new");
        fs::write(&beside, text).and_then(|()| fs::rename(&beside, &path)).expect("the policy file");
    };
    daemon.told();
    replace(&large.replace("security_groups", &format!("{quota}security_groups")));
    daemon.signal(Signal::SIGHUP);
    daemon.until("RELOADING=1");
    replace(&policy("80, 81"));
    let run = scene.agent.run(&["apply", &path.to_string_lossy()]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    let generation = scene.agent.status().generation;
    daemon.until("READY=1");
    assert_eq!(scene.agent.status().generation, generation, "{}", daemon.log());
    scene.expect("web", [true, true]);
}

fn with_list() -> String {
    "version: 1
address_groups: {list: {file: list.netset}}
security_groups:
  web:
    rules:
      - {direction: ingress, protocol: tcp, ports: 80, remote: 'address-group:list'}
      - {direction: ingress, protocol: udp, ports: 80, remote: 'address-group:list'}
interfaces: [{name: tap0, role: guest, groups: [web], addresses: [10.77.1.10]}]
"
    .to_owned()
}

/// A link on the way to the file may point elsewhere from one moment to the next.
#[test]
fn a_link_that_is_turned_is_noticed() {
    let scene = Scene::new("80");
    let path = config(&scene.agent);
    let directory = path.parent().expect("a directory").to_owned();
    for (name, ports) in [("one", "80"), ("two", "81")] {
        fs::create_dir(directory.join(name)).expect("a directory");
        fs::write(directory.join(name).join("policy.yaml"), policy(ports)).expect("a file");
    }
    let turn = |to: &str| {
        let fresh = directory.join("fresh");
        std::os::unix::fs::symlink(to, &fresh).expect("a link");
        fs::rename(&fresh, directory.join("data")).expect("a link");
    };
    turn("one");
    fs::remove_file(&path).expect("the policy file");
    std::os::unix::fs::symlink("data/policy.yaml", &path).expect("a link");
    let mut daemon = Daemon::start(&scene.agent);
    scene.expect("web", [true, false]);
    turn("two");
    daemon.until("READY=1");
    scene.expect("web", [false, true]);
}

/// H06, R10: a faulty, an empty and a missing file keep the last good policy and what is connected, while the daemon
/// runs and when it starts; it says so in its log, to the service manager and in its status.
#[test]
fn a_bad_file_keeps_the_last_good_policy() {
    let scene = Scene::new("80");
    let mut daemon = Daemon::start(&scene.agent);
    let mut held = live::connect(&scene, scene.at("web", 80));
    let bad =
        [Some("version: 1\nsecurity_groups: {web: {prots: 1}}\n"), Some(""), None, Some("interfaces: [")];
    for text in bad {
        match text {
            Some(text) => write_config(&scene.agent, text),
            None => fs::remove_file(config(&scene.agent)).expect("the policy file"),
        }
        let failures = daemon.until_reload(|_| true)["failures"].as_u64().expect("a number");
        daemon.signal(Signal::SIGHUP);
        let reload = daemon.until_reload(|reload| reload["failures"].as_u64() > Some(failures));
        assert_eq!((&reload["ok"], &reload["generation"]), (&false.into(), &1.into()), "{text:?}");
        assert!(reload["error"].as_str().is_some_and(|error| error.contains("policy.yaml")), "{reload}");
        let told = daemon.told().join("\n");
        assert!(told.contains("REFUSED, generation 1 stays in force"), "{told}");
        assert!(held.echoes(PATIENT));
        scene.expect("web", [true, false]);

        daemon.kill();
        daemon = Daemon::start(&scene.agent);
        assert!(daemon.log().contains("REFUSED, generation 1 stays in force"), "{}", daemon.log());
        assert!(held.echoes(PATIENT));
        scene.expect("web", [true, false]);
    }
    assert_eq!(scene.agent.status().generation, 1);
    write_config(&scene.agent, &policy("80, 81"));
    daemon.until_reload(|reload| reload["ok"] == true);
    assert!(held.echoes(PATIENT));
    scene.expect("web", [true, true]);
}

/// R14: a file that is written again and says the same changes nothing, nor does a signal.
#[test]
fn the_same_again_changes_nothing() {
    let scene = Scene::new("80");
    let mut daemon = Daemon::start(&scene.agent);
    let before = super::killed::Tables::of(&scene);
    write_config(&scene.agent, &policy("80"));
    daemon.signal(Signal::SIGHUP);
    daemon.until("READY=1");
    assert_eq!(super::killed::Tables::of(&scene), before);
    assert_eq!(scene.agent.status().generation, 1);
}

/// A file that was applied by a client and changed back before the daemon had looked at it says what it said when the daemon
/// last read it, and means it.
#[test]
fn a_file_that_is_changed_back_at_once_is_in_force() {
    let scene = Scene::new("80");
    let mut daemon = Daemon::start(&scene.agent);
    write_config(&scene.agent, &policy("81"));
    assert_eq!(scene.agent.run(&["apply", &config(&scene.agent).to_string_lossy()]).status, 0);
    let applied = scene.agent.status().generation;
    write_config(&scene.agent, &policy("80"));
    daemon.wait("the file", |_| (scene.agent.status().generation > applied).then_some(()));
    scene.expect("web", [true, false]);
}
