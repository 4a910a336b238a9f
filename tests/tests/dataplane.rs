//! What the agent leaves in the kernel: pins, links, state.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use aya::maps::{Map, MapData};
use sg_common::members::{MemberKey, Membership};
use sg_tests::{
    agent::{Agent, InterfaceStatus},
    netns::Netns,
    progrun::pins,
};

const POLICY: &str = "version: 1
settings: {conntrack: {max_entries: 4096, max_per_interface: 1024}, limits: {policy_bytes: 1048576}}
security_groups:
  web: {rules: [{direction: ingress, protocol: tcp, ports: 80}]}
interfaces:
  - {name: 'tap?', role: guest, groups: [web]}
";

struct Scene {
    host: Netns,
    agent: Agent,
}

impl Scene {
    fn new() -> Self {
        let host = Netns::new();
        add(&host, "tap0");
        let agent = Agent::new(&host);
        agent.apply(POLICY);
        Self { host, agent }
    }

    fn interface(&self, name: &str) -> InterfaceStatus {
        let all = self.agent.status().interfaces;
        let found = all.into_iter().find(|one| one.name == name);
        found.unwrap_or_else(|| panic!("{name} is not bound"))
    }

    fn state(&self) -> PathBuf {
        let beside = self.agent.write("beside", "");
        beside.with_file_name("state").join(format!("netns-{}", self.host.inode()))
    }

    /// Everything pinned and remembered, with when it was made.
    fn everything(&self) -> BTreeMap<PathBuf, (u64, i64)> {
        let mut found = BTreeMap::new();
        collect(&pins(&self.host), &mut found);
        collect(&self.state(), &mut found);
        found.retain(|path, _| path.file_name().is_none_or(|name| name != "lock"));
        found
    }
}

fn add(host: &Netns, device: &str) {
    host.ip(&format!("link add {device} type veth peer name {device}-peer\nlink set {device} up"));
}

fn collect(directory: &Path, found: &mut BTreeMap<PathBuf, (u64, i64)>) {
    for entry in fs::read_dir(directory).expect("a directory of the agent") {
        let path = entry.expect("an entry").path();
        let metadata = fs::metadata(&path).expect("an entry");
        if metadata.is_dir() {
            collect(&path, found);
        }
        found.insert(path, (metadata.ino(), metadata.mtime_nsec()));
    }
}

#[test]
fn a_second_apply_writes_nothing_and_unload_leaves_nothing() {
    let scene = Scene::new();
    let before = scene.everything();
    scene.agent.apply(POLICY);
    assert_eq!(scene.everything(), before);
    assert_eq!(scene.agent.run(&["unload"]).status, 0);
    assert!(!pins(&scene.host).exists() && !scene.state().exists());
    let run = scene.agent.run(&["unload"]);
    assert_eq!(run.status, 0, "nothing to unload is fine: {}", run.stderr);
}

#[test]
fn a_change_of_policy_leaves_links_alone() {
    let scene = Scene::new();
    let links = pins(&scene.host).join("links");
    let mut before = BTreeMap::new();
    collect(&links, &mut before);
    scene.agent.apply(&POLICY.replace("80", "81"));
    let mut after = BTreeMap::new();
    collect(&links, &mut after);
    assert_eq!(after, before);
    assert_eq!(scene.agent.status().generation, 2);
}

#[test]
fn a_device_that_comes_back_is_enforced_again() {
    let scene = Scene::new();
    scene.host.ip("link del tap0");
    assert!(!scene.interface("tap0").enforced);
    add(&scene.host, "tap0");
    assert!(!scene.interface("tap0").enforced);
    let said = |verb: &[&str]| {
        let run = scene.agent.run(verb);
        run.stdout + &run.stderr
    };
    let question = ["--interface", "tap0", "--direction", "ingress", "--protocol", "tcp", "--port", "80"];
    let explain = [&["explain", "--remote", "192.0.2.1", "--local", "10.0.0.5"][..], &question].concat();
    assert!(said(&["status"]).contains("tap0: NOT enforced: the device was made anew"));
    assert!(said(&explain).contains("tap0 is not enforced"));
    scene.agent.apply(POLICY);
    assert!(scene.interface("tap0").enforced);
    assert!(!said(&explain).contains("not enforced"));
    assert_eq!(scene.interface("tap0").ifindex, scene.host.ifindex("tap0"));
}

#[test]
fn a_foreign_program_is_left_alone_and_nothing_changes() {
    let scene = Scene::new();
    add(&scene.host, "tap1");
    scene.host.ip(&format!("link set dev tap1 xdp pinned {}", pins(&scene.host).join("sg_probe").display()));
    let before = scene.everything();
    let run = scene.agent.try_apply(&POLICY.replace("80", "81"));
    assert_eq!(run.status, 4, "{}", run.stderr);
    assert!(run.stderr.contains("tap1"), "{}", run.stderr);
    assert_eq!(scene.everything(), before);
    // The hook beside it is free.
    scene.agent.apply(&POLICY.replace("groups: [web]", "groups: [web], rx_hook: tcx"));
    assert_eq!(scene.interface("tap1").rx_hook, "tcx");
}

/// A packet without a link header would be read at the wrong place, and most would pass.
#[test]
fn a_device_without_ethernet_frames_is_refused() {
    let scene = Scene::new();
    scene.host.ip("tuntap add tap2 mode tun");
    let before = scene.everything();
    let run = scene.agent.try_apply(&POLICY.replace("80", "81"));
    assert_eq!(run.status, 1, "{}", run.stderr);
    assert!(run.stderr.contains("tap2 carries no Ethernet frames"), "{}", run.stderr);
    assert_eq!(scene.everything(), before);
}

#[test]
fn the_receive_hook_is_the_one_asked_for() {
    let scene = Scene::new();
    assert_eq!(scene.interface("tap0").tx_hook, "tcx");
    for hook in ["xdp-generic", "tcx", "xdp-native", "tcx", "xdp-generic", "xdp-native"] {
        scene.agent.apply(&POLICY.replace("groups: [web]", &format!("groups: [web], rx_hook: {hook}")));
        let interface = scene.interface("tap0");
        assert_eq!((interface.rx_hook.as_str(), interface.enforced), (hook, true));
    }
    let links = fs::read_dir(pins(&scene.host).join("links")).expect("links").count();
    assert_eq!(links, 2, "nothing is left of the hooks before");
}

#[test]
fn a_lost_state_is_made_anew_without_letting_go() {
    let scene = Scene::new();
    let links = pins(&scene.host).join("links");
    let mut before = BTreeMap::new();
    collect(&links, &mut before);
    for lost in ["", "{}"] {
        let path = scene.state().join(format!("state-{}.json", scene.agent.status().generation));
        fs::write(path, lost).expect("the state directory");
        assert_eq!(scene.agent.run(&["status"]).status, 3);
        scene.agent.apply(POLICY);
        assert!(scene.interface("tap0").enforced);
        let allowed = scene
            .agent
            .explain("--interface tap0 --direction ingress --protocol tcp --remote 192.0.2.1 --port 80");
        assert_eq!(allowed.verdict, "allow");
    }
    let mut after = BTreeMap::new();
    collect(&links, &mut after);
    assert_eq!(after, before);
}

/// A deny rule that names a group must not stop matching because an agent has lost its memory and then refuses a file.
#[test]
fn members_stay_members_while_a_lost_state_is_made_anew() {
    const DENIED: &str = "version: 1
settings: {conntrack: {max_entries: 4096, max_per_interface: 1024}, limits: {policy_bytes: 1048576}}
security_groups:
  bad: {members: [192.0.2.66, 192.0.2.67]}
  web: {rules: [{direction: ingress, protocol: tcp, ports: 80, remote: 'group:bad', action: deny}]}
interfaces:
  - {name: 'tap?', role: guest, groups: [web]}
";
    let scene = Scene::new();
    scene.agent.apply(DENIED);
    assert_eq!(members(&scene.host).len(), 2);
    let path = scene.state().join(format!("state-{}.json", scene.agent.status().generation));
    fs::remove_file(path).expect("the state");
    add(&scene.host, "tap1");
    scene.host.ip(&format!("link set dev tap1 xdp pinned {}", pins(&scene.host).join("sg_probe").display()));
    assert_eq!(scene.agent.try_apply(DENIED).status, 4, "tap1 has a foreign program");
    assert_eq!(members(&scene.host).len(), 2);
    scene.host.ip("link set dev tap1 xdp off");
    scene.agent.apply(&DENIED.replace(", 192.0.2.67", ""));
    assert_eq!(members(&scene.host).len(), 1);
}

fn members(host: &Netns) -> Vec<MemberKey> {
    let map = MapData::from_pin(pins(host).join("MEMBERS")).expect("the table of members");
    let map: aya::maps::HashMap<_, MemberKey, Membership> = Map::HashMap(map).try_into().expect("a hash map");
    map.iter()
        .map(|entry| entry.expect("a member"))
        .filter(|(_, one)| one.now != 0)
        .map(|(key, _)| key)
        .collect()
}

/// C12
#[test]
fn other_sizes_are_refused_while_something_is_loaded() {
    let scene = Scene::new();
    let before = scene.everything();
    let run = scene.agent.try_apply(&POLICY.replace("max_entries: 4096", "max_entries: 8192"));
    assert_eq!(run.status, 4);
    for word in ["settings.conntrack.max_entries", "8192", "4096", "unload"] {
        assert!(run.stderr.contains(word), "{word} in {}", run.stderr);
    }
    assert_eq!(scene.everything(), before);
}

#[test]
fn an_interface_is_attached_and_detached_by_itself() {
    let scene = Scene::new();
    add(&scene.host, "vm7");
    let run = scene.agent.run(&["attach", "vm7", "--group", "wbe"]);
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("web"), "a suggestion: {}", run.stderr);
    assert_eq!(scene.agent.run(&["attach", "vm8", "--group", "web"]).status, 1);
    let run = scene.agent.run(&["attach", "vm7", "--group", "web", "--address", "10.0.0.7"]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    assert!(scene.interface("vm7").enforced);
    assert_eq!(scene.agent.run(&["detach", "vm7"]).status, 0);
    assert!(scene.agent.status().interfaces.iter().all(|one| one.name != "vm7"));
    assert_eq!(scene.agent.run(&["detach", "vm7"]).status, 1);
}
