//! Nobody can help: the daemon is killed, at any moment, and started again.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sys::signal::Signal;
use sg_tests::{
    daemon::{Daemon, keep_dir, state, write_config},
    progrun::pins,
    tables,
    traffic::{Connection, PATIENT},
};

use super::{
    Scene,
    live::{self, Live},
    policy,
};

/// What the agent alone writes in the kernel, and what it remembers beside it.
#[derive(Debug, PartialEq, Eq)]
pub struct Tables {
    tables: tables::Tables,
    files: BTreeMap<String, Vec<u8>>,
}

impl Tables {
    /// Those of a host.
    #[track_caller]
    pub fn of(scene: &Scene) -> Self {
        let entries = fs::read_dir(state(&scene.agent)).expect("the state directory").flatten();
        let is_file = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "json");
        let files = entries.map(|entry| entry.path()).filter(is_file);
        let read = |path: PathBuf| {
            (
                path.file_name().expect("a name").to_string_lossy().into_owned(),
                fs::read(&path).unwrap_or_default(),
            )
        };
        Self { tables: tables::Tables::of(&scene.net.host), files: files.map(read).collect() }
    }
}

/// Everything that is pinned for a host: what is pinned nowhere goes with the process that has made it.
fn pinned(scene: &Scene) -> Vec<PathBuf> {
    fn below(directory: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(directory).expect("the pins").flatten().map(|entry| entry.path());
        entries.flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] }).collect()
    }
    let mut all = below(pins(&scene.net.host).parent().expect("the directory of all versions"));
    all.sort();
    all
}

/// H01, H02: killed under traffic nothing is lost and nothing leaks; the next one takes over what is in force, writes
/// nothing, and connections go on.
#[test]
fn killed_under_traffic_and_started_again() {
    let scene = Scene::new("80");
    let mut daemon = Daemon::start(&scene.agent);
    let mut held = live::connect(&scene, scene.at("web", 80));
    let live = Live::start(&scene);
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(300));
        daemon.kill();
        let before = Tables::of(&scene);
        std::thread::sleep(Duration::from_millis(300));
        assert!(held.echoes(PATIENT));
        daemon = Daemon::start(&scene.agent);
        assert_eq!(Tables::of(&scene), before);
        assert!(held.echoes(PATIENT));
    }
    live.end();
    assert_eq!(scene.agent.status().generation, 1);
}

/// H05: what a file does not allow any more that was changed while the daemon was dead is gone when the next one says
/// that it is ready, on what is connected too.
#[test]
fn an_old_allow_is_gone_at_once() {
    let scene = Scene::new("80");
    let mut daemon = Daemon::start(&scene.agent);
    let mut held = live::connect(&scene, scene.at("web", 80));
    assert!(held.echoes(PATIENT));
    daemon.kill();
    write_config(&scene.agent, &policy("81"));
    let _daemon = Daemon::start(&scene.agent);
    assert!(!held.echoes(sg_tests::traffic::BRIEF));
    scene.expect("web", [false, true]);
}

/// H05: a change that nobody had the time to write down, and that is taken back while nobody runs, is taken back.
#[test]
fn a_change_that_was_not_written_down_is_no_secret() {
    let scene = Scene::new("80");
    let mut daemon = Daemon::start(&scene.agent);
    let memory = keep_dir(&scene.agent).join(format!("netns-{}/policy.json", scene.net.host.inode()));
    let remembered = daemon.wait("its memory", |_| fs::read(&memory).ok());
    write_config(&scene.agent, &policy("81"));
    daemon.until("READY=1");
    daemon.kill();
    fs::write(&memory, remembered).expect("the memory");
    write_config(&scene.agent, &policy("80"));
    let _daemon = Daemon::start(&scene.agent);
    scene.expect("web", [true, false]);
}

/// H05: what the policy file said before a client had it applied is news, if it says that again after a kill that came before
/// the daemon had looked at it.
#[test]
fn a_file_that_is_changed_back_while_nobody_runs_is_in_force() {
    let scene = Scene::new("80");
    let mut daemon = Daemon::start(&scene.agent);
    write_config(&scene.agent, &policy("81"));
    let path = sg_tests::daemon::config(&scene.agent);
    assert_eq!(scene.agent.run(&["apply", &path.to_string_lossy()]).status, 0);
    daemon.kill();
    scene.expect("web", [false, true]);
    write_config(&scene.agent, &policy("80"));
    let _daemon = Daemon::start(&scene.agent);
    scene.expect("web", [true, false]);
}

/// H03: killed anywhere in a change, the old policy or the new one is in force, whole; nothing is left over.
#[test]
fn killed_anywhere_in_a_change() {
    let scene = Scene::new("80");
    drop(Daemon::start(&scene.agent));
    let before = pinned(&scene);
    let ports = |at: u64| if at.is_multiple_of(2) { "81" } else { "80" };
    for at in 0..rounds() {
        let mut daemon = Daemon::start(&scene.agent);
        write_config(&scene.agent, &policy(ports(at)));
        daemon.signal(Signal::SIGHUP);
        // Spread over the time that a change takes, by a step that is no divisor of it.
        std::thread::sleep(Duration::from_micros(at * 7_919 % 60_000));
        daemon.kill();
        assert_whole(&scene);
    }
    let _daemon = Daemon::start(&scene.agent);
    assert_eq!(pinned(&scene), before);
}

fn rounds() -> u64 {
    std::env::var("SG_KILLS").ok().and_then(|count| count.parse().ok()).unwrap_or(50)
}

/// One port is open, by TCP and UDP, and the other is not.
#[track_caller]
fn assert_whole(scene: &Scene) {
    let explain = |protocol: &str, port: u16| {
        let question = format!(
            "--interface tap0 --direction ingress --protocol {protocol} --remote 203.0.113.7 --port {port} --ignore-conntrack"
        );
        scene.agent.explain(&question).verdict
    };
    let verdicts =
        [("tcp", 80), ("udp", 80), ("tcp", 81), ("udp", 81)].map(|(protocol, port)| explain(protocol, port));
    let is_whole = [["allow", "allow", "deny", "deny"], ["deny", "deny", "allow", "allow"]];
    assert!(is_whole.iter().any(|whole| verdicts == *whole), "{verdicts:?}");
}

/// The pins are removed under the daemon, and its programs come off their hooks with them: it pins and attaches them again,
/// and the connections that there were go on.
#[test]
fn without_its_pins_it_makes_them_again() {
    let scene = Scene::new("80");
    let mut daemon = Daemon::start(&scene.agent);
    let before = pinned(&scene).len();
    let client = scene.net.machine("client");
    let mut held =
        Connection::open(&client.ns, client.v4(), scene.at("web", 80), PATIENT).expect("a connection");
    // It may be making them again already.
    let _ = fs::remove_dir_all(pins(&scene.net.host));
    daemon.wait("the pins", |daemon| daemon.log().contains("pinned again").then_some(()));
    daemon.wait("the hooks", |_| (pinned(&scene).len() == before).then_some(()));
    scene.expect("web", [true, false]);
    assert!(held.echoes(PATIENT));
}
