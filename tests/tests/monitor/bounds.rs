//! Nothing is told to nobody, and not more than asked for to anybody.

use std::{thread, time::Duration};

use nix::sys::signal::Signal;
use sg_agent::events::Told;
use sg_common::{
    events::{Kind, Told as Counts},
    verdict::Reason,
};
use sg_tests::{
    life::Plane,
    monitor::{Monitor, is_heard_for},
    packets::{Ethernet, Transport, flag::SYN},
    progrun::{Hook, pins},
    wire::Family,
};

use super::{audit, on, plane, start};

/// How many events of a kind there were to tell, and how many were told, since the tables were made.
pub(super) fn counts_of(plane: &Plane, kind: Kind) -> (u64, u64) {
    let data = aya::maps::MapData::from_pin(pins(&plane.host).join("TOLD")).expect("the table of counts");
    let map = aya::maps::Map::from_map_data(data).expect("its kind");
    let table = aya::maps::PerCpuArray::<_, Counts>::try_from(map).expect("its kind");
    let by_cpu = table.get(&0, 0).expect("the counts");
    let of_kind = by_cpu.iter().map(|told| told.0[kind as usize]);
    of_kind.fold((0, 0), |sum, one| (sum.0 + one.seen, sum.1 + one.told))
}

fn counts(plane: &Plane) -> (u64, u64) {
    counts_of(plane, Kind::Dropped)
}

fn drop_one(plane: &Plane) {
    on(plane, Family::V4).is_kept_out(Reason::Rule, &Transport::tcp(40_000, 23, SYN));
}

/// Sends a packet that is dropped, or would be, again and again; runs of the program of which one packet is one.
fn flood(plane: &Plane, packets: u32) {
    let frame = Ethernet::default().ip(&Family::V4.inward(), &Transport::tcp(40_000, 23, SYN));
    plane.programs.repeat(Hook::TcxEgress, plane.ifindex("tap0"), &frame, packets);
}

/// How many of so many events a monitor shows, once it has told of all.
#[track_caller]
fn shown_of(monitor: &mut Monitor, events: u64) -> u64 {
    let mut shown = 0;
    while shown + monitor.missed.total() < events {
        match monitor.told(Duration::from_secs(60)) {
            Some(Told::Event(_)) => shown += 1,
            Some(Told::Missed(missed)) => monitor.missed = monitor.missed.and(missed),
            None => panic!("{shown} shown, {:?} not, nothing more comes", monitor.missed),
        }
    }
    assert_eq!(shown + monitor.missed.total(), events);
    shown
}

/// A38: a flood of drops is told in part, and how much was not is told exactly.
#[test]
fn a_flood_is_bounded_and_counted() {
    const DROPS: u64 = 200_000;
    let plane = plane();
    let mut monitor = Monitor::start(&plane, &["--rate", "100"]);
    flood(&plane, DROPS as u32);
    let shown = shown_of(&mut monitor, DROPS);
    // A hundred a second, and a flood of that size takes less than a few seconds anywhere.
    assert!((1..1_000).contains(&shown), "{shown}");
    assert_eq!((monitor.missed.dropped_not_shown, counts(&plane)), (DROPS - shown, (DROPS, shown)));
}

/// A38: what an audit group would drop is bounded and counted like drops. (The rules decide on each SYN.)
#[test]
fn a_flood_that_would_be_dropped_is_bounded_and_counted() {
    const PACKETS: u64 = 50_000;
    let plane = audit::plane("now, soon");
    let mut monitor = Monitor::start(&plane, &["--only", "audited", "--rate", "100"]);
    flood(&plane, PACKETS as u32);
    let shown = shown_of(&mut monitor, PACKETS);
    assert!((1..1_000).contains(&shown), "{shown}");
    let counts = counts_of(&plane, Kind::Audited);
    assert_eq!((monitor.missed.audited_not_shown, counts), (PACKETS - shown, (PACKETS, shown)));
}

/// Every tenth event is told, the others are counted. Each CPU counts for itself.
#[test]
fn a_sample_is_a_sample() {
    let plane = plane();
    let mut monitor = Monitor::start(&plane, &["--sample", "10"]);
    (0..100).for_each(|_| drop_one(&plane));
    let shown = shown_of(&mut monitor, 100);
    assert!((5..=10).contains(&shown), "{shown}");
    assert_eq!(counts(&plane), (100, shown));
}

/// The kernel side writes no record while nobody listens, or after a listener has ended.
#[test]
fn nobody_is_told_nothing() {
    let plane = plane();
    drop_one(&plane);
    assert_eq!((counts(&plane), plane.counters.loaded.kernel.control().listening), ((0, 0), 0));
    let mut monitor = Monitor::start(&plane, &[]);
    drop_one(&plane);
    monitor.event();
    assert_eq!(monitor.end(Signal::SIGINT), 0);
    assert_eq!(plane.counters.loaded.kernel.control().listening, 0);
    drop_one(&plane);
    assert_eq!(counts(&plane), (1, 1));
}

/// A listener that was killed is heard a few seconds more; the next one begins anew.
#[test]
fn a_killed_listener_is_forgotten() {
    let plane = plane();
    let monitor = Monitor::start(&plane, &[]);
    assert_eq!(monitor.end(Signal::SIGKILL), -1);
    assert!(plane.counters.loaded.kernel.control().listening > 0);
    plane.wait(10_000);
    assert!(!is_heard_for(&plane, Duration::ZERO));
    drop_one(&plane);
    assert_eq!(counts(&plane), (0, 0));
    let mut next = Monitor::start(&plane, &[]);
    drop_one(&plane);
    next.event();
    assert_eq!(counts(&plane), (1, 1));
}

/// The second reader is refused, and told by whom.
#[test]
fn there_is_one_reader() {
    let plane = plane();
    let _first = Monitor::start(&plane, &[]);
    let second = plane.agent.run(&["monitor"]);
    assert_eq!(second.status, 4);
    assert!(second.stderr.contains("is listening already"), "{}", second.stderr);
}

/// A reader of the pipe that goes away ends the monitor, though nothing happens.
#[test]
fn a_monitor_ends_with_its_reader() {
    let plane = plane();
    let mut child = start(&plane, &[]);
    drop(child.stdout.take());
    assert!(child.wait().expect("its end").success());
    assert_eq!(plane.counters.loaded.kernel.control().listening, 0);
}

/// A daemon reads for as many as want to know, and only as long as somebody does.
#[test]
fn a_daemon_tells_many() {
    let plane = plane();
    let policy = plane.agent.write("daemon.yaml", &super::policy(super::WITH_WEB));
    let mut command = std::process::Command::new(sg_tests::agent::binary());
    command.arg("--state-dir").arg(plane.agent.state_dir()).arg("run").arg("--config").arg(policy);
    let mut daemon = plane.host.enter(|| command.spawn()).expect("starting the daemon");
    let socket = plane.agent.state_dir().join(format!("netns-{}/control.sock", plane.host.inode()));
    while !socket.exists() {
        assert!(daemon.try_wait().expect("its state").is_none(), "the daemon ended");
        thread::sleep(Duration::from_millis(50));
    }
    let mut first = Monitor::start(&plane, &["--only", "dropped"]);
    let mut second = Monitor::start(&plane, &["--reason", "rule", "--count", "1"]);
    // The second may subscribe a moment later: the feed is open already.
    let told = loop {
        drop_one(&plane);
        if let Some(told) = second.told(Duration::from_secs(1)) {
            break told;
        }
    };
    assert!(matches!(told, Told::Event(_)), "{told:?}");
    first.event();
    assert_eq!(first.end(Signal::SIGTERM), 0);
    drop(second);
    while plane.counters.loaded.kernel.control().listening != 0 {
        thread::sleep(Duration::from_millis(50));
    }
    daemon.kill().expect("a signal");
    daemon.wait().expect("its end");
}
