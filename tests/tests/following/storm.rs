//! Devices made, removed and renamed faster than anybody can look.

use std::{collections::BTreeSet, fs, process::Command, time::Duration};

use aya::{maps::MapInfo, programs::loaded_programs};
use sg_agent::{daemon::devices::Devices, dataplane::Writer};

use crate::{POLICY, Scene, text};

/// Operations of the storm.
const STEPS: usize = 160;

/// What is there of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Counts {
    programs: usize,
    pins: usize,
    slots: usize,
}

fn counts(scene: &Scene) -> Counts {
    let control = MapInfo::from_pin(scene.pins().join("CONTROL")).expect("a table").id();
    let uses = |info: &aya::programs::ProgramInfo| {
        info.map_ids().ok().flatten().is_some_and(|tables| tables.contains(&control))
    };
    let files = |directory: &std::path::Path| fs::read_dir(directory).expect("a directory").count();
    Counts {
        programs: loaded_programs().filter_map(Result::ok).filter(uses).count(),
        pins: files(&scene.pins()) + files(&scene.pins().join("links")),
        slots: scene.status().len(),
    }
}

/// Follows the devices until `is_over`; tells how often it looked.
fn follow(writer: &mut Writer, ready: &std::sync::Barrier, is_over: impl Fn() -> bool) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut devices = Devices::new().expect("a watch");
        ready.wait();
        let mut looks = 0;
        while !is_over() {
            let change = tokio::time::timeout(Duration::from_millis(200), devices.changed()).await;
            if let Ok(gone) = change {
                writer.reconcile_without(&gone.expect("a change")).expect("a look");
                looks += 1;
            }
        }
        looks
    })
}

/// L05, L04: ten names, made, removed and renamed; the end is right and nothing is left behind.
#[test]
fn a_storm_of_devices_leaves_nothing_behind() {
    let mut scene = Scene::new(POLICY, &["tap0"]);
    scene.open_connection("tap0", 1000);
    let before = counts(&scene);
    let host = scene.host.clone();
    let ready = std::sync::Barrier::new(2);
    let looks = std::thread::scope(|scope| {
        let storm = scope.spawn(|| {
            ready.wait();
            (0..STEPS).for_each(|step| blow(&host, step));
        });
        scene.write(|writer| follow(writer, &ready, || storm.is_finished()))
    });
    assert!(looks > 0);
    scene.reconcile();
    scene.is_settled();
    let names = links(&scene);
    assert_eq!(BTreeSet::from_iter(scene.enforced()), names, "every device of a guest, and no other");
    assert!(scene.goes_on("tap0", 1000), "the storm went by");
    for name in names.iter().filter(|name| *name != "tap0") {
        scene.host.ip(&format!("link del {name}"));
    }
    scene.reconcile();
    scene.is_settled();
    let after = counts(&scene);
    assert_eq!(after, before);
}

/// One step: which depends on nothing but its number. What cannot be done is no matter.
fn blow(host: &sg_tests::netns::Netns, step: usize) {
    let (one, other) = (1 + step * 7 % 9, 1 + step * 5 % 9);
    let line = match step % 4 {
        0 | 1 => format!("link add tap{one} arp off type veth peer name end{step}"),
        2 => format!("link set tap{one} name tap{other}"),
        _ => format!("link del tap{other}"),
    };
    host.output(Command::new("ip").args(line.split_whitespace()));
}

/// The guests' devices that there are.
fn links(scene: &Scene) -> BTreeSet<String> {
    let output = scene.host.output(Command::new("ip").args(["-o", "link", "show"]));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let names = text.lines().filter_map(|line| line.split_whitespace().nth(1)?.split([':', '@']).next());
    names.filter(|name| name.starts_with("tap") && name.len() == 4).map(str::to_owned).collect()
}

/// H04, C24: what `changed` tells is enough for a device that goes and comes back with the same name and index.
#[test]
fn a_watch_tells_of_a_device_that_was_replaced() {
    let mut scene = Scene::new(POLICY, &["tap0"]);
    scene.open_connection("tap0", 1000);
    let index = scene.host.ifindex("tap0");
    let host = scene.host.clone();
    let done = scene.write(|writer| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut devices = Devices::new().expect("a watch");
            // Up and down is nothing that matters.
            host.ip("link set tap0 down\n link set tap0 up");
            assert!(tokio::time::timeout(Duration::from_millis(100), devices.changed()).await.is_err());
            host.ip(&format!(
                "link del tap0
                 link add tap0 index {index} arp off type veth peer name tap0x
                 link set tap0x arp off up
                 link set tap0 up"
            ));
            let gone = devices.changed().await.expect("a change");
            assert!(gone.contains(&index), "{gone:?}");
            writer.reconcile_without(&gone).map_err(text)
        })
    });
    assert_eq!(done.unwrap_or_else(|error| panic!("{error}")).bound, ["tap0"]);
    assert_eq!(scene.enforced(), ["tap0"]);
    assert!(!scene.goes_on("tap0", 1000));
}
