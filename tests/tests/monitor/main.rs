//! What happens is told as it happens: exactly, within bounds, and only while somebody listens.

mod audit;
mod bounds;
mod screen;

use std::{
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use sg_agent::{
    events::{Event, What},
    policy::model::Direction,
};
use sg_common::verdict::Reason;
use sg_tests::{
    life::{Life, Plane},
    monitor::{Monitor, is_heard_for},
    packets::{
        Transport,
        flag::{ACK, FIN, RST, SYN},
    },
    progrun::Hook,
    wire::Family,
};

const WITH_WEB: &str = "{description: web, direction: ingress, protocol: tcp, ports: 80}, ";

fn policy(web: &str) -> String {
    format!(
        "version: 1
settings: {{limits: {{policy_bytes: 1048576, fragments: 1024}}, conntrack: {{max_entries: 4096}}}}
security_groups:
  guest:
    default_policy: {{ingress: deny, egress: deny}}
    rules: [{web}{{description: no telnet, direction: ingress, protocol: tcp, ports: 23, action: deny}}, \
         {{direction: egress, protocol: udp, ports: 53}}]
interfaces:
  - {{name: tap0, role: guest, groups: [guest], addresses: [10.9.2.2, \"fd02::2\"]}}
"
    )
}

fn plane() -> Plane {
    Plane::new(&["tap0"], &policy(WITH_WEB))
}

fn on(plane: &Plane, family: Family) -> Life<'_> {
    Life { plane, device: "tap0", family, receive: Hook::TcxIngress }
}

/// An event in a line: what, why, which way, how much, which rule.
fn words(event: &Event) -> String {
    let way = match event.direction() {
        Direction::Ingress => "in",
        Direction::Egress => "out",
    };
    let what = match &event.what {
        What::Dropped { reason, .. } => format!("dropped {way}, {reason}"),
        What::Audited { reason, .. } => format!("audited {way}, {reason}"),
        What::Opened { .. } => format!("opened {way}"),
        What::Closed { how, packets, .. } => {
            format!("closed {way}, {}, {}/{}", how.word(), packets.ingress, packets.egress)
        }
    };
    let rule = event.rule.as_ref().map_or_else(String::new, |rule| {
        format!(", {}#{} {}", rule.group, rule.rule, rule.description).trim_end().to_owned()
    });
    let port = event.local.and_then(|end| end.port).map_or_else(String::new, |port| format!(" :{port}"));
    format!("{} {}{port} {what}{rule}", event.interface, event.protocol.as_deref().unwrap_or("-"))
}

#[track_caller]
fn told(monitor: &mut Monitor, expected: &[&str]) -> Vec<Event> {
    let events: Vec<Event> = expected.iter().map(|_| monitor.event()).collect();
    assert_eq!(events.iter().map(words).collect::<Vec<_>>(), expected);
    events
}

/// A monitor with these options, which is heard; its output is in a pipe.
fn start(plane: &Plane, options: &[&str]) -> Child {
    let mut command = Command::new(sg_tests::agent::binary());
    command.arg("--state-dir").arg(plane.agent.state_dir()).arg("monitor").args(options);
    command.stdout(Stdio::piped());
    let child = plane.host.enter(|| command.spawn()).expect("starting the agent");
    while !is_heard_for(plane, Duration::from_secs(2)) {
        thread::sleep(Duration::from_millis(20));
    }
    child
}

/// Drops name their reason and rule, connections who opened them, how they ended and what went through them.
#[test]
fn what_happens_is_told_exactly() {
    for family in Family::BOTH {
        let mut plane = plane();
        let mut monitor = Monitor::start(&plane, &[]);
        drops(&plane, family, &mut monitor);
        a_connection_to_its_fin(&plane, family, &mut monitor);
        others_to_their_end(&plane, family, &mut monitor);
        a_cut(&mut plane, family, &mut monitor);
        let (left, missed) = (monitor.told(Duration::from_secs(3)), monitor.missed);
        assert_eq!((left, missed.total()), (None, 0));
    }
}

fn drops(plane: &Plane, family: Family, monitor: &mut Monitor) {
    let life = on(plane, family);
    life.is_kept_out(Reason::Rule, &Transport::tcp(40_000, 23, SYN));
    life.is_kept_out(Reason::Default, &Transport::udp(40_000, 9));
    life.is_kept_out(Reason::NoConnection, &Transport::tcp(40_000, 80, ACK));
    life.is_kept_in(Reason::Default, &Transport::tcp(40_000, 80, SYN));
    let events = told(
        monitor,
        &[
            "tap0 tcp :23 dropped in, rule, guest#1 no telnet",
            "tap0 udp :9 dropped in, default",
            "tap0 tcp :80 dropped in, no-connection, guest#0 web",
            "tap0 tcp :40000 dropped out, default",
        ],
    );
    let [local, remote] = [events[0].local, events[0].remote].map(|end| end.expect("an end"));
    assert_eq!((local.address, remote.address, remote.port), (family.guest(), family.peer(), Some(40_000)));
}

fn a_connection_to_its_fin(plane: &Plane, family: Family, monitor: &mut Monitor) {
    let life = on(plane, family);
    life.enters(&Transport::tcp(41_000, 80, SYN));
    life.leaves(&Transport::tcp(80, 41_000, SYN | ACK));
    life.enters(&Transport::tcp(41_000, 80, ACK));
    told(monitor, &["tap0 tcp :80 opened in, guest#0 web"]);
    life.enters(&Transport::tcp(41_000, 80, FIN | ACK));
    life.leaves(&Transport::tcp(80, 41_000, FIN | ACK));
    life.waits(31);
    let closed = told(monitor, &["tap0 tcp :80 closed in, fin, 3/2, guest#0 web"]).remove(0);
    let What::Closed { bytes, duration_seconds, .. } = closed.what else { panic!("{closed:?}") };
    assert!(bytes.ingress > 0 && bytes.egress > 0 && (29.9..60.0).contains(&duration_seconds), "{closed:?}");
    monitor.is_heard(plane);
}

fn others_to_their_end(plane: &Plane, family: Family, monitor: &mut Monitor) {
    let life = on(plane, family);
    life.leaves(&Transport::udp(42_000, 53));
    told(monitor, &["tap0 udp :42000 opened out, guest#2"]);
    life.waits(31);
    told(monitor, &["tap0 udp :42000 closed out, expired, 0/1, guest#2"]);
    monitor.is_heard(plane);
    life.enters(&Transport::tcp(42_000, 80, SYN));
    life.enters(&Transport::tcp(42_000, 80, RST));
    // A SYN on what is closing: one ends, another begins.
    life.enters(&Transport::tcp(42_000, 80, SYN));
    assert_eq!(plane.agent.run(&["conntrack", "flush"]).status, 0);
    told(
        monitor,
        &[
            "tap0 tcp :80 opened in, guest#0 web",
            "tap0 tcp :80 closed in, rst, 2/0, guest#0 web",
            "tap0 tcp :80 opened in, guest#0 web",
            "tap0 tcp :80 closed in, flushed, 1/0, guest#0 web",
        ],
    );
}

fn a_cut(plane: &mut Plane, family: Family, monitor: &mut Monitor) {
    on(plane, family).enters(&Transport::tcp(43_000, 80, SYN));
    told(monitor, &["tap0 tcp :80 opened in, guest#0 web"]);
    plane.apply(&policy(""));
    on(plane, family).is_kept_out(Reason::Cut, &Transport::tcp(43_000, 80, ACK));
    let events = [monitor.event(), monitor.event()].map(|event| words(&event));
    assert_eq!(events, ["tap0 tcp :80 closed in, cut, 1/0, guest#0 web", "tap0 tcp :80 dropped in, cut"]);
}

/// Filters narrow what is told, `--count` ends it.
#[test]
fn filters_narrow_and_a_count_ends() {
    let plane = plane();
    let options = ["--only", "dropped", "--reason", "rule", "--interface", "tap0", "--count", "1"];
    let mut monitor = Monitor::start(&plane, &options);
    let life = on(&plane, Family::V4);
    life.enters(&Transport::tcp(40_000, 80, SYN));
    life.is_kept_out(Reason::Default, &Transport::udp(40_000, 9));
    life.is_kept_out(Reason::Rule, &Transport::tcp(40_000, 23, SYN));
    told(&mut monitor, &["tap0 tcp :23 dropped in, rule, guest#1 no telnet"]);
    let nobody = plane.agent.run(&["monitor", "--only", "dropped", "--reason", "ruel"]);
    assert_eq!(nobody.status, 2);
    assert!(nobody.stderr.contains("did you mean `rule`?"), "{}", nobody.stderr);
}

/// The journal gets an entry with fields.
#[test]
fn the_journal_is_told() {
    let plane = plane();
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("journal");
    let journal = std::os::unix::net::UnixDatagram::bind(&socket).expect("a socket");
    journal.set_read_timeout(Some(Duration::from_secs(60))).expect("a time limit");
    let path = socket.to_string_lossy().into_owned();
    let nowhere = plane.agent.run(&["monitor", "--journald", "--journal-socket", "/nowhere"]);
    assert_eq!(nowhere.status, 3, "{}", nowhere.stderr);
    let mut child = start(&plane, &["--journald", "--count", "1", "--journal-socket", &path]);
    on(&plane, Family::V4).is_kept_out(Reason::Rule, &Transport::tcp(40_000, 23, SYN));
    let mut buffer = [0; 4096];
    let length = journal.recv(&mut buffer).expect("an entry");
    let entry = String::from_utf8_lossy(&buffer[..length]);
    assert!(entry.contains("SG_REASON=rule\n") && entry.contains("SG_DESCRIPTION=no telnet\n"), "{entry}");
    assert!(child.wait().expect("its end").success());
}
