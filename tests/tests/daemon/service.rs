//! What a service manager sees: ready, stopping, a watchdog; a second daemon; signals.

use std::{
    fs::{self, File},
    io::Write as _,
    time::{Duration, Instant},
};

use nix::{
    sys::{signal::Signal, stat::Mode},
    unistd::mkfifo,
};
use sg_tests::daemon::{Daemon, config, state, write_config};

use super::{Scene, live, policy};

/// How often the watchdog is fed: four times as often as the manager of these tests asks.
const TURN: Duration = Duration::from_millis(100);

/// H15, E12: ready means in force; a signal to end leaves it in force, and what was connected goes on.
#[test]
fn ready_means_in_force_and_stopping_leaves_it_so() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let scene = Scene::new("80");
        let mut daemon = Daemon::start(&scene.agent);
        scene.expect("web", [true, false]);
        let mut held = live::connect(&scene, scene.at("web", 80));
        assert!(held.echoes(sg_tests::traffic::PATIENT));
        daemon.signal(signal);
        let status = daemon.end();
        assert!(status.success(), "{status}: {}", daemon.log());
        assert!(daemon.told().iter().any(|line| line == "STOPPING=1"));
        assert!(!daemon.socket().exists());
        assert!(held.echoes(sg_tests::traffic::PATIENT));
        scene.expect("web", [true, false]);
    }
}

/// H06: where nothing was ever in force a file that cannot be used is told, and nothing is made.
#[test]
fn without_any_policy_there_is_no_daemon() {
    let scene = Scene::new("80");
    for (text, fault) in
        [(None, "no such file"), (Some(""), "E-"), (Some("version: 1\nbad: 1\n"), "policy.yaml:2:1")]
    {
        match text {
            Some(text) => write_config(&scene.agent, text),
            None => fs::remove_file(config(&scene.agent)).expect("the policy file"),
        }
        let mut daemon = Daemon::spawn(&scene.agent, &[]);
        assert_eq!(daemon.end().code(), Some(1));
        assert!(daemon.log().contains(fault), "{}", daemon.log());
        assert!(!daemon.told().iter().any(|line| line == "READY=1") && !daemon.socket().exists());
        assert!(!sg_tests::progrun::pins(&scene.net.host).exists());
    }
}

/// H09: the second daemon refuses at once and names the first.
#[test]
fn a_second_daemon_refuses() {
    let scene = Scene::new("80");
    let first = Daemon::start(&scene.agent);
    let mut second = Daemon::spawn(&scene.agent, &[]);
    assert_eq!(second.end().code(), Some(4));
    let words = format!("process {} is the daemon here already", first.pid());
    assert!(second.log().contains(&words), "{}", second.log());
    // With files of its own it would still write to the same tables.
    let socket = scene.agent.directory().join("other.sock");
    let mut third = Daemon::spawn(&scene.agent, &["--socket", &socket.to_string_lossy()]);
    assert_eq!(third.end().code(), Some(4));
    let words = format!("process {} is changing the policy", first.pid());
    assert!(third.log().contains(&words), "{}", third.log());
    assert_eq!(first.ask(r#"{"status": {"json": true}}"#)["result"]["generation"], 1);
}

/// The watchdog is fed while the daemon works, and only then; packets are judged all the same.
#[test]
fn the_watchdog_is_fed_by_work() {
    let scene = Scene::new("80");
    let mut daemon = Daemon::start(&scene.agent);
    daemon.told();
    daemon.until("WATCHDOG=1");
    scene.expect("web", [true, false]);
    daemon.signal(Signal::SIGSTOP);
    std::thread::sleep(Duration::from_millis(200));
    daemon.told();
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(daemon.told(), [""; 0]);
    scene.expect("web", [true, false]);
    daemon.signal(Signal::SIGCONT);
    daemon.until("WATCHDOG=1");
}

/// An owner that is stuck feeds nobody, however well the rest of the daemon is; what it was asked for it does when it can.
#[test]
fn a_stuck_owner_starves_the_watchdog() {
    let scene = Scene::new("80");
    let mut daemon = Daemon::start(&scene.agent);
    // The owner reads what it has noted of the policy file before it brings another one into force.
    let noted = state(&scene.agent).join("config.json");
    fs::remove_file(&noted).expect("what it has noted");
    mkfifo(&noted, Mode::S_IRWXU).expect("a pipe in its place");
    write_config(&scene.agent, &policy("81"));
    daemon.until("RELOADING=1");
    // Returns when the owner waits for what comes through the pipe.
    let mut pipe = File::options().write(true).open(&noted).expect("the pipe");
    std::thread::sleep(Duration::from_millis(200));
    daemon.told();
    // More than the watchdog's patience.
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(daemon.told(), [""; 0]);
    assert_eq!(daemon.ask(r#"{"status": {"json": true}}"#)["result"]["generation"], 1);
    scene.expect("web", [true, false]);
    pipe.write_all(b"[]").expect("the pipe");
    drop(pipe);
    daemon.until("READY=1");
    daemon.until("WATCHDOG=1");
    scene.expect("web", [false, true]);
}

/// A manager that hears nothing holds nobody up: commands, reloads, the end.
#[test]
fn a_manager_that_does_not_listen_is_not_waited_for() {
    let scene = Scene::new("80");
    let mut daemon = Daemon::start(&scene.agent);
    daemon.deafen();
    // Longer than the watchdog's turn.
    std::thread::sleep(Duration::from_secs(1));
    daemon.signal(Signal::SIGHUP);
    let reloads = |daemon: &Daemon<'_>| {
        daemon.ask(r#"{"status": {"json": true}}"#)["result"]["reload"]["reloads"].as_u64()
    };
    daemon.wait("the reload", |daemon| reloads(daemon).filter(|reloads| *reloads >= 2));
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end().success());
    scene.expect("web", [true, false]);
}

/// What it was to be fed while it slept it is not fed when it wakes up: it may have asked for a reason.
#[test]
fn a_manager_that_wakes_up_is_fed_for_now_alone() {
    let scene = Scene::new("80");
    let mut daemon = Daemon::start(&scene.agent);
    daemon.deafen();
    // Forty turns of the watchdog.
    std::thread::sleep(40 * TURN);
    let awake = Instant::now();
    daemon.told();
    let mut told = daemon.until("WATCHDOG=1");
    std::thread::sleep(3 * TURN);
    told.extend(daemon.told());
    let fed = told.iter().filter(|line| *line == "WATCHDOG=1").count();
    let due = awake.elapsed().div_duration_f64(TURN);
    assert!((fed as f64) < due + 5.0, "{fed} times, {due} were due");
}

/// E12: what a signal to end meets is finished first.
#[test]
fn a_change_under_way_is_finished() {
    let scene = Scene::new("80");
    let mut daemon = Daemon::start(&scene.agent);
    write_config(&scene.agent, &policy("81"));
    daemon.signal(Signal::SIGHUP);
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end().success());
    let status = scene.agent.status();
    match status.generation {
        1 => scene.expect("web", [true, false]),
        _ => scene.expect("web", [false, true]),
    }
}

/// Clients that stay connected do not hold up the end: one that is silent, and one that listens to what happens.
#[test]
fn clients_do_not_hold_up_the_end() {
    let scene = Scene::new("80");
    let mut daemon = Daemon::start(&scene.agent);
    let _silent = daemon.connect();
    let mut listener = daemon.connect();
    assert!(listener.send(b"{\"version\": 1, \"command\": {\"monitor\": {}}}\n"));
    listener.line();
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end().success());
    scene.expect("web", [true, false]);
}

/// A hook that is told that its interface is enforced starts the guest: who cannot be enforced is an error, with the daemon
/// too. Names that would be read as patterns are refused.
#[test]
fn an_interface_that_cannot_be_enforced_is_an_error() {
    let scene = Scene::new("80");
    let _daemon = Daemon::start(&scene.agent);
    scene.net.host.ip("tuntap add dev tun7 mode tun\nlink add * type veth peer name starp");
    for (name, complaint) in [("tun7", "carries no Ethernet frames"), ("*", "would be read as a pattern")] {
        let run = scene.agent.run(&["attach", name, "--group", "web"]);
        assert!(run.status != 0 && run.stderr.contains(complaint), "{name}: {run:?}");
    }
    let status = scene.agent.status();
    assert!(!status.interfaces.iter().any(|one| one.name == "starp" || one.name == "*"), "{status:?}");
}
