//! What the agent leaves in the kernel: pins, links, state.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use aya::{
    maps::{Map, MapData},
    programs::{
        SchedClassifier,
        links::{FdLink, PinnedLink},
    },
};
use nix::fcntl::{Flock, FlockArg};
use sg_common::members::{Member, MemberKey};
use sg_tests::{
    agent::{Agent, InterfaceStatus},
    netns::Netns,
    packets::{
        Ethernet, Ip, Mac, Transport,
        flag::{ACK, SYN},
    },
    progrun::{Hook, Programs, pins},
};

const POLICY: &str = "version: 1
settings: {conntrack: {max_entries: 4096, max_per_interface: 1024}, limits: {policy_bytes: 1048576}}
security_groups:
  web: {rules: [{direction: ingress, protocol: tcp, ports: 80}]}
interfaces:
  - {name: 'tap?', role: guest, groups: [web]}
";

/// The policy with another receive hook than that of choice, which on a veth is TCX.
fn at(hook: &str) -> String {
    POLICY.replace("groups: [web]", &format!("groups: [web], rx_hook: {hook}"))
}

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

/// R14, H15
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
    let run = scene.agent.try_apply(&at("xdp-native").replace("80", "81"));
    assert_eq!(run.status, 4, "{}", run.stderr);
    assert!(run.stderr.contains("tap1"), "{}", run.stderr);
    assert_eq!(scene.everything(), before);
    // The hook beside it is free.
    for hook in ["tcx", "auto"] {
        scene.agent.apply(&at(hook));
        assert_eq!(scene.interface("tap1").rx_hook, "tcx");
    }
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
        scene.agent.apply(&at(hook));
        let interface = scene.interface("tap0");
        assert_eq!((interface.rx_hook.as_str(), interface.enforced), (hook, true));
    }
    let links = fs::read_dir(pins(&scene.host).join("links")).expect("links").count();
    assert_eq!(links, 2, "nothing is left of the hooks before");
}

/// XDP on a veth sees no tag beside a frame and ends segmentation offload, on a tap it copies super-packets: the choice
/// for guests, and for any veth, is TCX.
#[test]
fn the_receive_hook_of_choice_depends_on_whose_device_it_is_and_of_which_kind() {
    let scene = Scene::new();
    scene.host.ip("tuntap add tap1 mode tap\nlink set tap1 up");
    scene.agent.apply(POLICY);
    let chosen = |name: &str| {
        let interface = scene.interface(name);
        (interface.rx_hook, interface.rx_reason)
    };
    let (hook, reason) = chosen("tap0");
    assert!(hook == "tcx" && reason.contains("VLAN tag"), "{hook}: {reason}");
    let (hook, reason) = chosen("tap1");
    assert!(hook == "tcx" && reason.contains("super-packets"), "{hook}: {reason}");
    let said = scene.agent.run(&["status"]).stdout;
    assert!(said.contains("interface tap0: receive hook tcx: a guest on a veth"), "{said}");
    scene.agent.apply(&POLICY.replace("role: guest", "role: host"));
    let (hook, reason) = chosen("tap0");
    assert!(hook == "tcx" && reason.starts_with("a veth: XDP would"), "{hook}: {reason}");
    // As on a card of the host's own: the driver runs XDP.
    assert_eq!(chosen("tap1"), ("xdp-native".to_owned(), "xdp-native is the first choice".to_owned()));
    scene.agent.apply(POLICY);
    assert_eq!(chosen("tap0").0, "tcx");
    let run = scene.agent.try_apply(&at("xdp-native"));
    assert_eq!(run.status, 0, "{}", run.stderr);
    assert!(
        run.stderr.contains("tap0, xdp-native: a VLAN tag that travels beside a frame"),
        "{}",
        run.stderr
    );
    assert!(!run.stderr.contains("tap1"), "{}", run.stderr);
    assert!(chosen("tap0").1.contains("a VLAN tag that travels beside a frame"));
}

#[test]
fn a_lost_state_is_made_anew_without_letting_go() {
    let scene = Scene::new();
    let links = pins(&scene.host).join("links");
    let mut before = BTreeMap::new();
    collect(&links, &mut before);
    for lost in ["", "{}"] {
        let path = scene.state().join(format!("state-{}", scene.agent.status().generation));
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
    let path = scene.state().join(format!("state-{}", scene.agent.status().generation));
    fs::remove_file(path).expect("the state");
    add(&scene.host, "tap1");
    scene.host.ip(&format!("link set dev tap1 xdp pinned {}", pins(&scene.host).join("sg_probe").display()));
    let by_xdp = DENIED.replace("groups: [web]", "groups: [web], rx_hook: xdp-native");
    assert_eq!(scene.agent.try_apply(&by_xdp).status, 4, "tap1 has a foreign program");
    assert_eq!(members(&scene.host).len(), 2);
    scene.host.ip("link set dev tap1 xdp off");
    scene.agent.apply(&DENIED.replace(", 192.0.2.67", ""));
    assert_eq!(members(&scene.host).len(), 1);
}

type Members = aya::maps::HashMap<MapData, MemberKey, Member>;

fn member_table(host: &Netns) -> Members {
    let map = MapData::from_pin(pins(host).join("MEMBERS")).expect("the table of members");
    Map::HashMap(map).try_into().expect("a hash map")
}

fn members(host: &Netns) -> Vec<MemberKey> {
    let all = member_table(host).iter().map(|entry| entry.expect("a member")).collect::<Vec<_>>();
    assert!(all.iter().all(|(key, one)| one.key == *key), "{all:?}");
    all.into_iter().filter(|(_, one)| one.membership.now != 0).map(|(key, _)| key).collect()
}

/// The kernel gives the memory of a removed element to the next one at once: who looked the first up sees the second.
#[test]
fn the_membership_of_somebody_else_is_nobodys() {
    let scene = Scene::new();
    let grouped = POLICY
        .replace("ports: 80", "ports: 80, remote: 'group:web'")
        .replace("  web: {", "  web: {members: [192.0.2.1], ");
    scene.agent.apply(&grouped);
    let verdict = || {
        let question = "--interface tap0 --direction ingress --protocol tcp --remote 192.0.2.1 --port 80";
        scene.agent.explain(question).verdict
    };
    assert_eq!(verdict(), "allow");
    let mut table = member_table(&scene.host);
    let (key, member) = table.iter().next().expect("a member").expect("a member");
    let reused = Member { key: MemberKey { zone: key.zone + 1, ..key }, ..member };
    table.insert(key, reused, 0).expect("writing a member");
    assert_eq!(verdict(), "deny");
}

/// H07: An agent of another build, with the same tables: its programs take the place of those on the hooks, link by link.
#[test]
fn programs_of_another_build_are_replaced_while_packets_pass() {
    let scene = Scene::new();
    let directory = pins(&scene.host);
    let links = || {
        let mut found = BTreeMap::new();
        collect(&directory.join("links"), &mut found);
        found
    };
    let number = || SchedClassifier::from_pin(directory.join("sg_tcx_egress")).unwrap().info().unwrap().id();
    let (before, program) = (links(), number());
    let programs = Programs::of(&scene.host);
    let frame = |source: u16, flags: u8| {
        let ip = Ip::new([192, 0, 2, 1].into(), [10, 0, 0, 5].into());
        Ethernet::new(Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]))
            .ip(&ip, &Transport::tcp(source, 80, flags))
    };
    let tap0 = scene.host.ifindex("tap0");
    assert!(programs.passes(Hook::TcxEgress, tap0, &frame(4000, SYN)));
    let mark = mark_another_build(&directory);
    scene.agent.apply(POLICY);
    assert_ne!(number(), program);
    assert_eq!(links(), before, "the links are the same");
    assert!(mark.exists() && !directory.join("object-0123456789abcdef").exists());
    // The new programs know the connection, and the policy.
    let renewed = Programs::of(&scene.host);
    assert!(renewed.passes(Hook::TcxEgress, tap0, &frame(4000, ACK)));
    assert!(!renewed.passes(Hook::TcxEgress, tap0, &frame(4001, ACK)));
    assert_eq!(scene.agent.status().generation, 1);
    let current = number();
    scene.agent.apply(POLICY);
    assert_eq!(number(), current, "they are those of this build already");
}

/// Makes the pins in `directory` those of another build; where the mark was.
fn mark_another_build(directory: &Path) -> PathBuf {
    let entries = fs::read_dir(directory).expect("a directory of the agent");
    let mut entries = entries.map(|entry| entry.expect("an entry").path());
    let mark = entries.find(|path| path.to_string_lossy().contains("object-")).expect("a mark");
    fs::rename(&mark, directory.join("object-0123456789abcdef")).expect("another mark");
    mark
}

/// The link of a device that has gone cannot be updated.
#[test]
fn programs_are_replaced_although_a_device_has_gone() {
    for hook in ["tcx", "xdp-native"] {
        let scene = Scene::new();
        add(&scene.host, "tap1");
        scene.agent.apply(&at(hook));
        scene.host.ip("link del tap1");
        let mark = mark_another_build(&pins(&scene.host));
        scene.agent.apply(&at(hook));
        assert!(mark.exists(), "{hook}");
        assert!(scene.interface("tap0").enforced, "{hook}");
    }
}

/// H07, H08: Tables of another version cannot be read: new ones are made beside them, and the links move over. At no moment is a
/// device without a program.
#[test]
fn what_another_version_loaded_is_taken_over() {
    for hook in ["tcx", "xdp-native"] {
        let scene = Scene::new();
        scene.agent.apply(&at(hook));
        let directory = pins(&scene.host);
        let number = |side: &str| {
            let path = directory.join("links").join(format!("1-{side}"));
            FdLink::from(PinnedLink::from_pin(path).expect("a link")).info().expect("a link").id()
        };
        let before = (number("rx"), number("tx"));
        let other = directory.with_file_name("v0");
        fs::rename(&directory, &other).expect("another version");
        let run = scene.agent.run(&["status"]);
        assert_eq!(run.status, 3);
        assert!(run.stderr.contains("v0") && run.stderr.contains("sg-agent apply FILE"), "{}", run.stderr);
        scene.agent.apply(&at(hook));
        assert_eq!((number("rx"), number("tx")), before, "the links are the same");
        assert!(!other.exists());
        let interface = scene.interface("tap0");
        assert_eq!((interface.rx_hook.as_str(), interface.enforced), (hook, true));
    }
}

/// Writers with different state directories meet at the pins.
#[test]
fn one_writer_at_a_time_whatever_the_state_directory() {
    let scene = Scene::new();
    let root = pins(&scene.host).parent().expect("a directory").to_owned();
    let held =
        Flock::lock(fs::File::open(&root).expect("the pins"), FlockArg::LockExclusive).expect("the lock");
    let run = scene.agent.try_apply(&POLICY.replace("80", "81"));
    assert_eq!(run.status, 4, "{}", run.stderr);
    assert!(run.stderr.contains(&format!("process {} is changing", std::process::id())), "{}", run.stderr);
    drop(held);
    scene.agent.apply(&POLICY.replace("80", "81"));
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
    assert_eq!(scene.agent.run(&["attach", "vm8", "--group", "web"]).status, 3);
    let run = scene.agent.run(&["attach", "vm7", "--group", "web", "--address", "10.0.0.7"]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    assert!(scene.interface("vm7").enforced);
    assert_eq!(scene.agent.run(&["detach", "vm7"]).status, 0);
    assert!(scene.agent.status().interfaces.iter().all(|one| one.name != "vm7"));
    assert_eq!(scene.agent.run(&["detach", "vm7"]).status, 0);
}

/// `attach IFACE --group G...`: behind one option, or behind one each.
#[test]
fn an_interface_is_attached_to_several_groups() {
    let scene = Scene::new();
    scene.agent.apply(&POLICY.replace("  web: {", "  db: {}\n  web: {"));
    add(&scene.host, "vm7");
    for groups in [&["--group", "web", "db"][..], &["--group", "web", "--group", "db"]] {
        let addresses = ["--address", "10.0.0.7", "fd00::7", "--role", "guest"];
        let run = scene.agent.run(&[&["attach", "vm7"], groups, &addresses].concat());
        assert_eq!(run.status, 0, "{}", run.stderr);
        assert_eq!(scene.interface("vm7").groups, ["web", "db"]);
        assert_eq!(scene.agent.run(&["detach", "vm7"]).status, 0);
    }
}
