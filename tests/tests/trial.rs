//! A change on trial: confirmed, or taken back by the kernel side at its deadline, with nobody alive to do it. And the way
//! back after that.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use aya::maps::{Array, Map, MapData};
use sg_common::{control::Control, interface::Interface};
use sg_tests::{
    agent::{self, Agent, Run},
    clock::Clock,
    topology::{Cable, Topology},
    traffic::{self, BRIEF, Connection, Echo, PATIENT},
};

/// Longer than a minute: the time that a change is on trial here.
const OVER: u64 = 61;
const NONE: [u16; 0] = [];

/// Two guests that serve ports 80 and 81, and a client.
struct Scene {
    net: Topology,
    agent: Agent,
    _listeners: Vec<Echo>,
}

impl Scene {
    fn new() -> Self {
        let net = Topology::new(&[
            Cable::new("web", "tap0").address("10.77.1.10/24"),
            Cable::new("db", "tap1").address("10.77.2.10/24"),
            Cable::new("client", "up0").address("203.0.113.7/24"),
        ]);
        let served = [("web", 80), ("web", 81), ("db", 80), ("db", 81)];
        let listen = |(name, port): (&str, u16)| {
            let machine = net.machine(name);
            Echo::tcp(&machine.ns, SocketAddr::new(machine.v4(), port))
        };
        let listeners = served.map(listen).into();
        Self { agent: Agent::new(&net.host), net, _listeners: listeners }
    }

    /// With this policy in force.
    fn with(policy: &str) -> Self {
        let scene = Self::new();
        scene.agent.apply(policy);
        scene
    }

    fn try_it(&self, policy: &str) {
        let run = self.agent.run(&["apply", "--confirm-within", "60s", &self.file(policy)]);
        assert_eq!(run.status, 0, "{}{}", run.stdout, run.stderr);
    }

    fn file(&self, policy: &str) -> String {
        let path: PathBuf = self.agent.write("trial.yaml", policy);
        path.to_string_lossy().into_owned()
    }

    /// The agent's table of this name.
    fn table<T: aya::Pod>(&self, name: &str) -> Array<MapData, T> {
        let path = sg_tests::progrun::pins(&self.net.host).join(name);
        let map = MapData::from_pin(path).expect("a pinned map");
        Array::try_from(Map::Array(map)).expect("an array")
    }

    fn state(&self) -> PathBuf {
        self.agent.state_dir().join(format!("netns-{}", self.net.host.inode()))
    }

    /// Applies `policy` on trial while the agent cannot write `name` in its state directory: there is a directory.
    #[track_caller]
    fn try_without(&self, name: &str, policy: &str) {
        let path = self.state().join(name);
        std::fs::create_dir_all(path.join("occupied")).expect("a directory");
        let run = self.agent.run(&["apply", "--confirm-within", "60s", &self.file(policy)]);
        assert_eq!(run.status, 3, "{}{}", run.stdout, run.stderr);
        std::fs::remove_dir_all(path).expect("the directory");
    }

    /// Lets the time to confirm run out. The agent does not run.
    fn let_time_run_out(&self) {
        Clock::of(&self.net.host).advance_seconds(OVER);
    }

    #[track_caller]
    fn connect(&self, to: &str, port: u16) -> Connection {
        let (from, to) = self.ends(to, port);
        Connection::open(&self.net.machine("client").ns, from, to, PATIENT).expect("a connection")
    }

    /// The ports of `name`, 80 and 81, that the client reaches.
    fn open(&self, name: &str) -> Vec<u16> {
        let reaches = |port: &u16| {
            let (from, to) = self.ends(name, *port);
            traffic::tcp(&self.net.machine("client").ns, from, to, BRIEF)
        };
        [80, 81].into_iter().filter(reaches).collect()
    }

    fn ends(&self, to: &str, port: u16) -> (IpAddr, SocketAddr) {
        (self.net.machine("client").v4(), SocketAddr::new(self.net.machine(to).v4(), port))
    }

    #[track_caller]
    fn refused(&self, arguments: &[&str], said: &[&str]) -> Run {
        let run = self.agent.run(arguments);
        assert_eq!(run.status, 4, "{arguments:?}: {}{}", run.stdout, run.stderr);
        for said in said {
            assert!(run.stderr.contains(said), "{said} in {}", run.stderr);
        }
        run
    }
}

/// `tap0` with a port open.
fn port(port: u16) -> String {
    bound(&format!("{{direction: ingress, protocol: tcp, ports: {port}}}"), &["tap0"])
}

/// These interfaces with these rules.
fn bound(rules: &str, names: &[&str]) -> String {
    let entry = |name: &&str| format!("  - {{name: {name}, role: guest, groups: [web]}}\n");
    let entries: String = names.iter().map(entry).collect();
    format!("version: 1\nsecurity_groups:\n  web:\n    rules: [{rules}]\ninterfaces:\n{entries}")
}

#[test]
fn a_confirmed_change_stays() {
    let scene = Scene::with(&port(80));
    scene.try_it(&port(81));
    let left = scene.agent.status().pending.expect("a change on trial").seconds_left;
    assert!((1..=60).contains(&left), "{left}");
    let people = scene.agent.run(&["status"]).stdout;
    assert!(people.contains("the last change waits for `sg-agent confirm`, "), "{people}");
    assert_eq!(scene.open("web"), [81]);
    let run = scene.agent.run(&["confirm"]);
    assert_eq!((run.status, run.stdout.as_str()), (0, "generation 2: confirmed\n"), "{}", run.stderr);
    scene.let_time_run_out();
    assert_eq!(scene.open("web"), [81]);
    assert!(scene.agent.status().pending.is_none());
    scene.refused(&["confirm"], &["nothing waits"]);
}

#[test]
fn a_change_that_nobody_confirms_is_taken_back_by_the_kernel_side() {
    let scene = Scene::with(&port(80));
    let mut old = scene.connect("web", 80);
    scene.try_it(&port(81));
    let mut new = scene.connect("web", 81);
    scene.let_time_run_out();
    // Nobody has run since.
    assert!(!new.echoes(BRIEF), "opened under a policy that was taken back");
    assert!(old.echoes(PATIENT), "nothing was sent on it meanwhile");
    assert_eq!(scene.open("web"), [80]);
    let status = scene.agent.status();
    assert_eq!((status.generation, status.pending.is_none()), (1, true));
    let people = scene.agent.run(&["status"]).stdout;
    assert!(people.contains("the last change was not confirmed in time"), "{people}");
    let answer = scene.agent.explain(
        "--interface tap0 --direction ingress --protocol tcp --port 80 --remote 203.0.113.7 --ignore-conntrack",
    );
    assert_eq!(answer.verdict, "allow");

    scene.refused(&["confirm"], &["not confirmed in time"]);
    assert_eq!(scene.open("web"), [80]);
    assert!(scene.agent.status().generation > 2, "a generation that no connection has");
    scene.agent.apply(&port(81));
    assert_eq!(scene.open("web"), [81]);
    assert!(!old.echoes(BRIEF));
}

#[test]
fn a_return_clears_what_the_policy_says_it_should() {
    let clear = |ports: &str| {
        let rules = bound(&format!("{{direction: ingress, protocol: tcp, ports: {ports}}}"), &["tap0"]);
        rules.replace("    rules:", "    on_ingress_change: clear\n    rules:")
    };
    let scene = Scene::with(&clear("80"));
    scene.try_it(&clear("80-81"));
    let mut new = scene.connect("web", 80);
    assert!(new.echoes(PATIENT));
    scene.let_time_run_out();
    assert!(!new.echoes(BRIEF));
    assert_eq!(scene.open("web"), [80]);
}

#[test]
fn an_agent_that_is_killed_takes_nothing_with_it() {
    let scene = Scene::with(&port(80));
    let file = scene.file(&port(81));
    let mut command = Command::new(agent::binary());
    command.arg("--state-dir").arg(scene.agent.state_dir());
    command.args(["apply", "--confirm-within", "3s", "--wait", &file]).stdout(Stdio::null());
    let mut waiting = scene.net.host.enter(|| command.spawn()).expect("the agent");
    let until = Instant::now() + Duration::from_secs(20);
    while scene.agent.status().generation == 1 && Instant::now() < until {
        std::thread::sleep(BRIEF);
    }
    waiting.kill().and_then(|()| waiting.wait()).expect("a dead agent");
    while scene.open("web") != [80] {
        assert!(Instant::now() < until, "the policy before has not come back");
    }
}

#[test]
fn waiting_ends_with_the_confirmation_or_with_status_4() {
    let scene = Scene::with(&port(80));
    scene.refused(&["apply", "--confirm-within", "1s", "--wait", &scene.file(&port(81))], &["not confirmed"]);
    let file = scene.file(&port(81));
    let run = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| scene.agent.run(&["apply", "--confirm-within", "1h", "--wait", &file]));
        while scene.agent.run(&["confirm"]).status != 0 {
            std::thread::sleep(BRIEF);
        }
        waiting.join().expect("the waiting agent")
    });
    assert_eq!(run.status, 0, "{}", run.stderr);
    assert!(run.stdout.contains("comes back in 1h unless"), "{}", run.stdout);
}

#[test]
fn nothing_else_changes_while_a_change_is_on_trial() {
    let scene = Scene::with(&port(80));
    scene.try_it(&port(81));
    let file = scene.file(&port(80));
    for arguments in [
        &["apply", &file][..],
        &["apply", "--confirm-within", "1m", &file],
        &["attach", "tap1", "--group", "web"],
        &["detach", "tap0"],
    ] {
        scene.refused(arguments, &["`sg-agent confirm` or `sg-agent rollback` first"]);
    }
    assert_eq!(scene.agent.run(&["rollback"]).status, 0);
    assert_eq!(scene.open("web"), [80]);
    scene.try_it(&port(81));
    assert_eq!(scene.agent.run(&["unload"]).status, 0);
    assert!(!sg_tests::progrun::pins(&scene.net.host).exists());
    assert_eq!(scene.open("web"), [80, 81]);
}

/// Killed between arming and switching, the agent leaves a deadline for a change that never came.
#[test]
fn a_change_that_was_never_made_is_not_taken_back() {
    let scene = Scene::with(&port(80));
    let mut map: Array<_, Control> = scene.table("CONTROL");
    let control = map.get(&0, 0).expect("the control line");
    map.set(0, Control { deadline: u64::MAX, fallback: control.word, ..control }, 0).expect("a deadline");
    assert!(scene.agent.status().pending.is_none());
    scene.refused(&["confirm"], &["nothing waits"]);
    map.set(0, Control { deadline: 1, fallback: control.word, ..control }, 0).expect("a deadline");
    assert_eq!(scene.open("web"), [80]);
    scene.agent.apply(&port(81));
    assert_eq!(scene.open("web"), [81]);
}

#[test]
fn a_change_of_interfaces_is_taken_back_too() {
    const HTTP: &str = "{direction: ingress, protocol: tcp, ports: 80}";
    let scene = Scene::with(&bound(HTTP, &["tap0"]));
    let mut held = scene.connect("web", 80);
    scene.try_it(&bound(HTTP, &["tap1"]));
    assert_eq!((scene.open("web"), scene.open("db")), (vec![80, 81], vec![80]));
    assert!(held.echoes(PATIENT));
    scene.let_time_run_out();
    assert_eq!((scene.open("web"), scene.open("db")), (vec![80], vec![80, 81]));
    assert!(held.echoes(PATIENT));
    scene.agent.apply(&bound(HTTP, &["tap0"]));
    assert_eq!((scene.open("web"), scene.open("db")), (vec![80], vec![80, 81]));

    scene.try_it(&bound(HTTP, &["tap1"]));
    assert_eq!(scene.agent.run(&["confirm"]).status, 0);
    assert_eq!((scene.open("web"), scene.open("db")), (vec![80, 81], vec![80]));
    let enforced: Vec<String> = scene.agent.status().interfaces.into_iter().map(|one| one.name).collect();
    assert_eq!(enforced, ["tap1"]);
}

#[test]
fn a_change_of_members_is_taken_back_too() {
    let with = |members: &str| {
        let group = format!("members: [{members}]\n    rules:");
        bound("{direction: ingress, protocol: tcp, ports: 80, remote: \"group:web\"}", &["tap0"])
            .replace("rules:", &group)
    };
    let (stranger, client) = (with("203.0.113.8"), with("203.0.113.7"));
    let scene = Scene::with(&client);
    scene.try_it(&stranger);
    assert_eq!(scene.open("web"), NONE);
    scene.let_time_run_out();
    assert_eq!(scene.open("web"), [80]);
    // The kernel side's return is made lasting.
    scene.refused(&["confirm"], &["not confirmed in time"]);
    assert_eq!(scene.open("web"), [80]);
    scene.agent.apply(&stranger);
    assert_eq!(scene.open("web"), NONE);
    scene.try_it(&client);
    assert_eq!(scene.open("web"), [80]);
    assert_eq!(scene.agent.run(&["rollback"]).status, 0);
    assert_eq!(scene.open("web"), NONE);
    scene.try_it(&client);
    assert_eq!(scene.agent.run(&["confirm"]).status, 0);
    assert_eq!(scene.open("web"), [80]);
}

#[test]
fn the_first_policy_on_a_host_can_be_on_trial() {
    let scene = Scene::new();
    scene.try_it(&port(80));
    assert_eq!(scene.open("web"), [80]);
    scene.let_time_run_out();
    assert_eq!(scene.open("web"), [80, 81]);
    assert_eq!(scene.agent.run(&["status"]).status, 3);
    scene.refused(&["confirm"], &["not confirmed in time"]);
    assert!(!sg_tests::progrun::pins(&scene.net.host).exists());

    scene.try_it(&port(80));
    let run = scene.agent.run(&["rollback"]);
    assert_eq!((run.status, run.stdout.contains("nothing is filtered")), (0, true), "{}", run.stderr);
    assert_eq!(scene.open("web"), [80, 81]);
}

#[test]
fn a_rollback_goes_back_one_policy() {
    let scene = Scene::with(&port(80));
    scene.refused(&["rollback"], &["no policy before"]);
    scene.try_it(&port(81));
    assert_eq!(scene.agent.run(&["confirm"]).status, 0);
    assert_eq!(scene.agent.run(&["rollback"]).status, 0);
    assert_eq!(scene.open("web"), [80]);
    scene.refused(&["rollback"], &["no policy before"]);
    scene.agent.apply(&port(81));
    // The same again is no change.
    scene.agent.apply(&port(81));
    let mut held = scene.connect("web", 81);
    assert_eq!(scene.agent.run(&["rollback"]).status, 0);
    assert_eq!(scene.open("web"), [80]);
    assert!(!held.echoes(BRIEF));
}

#[test]
fn hits_go_on_over_a_return() {
    const TWO: &str =
        "{direction: ingress, protocol: tcp, ports: 80}, {direction: ingress, protocol: tcp, ports: 81}";
    let scene = Scene::with(&bound(TWO, &["tap0"]));
    let hits = |index: usize| scene.agent.rules()[index].packets;
    assert_eq!(scene.open("web"), [80, 81]);
    let before = [hits(0), hits(1)];
    assert!(before[0] > 0 && before[1] > 0);
    // Rule 1 becomes rule 0.
    scene.try_it(&port(81));
    assert_eq!(scene.open("web"), [81]);
    let meanwhile = hits(0);
    assert!(meanwhile > before[1], "{meanwhile} {before:?}");
    assert_eq!(scene.agent.run(&["rollback"]).status, 0);
    assert_eq!([hits(0), hits(1)], [before[0], meanwhile]);
}

/// Once its links are taken over there are no tables of the other version to come back to.
#[test]
fn no_change_is_on_trial_over_another_version() {
    let scene = Scene::with(&port(80));
    let pins = sg_tests::progrun::pins(&scene.net.host);
    std::fs::rename(&pins, pins.with_file_name("v0")).expect("another version");
    let file = scene.file(&port(81));
    let arguments = ["apply", "--confirm-within", "60s", &file];
    scene.refused(&arguments, &["of another version", "without --confirm-within first"]);
    assert_eq!(scene.open("web"), [80]);
    let status = scene.agent.run(&["status"]);
    assert!(status.stderr.contains("v0"), "{}", status.stderr);
    scene.agent.apply(&port(81));
    scene.try_it(&port(80));
    assert_eq!(scene.open("web"), [80]);
    scene.let_time_run_out();
    assert_eq!(scene.open("web"), [81]);
}

#[test]
fn a_trial_whose_books_cannot_be_kept_is_over() {
    let scene = Scene::with(&port(80));
    let mut old = scene.connect("web", 80);
    scene.try_without("counters-2.json", &port(81));
    let status = scene.agent.status();
    assert!(status.pending.is_none(), "{:?}", status.pending);
    assert_eq!(scene.open("web"), [80]);
    scene.let_time_run_out();
    assert!(old.echoes(PATIENT));
    scene.agent.apply(&port(81));
    assert_eq!(scene.open("web"), [81]);
}

/// The next plan has the generation of the refused one.
#[test]
fn members_of_a_refused_trial_are_nobody() {
    let with = |member: &str| {
        let rule = "{direction: ingress, protocol: tcp, ports: 80, remote: \"group:admin\"}";
        let admin = format!("security_groups:\n  admin: {{members: [{member}]}}");
        bound(rule, &["tap0"]).replace("security_groups:", &admin)
    };
    let scene = Scene::with(&port(81));
    scene.try_without("trial.json", &with("203.0.113.7"));
    assert_eq!(scene.open("web"), [81]);
    scene.agent.apply(&with("203.0.113.8"));
    assert_eq!(scene.agent.status().generation, 2);
    assert_eq!(scene.open("web"), NONE);
}

/// Killed after the switch, the agent leaves the directory of the policy before as it was.
#[test]
fn the_next_writer_readies_what_a_killed_agent_has_not() {
    let scene = Scene::with(&port(80));
    let mut directory: Array<_, Interface> = scene.table("DIRECTORY");
    let rows: Vec<Interface> = directory.iter().map(|row| row.expect("an entry")).collect();
    let held = rows.iter().position(|row| row.policy != [0; 2]).expect("the entry of tap0");
    scene.try_it(&port(81));
    let mut new = scene.connect("web", 81);
    assert!(new.echoes(PATIENT));
    directory.set(held as u32, rows[held], 0).expect("the entry as it was");
    scene.let_time_run_out();
    assert_eq!(scene.open("web"), [80]);
    scene.refused(&["confirm"], &["not confirmed in time"]);
    assert!(!new.echoes(BRIEF), "opened under a policy that was taken back");
    assert_eq!(scene.open("web"), [80]);
}

#[test]
fn a_change_that_cannot_be_gone_back_from_is_refused() {
    let scene = Scene::with(&port(80));
    let previous = scene.state().join("previous");
    std::fs::create_dir_all(previous.join("occupied")).expect("a directory");
    assert_eq!(scene.agent.try_apply(&port(81)).status, 3);
    assert_eq!(scene.open("web"), [80]);
    std::fs::remove_dir_all(previous).expect("the directory");
    scene.agent.apply(&port(81));
    assert_eq!(scene.open("web"), [81]);
}
