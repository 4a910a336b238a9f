//! Devices that come, go, and change their names.

use std::collections::BTreeSet;

use sg_tests::{netns::Netns, packets::flag::SYN};

use crate::{POLICY, Scene, parse};

/// L06: a device that goes down and up is the same.
#[test]
fn a_link_that_goes_down_and_up_is_left_alone() {
    let mut scene = Scene::new(POLICY, &["tap0"]);
    scene.open_connection("tap0", 1000);
    scene.host.ip("link set tap0 down\n link set tap0 up");
    scene.is_settled();
    assert!(scene.goes_on("tap0", 1000));
}

/// H04
#[test]
fn a_device_that_appears_is_bound_and_one_that_goes_is_released() {
    let mut scene = Scene::new(POLICY, &["tap0"]);
    scene.is_settled();
    scene.host.add_device("tap1");
    scene.host.add_device("eth7");
    let done = scene.reconcile();
    assert_eq!((done.bound, done.hooks_changed), (vec!["tap1".to_owned()], 2));
    assert_eq!(scene.enforced(), ["tap0", "tap1"]);
    assert!(scene.lets_in("tap1", 1000, 80, SYN) && !scene.lets_in("tap1", 1000, 81, SYN));
    scene.is_settled();
    scene.host.ip("link del tap1");
    let done = scene.reconcile();
    assert_eq!((done.bound, done.released), (vec![], vec!["tap1".to_owned()]));
    scene.is_settled();
    let links = std::fs::read_dir(scene.pins().join("links")).expect("links").count();
    assert_eq!(links, 2, "nothing is left of what is gone");
}

/// L01, C24: nothing of what a device had goes to the next of its name.
#[test]
fn a_device_made_anew_has_none_of_the_connections() {
    for is_seen_to_be_gone in [false, true] {
        let mut scene = Scene::new(POLICY, &["tap0"]);
        scene.open_connection("tap0", 1000);
        scene.host.ip("link del tap0");
        if is_seen_to_be_gone {
            assert_eq!(scene.reconcile().released, ["tap0"]);
        }
        scene.host.add_device("tap0");
        assert!(scene.lets_in("tap0", 1000, 9, SYN), "until it is looked at everything passes");
        let done = scene.reconcile();
        assert_eq!((done.bound, done.released), (vec!["tap0".to_owned()], vec![]));
        assert_eq!(scene.enforced(), ["tap0"]);
        assert!(!scene.goes_on("tap0", 1000));
        scene.open_connection("tap0", 1000);
        scene.is_settled();
    }
}

/// L04, C24: another device with the same index and name, between two looks.
#[test]
fn a_device_with_the_index_of_the_one_before_is_another() {
    for (how, name) in [("verify", "tap0"), ("told", "tap0"), ("renamed", "tap5")] {
        let mut scene = Scene::new(POLICY, &["tap0"]);
        scene.open_connection("tap0", 1000);
        let index = scene.host.ifindex("tap0");
        scene.host.ip("link del tap0");
        scene.host.ip(&format!(
            "link add {name} index {index} arp off type veth peer name {name}x
             link set {name}x arp off up
             link set {name} up"
        ));
        let gone = BTreeSet::from([index]);
        let done = match how {
            "verify" => scene.verify(),
            "told" => scene.write(|writer| writer.reconcile_without(&gone)).expect("a look"),
            _ => scene.reconcile(),
        };
        assert_eq!(done.bound, [name]);
        assert_eq!(scene.enforced(), [name]);
        assert!(!scene.goes_on(name, 1000));
        scene.open_connection(name, 1000);
        scene.is_settled();
    }
}

/// L02: another name that the policy means keeps everything.
#[test]
fn a_device_that_is_renamed_keeps_its_connections() {
    let mut scene = Scene::new(POLICY, &["tap0", "tap1"]);
    scene.open_connection("tap0", 1000);
    scene.host.ip("link set tap0 name tap9");
    assert!(scene.goes_on("tap9", 1000));
    let done = scene.reconcile();
    assert_eq!(
        (done.bound, done.released, done.hooks_changed),
        (vec!["tap9".to_owned()], vec!["tap0".to_owned()], 0)
    );
    assert_eq!(scene.enforced(), ["tap1", "tap9"]);
    assert!(scene.goes_on("tap9", 1000));
    scene.is_settled();
}

/// L02: devices that swap their names swap their entries, and neither gets what the other had.
#[test]
fn devices_that_swap_their_names_keep_their_connections() {
    let mut scene = Scene::new(POLICY, &["tap0", "tap1"]);
    scene.open_connection("tap0", 1000);
    scene.host.ip("link set tap0 name swap\n link set tap1 name tap0\n link set swap name tap1");
    scene.reconcile();
    assert_eq!(scene.enforced(), ["tap0", "tap1"]);
    assert!(scene.goes_on("tap1", 1000) && !scene.goes_on("tap0", 1000));
    scene.is_settled();
}

/// L02: a name that no entry speaks of does not open a device: it keeps the entry that it had, as that reads now.
#[test]
fn a_device_renamed_to_what_nobody_speaks_of_stays_bound() {
    let named = POLICY.replace("'tap?'", "tap0");
    let mut scene = Scene::new(&named, &["tap0"]);
    scene.open_connection("tap0", 1000);
    scene.host.ip("link set tap0 name wan0");
    assert!(scene.goes_on("wan0", 1000) && !scene.lets_in("wan0", 1001, 81, SYN));
    scene.reconcile();
    assert_eq!(scene.enforced(), ["wan0"]);
    assert!(scene.goes_on("wan0", 1000) && !scene.lets_in("wan0", 1001, 81, SYN));
    // So does a new policy file, in which the entry may say something else.
    scene.apply(&parse(&named.replace("ports: 80", "ports: 81")));
    assert_eq!(scene.enforced(), ["wan0"]);
    assert!(!scene.goes_on("wan0", 1000) && scene.lets_in("wan0", 1001, 81, SYN));
    // Somebody who takes the name gets the entry too; both are bound.
    scene.host.ip("link add tap0 type veth peer name other");
    scene.reconcile();
    assert_eq!(scene.enforced(), ["tap0", "wan0"]);
    // An entry that is gone binds nobody.
    scene.apply(&parse(&named.replace("name: tap0", "name: tap7")));
    assert_eq!(scene.enforced(), Vec::<String>::new());
}

/// L03, L12: what is on a device goes with it, and is still there when it comes back.
#[test]
fn a_device_moved_to_another_namespace_and_back_stays_filtered() {
    let mut scene = Scene::new(POLICY, &["tap0"]);
    let away = Netns::new();
    scene.open_connection("tap0", 1000);
    let generation = scene.reconcile().generation;
    scene.host.ip(&format!("link set tap0 netns {}", away.path().display()));
    let done = scene.reconcile();
    assert!(done.is_empty(), "{done:?}");
    assert_eq!(scene.verify().generation, generation);
    let back = format!("link set tap0 netns {}", scene.host.path().display());
    away.ip(&back);
    scene.host.ip("link set tap0 arp off up");
    scene.is_settled();
    assert_eq!(scene.enforced(), ["tap0"]);
    assert!(scene.goes_on("tap0", 1000) && !scene.lets_in("tap0", 1001, 81, SYN));
    // One that takes its name meanwhile is another.
    scene.host.ip(&format!("link set tap0 netns {}", away.path().display()));
    scene
        .host
        .ip("link add tap0 arp off type veth peer name other\n link set other arp off up\n link set tap0 up");
    scene.reconcile();
    assert!(!scene.goes_on("tap0", 1000) && scene.lets_in("tap0", 1001, 80, SYN));
    scene.is_settled();
}

/// L13
#[test]
fn a_namespace_that_dies_takes_its_devices() {
    let mut scene = Scene::new(POLICY, &["tap0", "tap1"]);
    let away = Netns::new();
    scene.host.ip(&format!("link set tap0 netns {}", away.path().display()));
    scene.reconcile();
    drop(away);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while scene.reconcile().released != ["tap0"] {
        assert!(std::time::Instant::now() < deadline, "the device has gone with its namespace");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    scene.is_settled();
    assert_eq!(scene.enforced(), ["tap1"]);
}
