//! Kinds of devices and sizes of their frames.

use std::process::Command;

use sg_tests::{netns::Netns, packets::flag::SYN};

use crate::{POLICY, Scene, parse};

/// Makes a device of each kind that this kernel has, named `tap0`, `tap1`, …; tells the kinds.
fn make(host: &Netns) -> Vec<&'static str> {
    host.ip("link add under type veth peer name underx\n link set under up\n link set underx up");
    let kinds = [
        ("veth", "link add DEV type veth peer name far"),
        ("tap", "tuntap add dev DEV mode tap"),
        ("tap with queues", "tuntap add dev DEV mode tap multi_queue"),
        ("bridge", "link add DEV type bridge"),
        ("macvlan", "link add DEV link under type macvlan"),
        ("vxlan", "link add DEV type vxlan id 7 dev under dstport 4789"),
        ("dummy", "link add DEV type dummy"),
        ("bond", "link add DEV type bond"),
        ("vlan", "link add DEV link under type vlan id 7"),
    ];
    let mut made = Vec::new();
    for (kind, line) in kinds {
        let line = line.replace("DEV", &format!("tap{}", made.len()));
        if host.output(Command::new("ip").args(line.split_whitespace())).status.success() {
            made.push(kind);
        }
    }
    made
}

/// L10, L07, L11, L17: each is enforced, by the best hook that it has, with frames of every size that it takes, and stays so
/// when the size is changed.
#[test]
fn devices_of_every_kind_are_enforced_whatever_their_mtu() {
    let host = Netns::new();
    host.sysctl("ipv6/conf/default/disable_ipv6", "1");
    let kinds = make(&host);
    assert!(kinds.contains(&"tap") && kinds.contains(&"bridge"), "{kinds:?}");
    let names: Vec<String> = (0..kinds.len()).map(|number| format!("tap{number}")).collect();
    let mut scene = Scene::on(host, &POLICY.replace("tap?", "nothing"));
    let mut seen = Vec::new();
    for mtu in [1280, 1500, 3506, 3520, 9000, 65_535] {
        for name in &names {
            // Not every kind takes every size.
            let line = format!("link set {name} mtu {mtu}");
            scene.host.output(Command::new("ip").args(line.split_whitespace()));
        }
        for role in ["guest", "host"] {
            scene.apply(&parse(&POLICY.replace("guest", role)));
            assert_eq!(scene.enforced(), names, "{role}, MTU {mtu}: {:?}", scene.status());
            scene.is_settled();
            seen.extend(
                scene
                    .status()
                    .into_iter()
                    .map(|one| (kinds[usize::from(one.name.as_bytes()[3] - b'0')], one.rx_hook)),
            );
            scene.apply(&parse(&POLICY.replace("tap?", "nothing")));
        }
    }
    assert!(seen.contains(&("tap", "xdp-native")) && seen.contains(&("tap", "tcx")), "{seen:?}");
}

/// L08: what may be raised while a program is on the device, and what the kernel refuses by itself.
#[test]
fn frames_may_grow_under_a_program() {
    let mut scene =
        Scene::new(&POLICY.replace("groups: [web]", "groups: [web], rx_hook: xdp-native"), &["tap0"]);
    scene.host.ip("link set tap0 mtu 9000\n link set tap0x mtu 9000");
    scene.is_settled();
    assert_eq!(scene.enforced(), ["tap0"]);
    assert!(scene.lets_in("tap0", 1000, 80, SYN) && !scene.lets_in("tap0", 1000, 81, SYN));
}

/// L10: a device in a bridge or under a bond, and a device that carries no Ethernet frames, which is reported.
#[test]
fn what_cannot_be_enforced_is_said_and_stands_in_nobodys_way() {
    let mut scene = Scene::new(POLICY, &["tap0"]);
    scene.host.ip("link add bridge type bridge\n link set tap0 master bridge\n tuntap add dev tap1 mode tun");
    scene.host.add_device("tap2");
    scene.reconcile();
    assert_eq!(scene.enforced(), ["tap0", "tap2"]);
    let status = scene.status();
    let tap1 = status.iter().find(|one| one.name == "tap1").expect("tap1");
    assert!(tap1.rx_reason.contains("carries no Ethernet frames"), "{tap1:?}");
    scene.host.ip("link set tap0 nomaster\n link del tap1");
    scene.reconcile();
    scene.is_settled();
    assert_eq!(scene.enforced(), ["tap0", "tap2"]);
}
