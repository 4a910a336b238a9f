//! What somebody else takes away, puts in front or writes over.

use std::{fs, time::Instant};

use aya::{
    maps::{Array, Map, MapData},
    programs::{LinkOrder, TcAttachType, XdpMode},
};
use sg_common::{control::Control, interface::Interface};
use sg_tests::{
    foreign::{self, Foreign, Says},
    inject::{ARRIVES, IS_LOST, Tap, mark},
    packets::flag::SYN,
    port::{Kind, Link, Role, quiet_host},
};

use crate::{POLICY, Scene, segment};

/// Detaches the link pinned as `name`, as root may.
fn detach(scene: &Scene, name: &str) {
    foreign::detach(&scene.pins().join("links").join(name));
}

/// H11: one hook at a time, so the device is the one that it was and its connections go on.
#[test]
fn a_program_taken_off_its_hook_is_put_back() {
    for hook in ["tcx", "xdp-native"] {
        let policy = POLICY.replace("groups: [web]", &format!("groups: [web], rx_hook: {hook}"));
        let mut scene = Scene::new(&policy, &["tap0", "tap1"]);
        scene.open_connection("tap0", 1000);
        let slot = slots(&scene, "tap0");
        for side in ["rx", "tx"] {
            detach(&scene, &format!("{slot}-{side}"));
            assert_eq!(scene.enforced(), ["tap1"]);
            let done = scene.verify();
            assert_eq!((done.hooks_changed, done.repairs.len()), (1, 1), "{done:?}");
            assert!(done.repairs[0].contains("tap0"), "{done:?}");
            assert_eq!(scene.enforced(), ["tap0", "tap1"]);
            scene.is_settled();
        }
        assert!(scene.goes_on("tap0", 1000) && !scene.lets_in("tap0", 1001, 81, SYN));
    }
}

/// The slot of an interface, by the link on its device.
fn slots(scene: &Scene, device: &str) -> u32 {
    let index = scene.host.ifindex(device);
    let map = MapData::from_pin(scene.pins().join("IFINDEX")).expect("a table");
    let slots: Array<_, u32> = Map::Array(map).try_into().expect("an array");
    slots.get(&index, 0).expect("a slot")
}

/// H10: everything that a running agent has pinned and written is gone.
#[test]
fn pins_and_files_that_are_removed_are_made_again() {
    let mut scene = Scene::new(POLICY, &["tap0"]);
    scene.open_connection("tap0", 1000);
    let root = scene.pins().parent().expect("a directory").to_owned();
    fs::remove_dir_all(&root).expect("removing the pins");
    fs::remove_dir_all(scene.agent.state_dir()).expect("removing the state");
    let done = scene.verify();
    assert!(done.repairs.len() >= 2 && done.hooks_changed == 2, "{done:?}");
    assert_eq!(scene.enforced(), ["tap0"]);
    // The tables are the same.
    assert!(scene.goes_on("tap0", 1000) && !scene.lets_in("tap0", 1001, 81, SYN));
    scene.is_settled();
    fs::remove_file(scene.pins().join("links").join(format!("{}-tx", slots(&scene, "tap0"))))
        .expect("a link's pin");
    fs::remove_file(scene.pins().join("MEMBERS")).expect("a table's pin");
    assert_eq!(scene.verify().repairs.len(), 2);
    assert!(scene.pins().join("MEMBERS").exists());
    assert_eq!(scene.enforced(), ["tap0"]);
    // And another writer finds everything.
    drop(scene.writer.take());
    assert_eq!(scene.agent.connections().len(), 1);
}

/// H12
#[test]
fn a_foreign_xdp_program_stands_in_nobody_elses_way() {
    let policy = POLICY.replace("groups: [web]", "groups: [web], rx_hook: xdp-native");
    let mut scene = Scene::new(&policy, &["tap0"]);
    scene.host.add_device("tap1");
    let foreign = Foreign::on_xdp(&scene.host, "tap1", XdpMode::Driver);
    scene.host.add_device("tap2");
    assert_eq!(scene.reconcile().bound, ["tap1", "tap2"]);
    assert_eq!(scene.enforced(), ["tap0", "tap2"]);
    let status = scene.status();
    let tap1 = status.iter().find(|one| one.name == "tap1").expect("tap1");
    assert!(tap1.rx_reason.contains("XDP program"), "{tap1:?}");
    assert!(tap1.since > 0);
    // What the other program lets pass is judged, and what the device is to transmit, and a policy comes into force all the same.
    assert!(!scene.lets_in("tap1", 1000, 81, SYN));
    let before = sent(&mut scene, "tap1");
    let guest = Tap::open(&scene.host, "tap1x");
    guest.send(&segment([10, 0, 0, 5], [192, 0, 2, 1], 1000, 80, SYN, mark()));
    let deadline = Instant::now() + ARRIVES;
    while sent(&mut scene, "tap1") == before {
        assert!(Instant::now() < deadline, "what the guest sends is judged by nobody");
    }
    scene.apply(&crate::parse(&policy.replace("ports: 80", "ports: 81")));
    assert!(scene.lets_in("tap1", 1000, 81, SYN) && scene.lets_in("tap2", 1000, 81, SYN));
    assert_eq!(scene.enforced(), ["tap0", "tap2"]);
    drop(foreign);
    assert_eq!(scene.reconcile().hooks_changed, 2, "ours comes, and what stood in for it goes");
    assert_eq!(scene.enforced(), ["tap0", "tap1", "tap2"]);
    scene.is_settled();
}

/// Packets of the guest behind a device that were judged.
fn sent(scene: &mut Scene, device: &str) -> u64 {
    let slot = slots(scene, device);
    let stats = scene.write(|writer| writer.loaded.kernel.interface_stats(slot)).expect("the counters");
    let sent = &stats.0[sg_common::addr::EGRESS];
    sent.allowed + sent.dropped.iter().sum::<u64>()
}

/// H13: a program in front of ours that lets everything pass lets nothing pass for longer than a look.
#[test]
fn a_foreign_tcx_program_does_not_stay_in_front() {
    let mut scene = Scene::new(POLICY, &["tap0"]);
    scene.open_connection("tap0", 1000);
    // Behind ours, it is not asked about what ours drops.
    let behind = Foreign::on_tcx(&scene.host, "tap0", TcAttachType::Egress, Says::Pass, LinkOrder::last());
    assert!(!scene.lets_in("tap0", 1001, 81, SYN));
    scene.is_settled();
    drop(behind);
    for says in [Says::Pass, Says::Next] {
        for side in [TcAttachType::Egress, TcAttachType::Ingress] {
            let foreign = Foreign::on_tcx(&scene.host, "tap0", side, says, LinkOrder::first());
            let is_open = side == TcAttachType::Egress && says == Says::Pass;
            assert_eq!(scene.lets_in("tap0", 1001, 81, SYN), is_open);
            let done = scene.verify();
            assert_eq!(done.repairs.len(), 1, "{done:?}");
            assert!(done.repairs[0].starts_with("tap0: another program had gone before ours"), "{done:?}");
            assert!(!scene.lets_in("tap0", 1001, 81, SYN) && scene.goes_on("tap0", 1000));
            scene.is_settled();
            assert_eq!(scene.enforced(), ["tap0"]);
            drop(foreign);
        }
    }
}

/// H13: the same for what a guest sends.
#[test]
fn a_foreign_tcx_program_lets_nothing_out_for_long() {
    let mut scene = Scene::on(
        quiet_host(),
        &POLICY
            .replace("direction: ingress", "direction: egress")
            .replace("rules:", "default_policy: {egress: deny}, rules:")
            .replace("tap?", "port?"),
    );
    let kind = Kind { link: Link::Veth, rx_hook: "tcx", role: Role::Guest };
    let _port = sg_tests::port::Port::new(&scene.host, 0, kind, 1500, Default::default());
    scene.reconcile();
    let (near, far) = (Tap::open(&scene.host, "near0"), Tap::open(&scene.host, "far0"));
    let gets_out = |port: u16| {
        let mark = mark();
        assert!(near.send(&segment([10, 0, 0, 5], [192, 0, 2, 1], 1000, port, SYN, mark)));
        far.receive(mark, if port == 80 { ARRIVES } else { IS_LOST }).is_some()
    };
    assert!(gets_out(80) && !gets_out(81));
    let _foreign =
        Foreign::on_tcx(&scene.host, "port0", TcAttachType::Ingress, Says::Pass, LinkOrder::first());
    assert!(gets_out(81), "the program in front bypasses ours");
    scene.verify();
    assert!(gets_out(80) && !gets_out(81));
}

/// H14: entries of the tables that somebody has written over.
#[test]
fn tables_that_were_written_over_are_written_again() {
    let policy = POLICY
        .replace("ports: 80", "ports: 80, remote: 'group:web'")
        .replace("  web: {", "  web: {members: [192.0.2.1], ");
    let mut scene = Scene::new(&policy, &["tap0"]);
    scene.open_connection("tap0", 1000);
    let array = |name: &str| MapData::from_pin(scene.pins().join(name)).expect("a table");
    let mut directory: Array<_, Interface> = Map::Array(array("DIRECTORY")).try_into().expect("an array");
    let mut heap: Array<_, [u8; 64]> = Map::Array(array("HEAP")).try_into().expect("an array");
    let mut slots_of: Array<_, u32> = Map::Array(array("IFINDEX")).try_into().expect("an array");
    let control: Array<_, Control> = Map::Array(array("CONTROL")).try_into().expect("an array");
    let control = control.get(&0, 0).expect("the control line");
    let (slot, index) = (slots(&scene, "tap0"), scene.host.ifindex("tap0"));
    let at = Control::half(control.word) * control.interfaces + slot;
    let row = directory.get(&at, 0).expect("a row");
    let root = row.policy[sg_common::addr::INGRESS];

    directory.set(at, Interface { policy: [0; 2], ..row }, 0).expect("writing");
    assert!(!scene.lets_in("tap0", 1001, 80, SYN));
    assert_eq!(scene.verify().repairs.len(), 1);
    assert!(scene.lets_in("tap0", 1001, 80, SYN));

    let line = heap.get(&root, 0).expect("a line");
    heap.set(root, [0xff; 64], 0).expect("writing");
    assert_eq!(scene.verify().repairs, ["1 lines of the compiled policy had been changed: written again"]);
    assert_eq!(heap.get(&root, 0).expect("a line"), line);

    slots_of.set(index, 0, 0).expect("writing");
    assert_eq!(scene.verify().repairs.len(), 1);

    let members = MapData::from_pin(scene.pins().join("MEMBERS")).expect("a table");
    let mut members: aya::maps::HashMap<_, sg_common::members::MemberKey, sg_common::members::Member> =
        Map::HashMap(members).try_into().expect("a hash map");
    let (key, mut member) = members.iter().next().expect("a member").expect("a member");
    members.remove(&key).expect("removing");
    let stranger = sg_common::members::MemberKey { zone: key.zone + 1, ..key };
    member.key = stranger;
    members.insert(stranger, member, 0).expect("writing");
    assert_eq!(scene.verify().repairs, ["2 members of groups had been changed: written again"]);
    assert!(members.get(&key, 0).is_ok() && members.get(&stranger, 0).is_err());
    assert!(scene.lets_in("tap0", 1002, 80, SYN) && scene.goes_on("tap0", 1000));
    scene.is_settled();
}
