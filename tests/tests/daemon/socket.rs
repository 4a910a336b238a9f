//! The control socket: who may use it, what it serves, and clients that mean no good.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    time::{Duration, Instant},
};

use serde_json::Value;
use sg_tests::daemon::{Client, Daemon};

use super::{Scene, policy};

const STATUS: &str = r#"{"status": {"json": true}}"#;

/// Attaching must not take longer, however busy the machine is that tests run on. On an idle one it takes far less.
const ATTACH_TIME: Duration = Duration::from_secs(5);

/// Every verb is served, and says over the socket what it says on the command line.
#[test]
fn every_verb_is_served() {
    let scene = Scene::new("80");
    let daemon = Daemon::start(&scene.agent);
    scene.expect("web", [true, false]);
    let mode = fs::metadata(daemon.socket()).expect("the socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut client = daemon.connect();
    let result = |answer: Value| {
        assert_eq!(answer["status"], 0, "{answer}");
        answer["result"].clone()
    };
    let status = result(client.ask(STATUS));
    assert_eq!((&status["generation"], &status["reload"]["ok"]), (&1.into(), &true.into()));
    assert_eq!(result(client.ask(r#"{"rules": {"json": true}}"#)).as_array().expect("rules").len(), 2);
    let stats = result(client.ask(r#"{"stats": {"interface": "tap0", "json": true}}"#));
    assert!(stats["interfaces"][0]["ingress"]["allowed"].as_u64() > Some(0), "{stats}");
    let list = r#"{"conntrack": {"list": {"protocol": "tcp", "json": true}}}"#;
    assert_eq!(result(client.ask(list))[0]["opener"], "ingress");
    assert!(result(client.ask(r#"{"conntrack": {"count": {"json": true}}}"#))["entries"].as_u64() > Some(0));
    assert!(result(client.ask(r#"{"conntrack": {"flush": {"json": true}}}"#))["flushed"].as_u64() > Some(0));
    let question = r#"{"explain": {"interface": "tap0", "direction": "ingress", "protocol": "tcp", "port": 81,
        "remote": "203.0.113.7", "json": true}}"#;
    assert_eq!(result(client.ask(&question.replace('\n', " ")))["verdict"], "deny");
    assert_eq!(client.ask(r#"{"attach": {"interface": "tap1", "groups": ["web"]}}"#)["generation"], 2);
    assert_eq!(client.ask(r#"{"detach": {"interface": "tap1"}}"#)["generation"], 3);
    for (command, status, why) in [
        (r#"{"unload": {}}"#, 4, "stop it first"),
        (r#"{"confirm": {}}"#, 4, "nothing waits"),
        (r#"{"rollback": {}}"#, 4, "no policy before"),
        (r#"{"attach": {"interface": "tap1", "groups": ["wbe"]}}"#, 1, "did you mean `web`"),
        (r#"{"attach": {"interface": "tap9", "groups": ["web"]}}"#, 3, "no interface tap9"),
    ] {
        let answer = client.ask(command);
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(answer["status"] == status && error.contains(why), "{command}: {answer}");
    }
}

/// The command line has the daemon do it, with the same words and the same exit status.
#[test]
fn the_command_line_goes_through_it() {
    let scene = Scene::new("80");
    let daemon = Daemon::start(&scene.agent);
    let good = scene.agent.write("good.yaml", &policy("81")).to_string_lossy().into_owned();
    let bad = policy("81").replace("protocol", "protokol");
    let bad = scene.agent.write("bad.yaml", &bad).to_string_lossy().into_owned();
    let missing = policy("81").replace("tap0", "tap00");
    let missing = scene.agent.write("missing.yaml", &missing).to_string_lossy().into_owned();
    let run = |arguments: &[&str]| {
        let run = scene.agent.run(arguments);
        (run.status, run.stdout, run.stderr)
    };
    let through = [&bad, &missing, &good].map(|file| run(&["apply", file]));
    let forecast = run(&["apply", "--dry-run", &good]);
    let wrong = run(&["attach", "tap1", "--group", "wbe"]);
    assert!(run(&["unload"]).2.contains("stop it first"));
    drop(daemon);
    let alone = [&bad, &missing, &good].map(|file| run(&["apply", file]));
    assert_eq!((&through[..2], through[2].0), (&alone[..2], alone[2].0));
    assert_eq!(through[2].1, "generation 2: in force; interface tap0\n");
    assert_eq!(run(&["apply", "--dry-run", &good]), forecast);
    assert_eq!(run(&["attach", "tap1", "--group", "wbe"]), wrong);
}

/// A change on trial that is confirmed stays, and one that is not goes, while the daemon has the tables open.
#[test]
fn a_change_on_trial() {
    let scene = Scene::new("80");
    let mut daemon = Daemon::start(&scene.agent);
    let file = scene.agent.write("trial.yaml", &policy("81")).to_string_lossy().into_owned();
    let try_it = || assert_eq!(scene.agent.run(&["apply", "--confirm-within", "60s", &file]).status, 0);
    try_it();
    scene.expect("web", [false, true]);
    assert_eq!(daemon.ask(r#"{"attach": {"interface": "tap1", "groups": ["web"]}}"#)["status"], 4);
    sg_tests::clock::Clock::of(&scene.net.host).advance_seconds(61);
    scene.expect("web", [true, false]);
    daemon.wait("the end of the trial", |daemon| {
        (daemon.ask(r#"{"attach": {"interface": "tap1", "groups": ["web"]}}"#)["status"] == 0).then_some(())
    });
    assert!(daemon.ask(r#"{"confirm": {}}"#)["status"] == 4);
    try_it();
    assert_eq!(daemon.ask(r#"{"confirm": {}}"#)["status"], 0);
    scene.expect("web", [false, true]);
    assert_eq!(daemon.ask(r#"{"rollback": {}}"#)["status"], 0);
    scene.expect("web", [true, false]);
    assert_eq!(scene.agent.run(&["apply", "--confirm-within", "1s", "--wait", &file]).status, 4);
    scene.expect("web", [true, false]);
}

/// E11: what is no request is told so, and what is no line ends the client alone.
#[test]
fn malformed_requests_are_refused() {
    let scene = Scene::new("80");
    let daemon = Daemon::start(&scene.agent);
    let mut client = daemon.connect();
    let deep = "[".repeat(60_000);
    let bad: [&[u8]; 9] = [
        b"",
        b"hello",
        b"{}",
        b"{\"version\": 1}",
        b"{\"version\": 99, \"command\": {\"confirm\": {}}}",
        b"{\"version\": 1, \"command\": {\"confirm\": {}}, \"more\": 1}",
        b"\xff\xfe\x00",
        b"{\"version\": 1, \"command\": {\"attach\": {\"interface\": \"\\u0000\"}}}",
        deep.as_bytes(),
    ];
    for bytes in bad {
        assert!(client.send(&[bytes, b"\n"].concat()));
        let line = client.line().expect("an answer");
        let answer: Value = serde_json::from_str(&line).expect("JSON");
        assert!(answer["status"] != 0 && answer["error"].is_string(), "{line}");
    }
    assert_eq!(client.ask(STATUS)["result"]["generation"], 1);
    // Half a line, and gone.
    assert!(daemon.connect().send(b"{\"version\": 1"));
    assert_eq!(daemon.ask(STATUS)["status"], 0);
}

/// E11: lines without an end cost no memory to speak of, and nobody's time but the sender's.
#[test]
fn a_huge_line_harms_nobody() {
    let scene = Scene::new("80");
    let daemon = Daemon::start(&scene.agent);
    let before = memory(&daemon);
    let chunk = vec![b' '; 1 << 20];
    // One may send a long line at a time: the others get as far as a short one.
    let mut senders: Vec<Client> = (0..20).map(|_| daemon.connect()).collect();
    std::thread::scope(|scope| {
        for sender in &mut senders {
            scope.spawn(|| (0..300).take_while(|_| sender.send(&chunk)).count());
        }
        std::thread::sleep(Duration::from_secs(1));
        let begun = Instant::now();
        assert_eq!(daemon.ask(STATUS)["status"], 0);
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
        // The one whose turn it is may take so much and no more.
        let most = (0..20)
            .map(|_| {
                std::thread::sleep(Duration::from_millis(100));
                memory(&daemon)
            })
            .max();
        assert!(most < Some(before + (700 << 10)), "{before} KiB, then {most:?}");
        daemon.signal(nix::sys::signal::Signal::SIGKILL);
    });
}

/// Resident memory in KiB.
fn memory(daemon: &Daemon<'_>) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("the daemon's process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// E11: a client that sends slowly, or does not read its answers, is cut off; others do not notice.
#[test]
fn slow_clients_are_cut_off() {
    let scene = Scene::new("80");
    let mut daemon = Daemon::start(&scene.agent);
    let (mut silent, mut half) = (daemon.connect(), daemon.connect());
    let mut deaf = daemon.connect();
    let request = format!("{{\"version\": 1, \"command\": {STATUS}}}\n");
    assert!(half.send(b"{\"version\""));
    // Until the daemon has no room for answers and takes no more.
    let stopper = std::thread::spawn(move || {
        while deaf.send(request.as_bytes()) {}
        deaf
    });
    let begun = Instant::now();
    assert_eq!(daemon.ask(STATUS)["status"], 0);
    let told = |client: &mut Client| client.line().unwrap_or_default();
    assert!(told(&mut silent).contains("no whole line") && told(&mut half).contains("no whole line"));
    assert!(begun.elapsed() > Duration::from_secs(9), "{:?}", begun.elapsed());
    drop(stopper.join());
    daemon.wait("its clients to go", |daemon| (daemon.ask(STATUS)["status"] == 0).then_some(()));
}

/// E11: a thousand clients at once are all answered, and leave nothing behind.
#[test]
fn a_thousand_clients() {
    let scene = Scene::new("80");
    let mut daemon = Daemon::start(&scene.agent);
    assert_eq!(daemon.ask(STATUS)["status"], 0);
    let before = daemon.descriptors();
    let mut clients: Vec<Client> = (0..1000).map(|_| daemon.connect()).collect();
    for (at, client) in clients.iter_mut().enumerate() {
        let request = format!("{{\"version\": 1, \"id\": {at}, \"command\": {{\"confirm\": {{}}}}}}\n");
        assert!(client.send(request.as_bytes()));
    }
    // Who has its answer goes, and makes room.
    for (at, mut client) in clients.into_iter().enumerate() {
        let line = client.line().unwrap_or_default();
        assert!(line.contains(&format!("\"id\":{at},\"status\":4")), "{at}: {line}");
    }
    daemon.wait("its descriptors", |daemon| (daemon.descriptors() <= before).then_some(()));
}

/// `attach` and `detach` through the daemon return soon.
#[test]
fn attaching_takes_no_time() {
    let scene = Scene::new("80");
    let daemon = Daemon::start(&scene.agent);
    let mut client = daemon.connect();
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..20 {
        for command in [
            r#"{"attach": {"interface": "tap1", "groups": ["web"]}}"#,
            r#"{"detach": {"interface": "tap1"}}"#,
        ] {
            let begun = Instant::now();
            assert_eq!(client.ask(command)["status"], 0);
            times.push(begun.elapsed());
        }
    }
    times.sort_unstable();
    println!("attach, detach: median {:?}, longest {:?}", times[times.len() / 2], times[times.len() - 1]);
    assert!(times[times.len() / 2] < ATTACH_TIME);
    scene.expect("web", [true, false]);
}
