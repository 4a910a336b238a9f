//! What rules have behind them: hits and age go with a rule through changes of policy. And asking leaves no hits.

use std::net::SocketAddr;

use sg_agent::dataplane::{Loaded, Options, place::DEFAULT_BPFFS};
use sg_tests::{
    agent::{Agent, RuleHits, Run},
    netns::Netns,
    packets::Transport,
    topology::{Cable, Topology},
    traffic::{self, Connection, Echo, PATIENT},
    wire::{Family, Wire},
};

const DNS: &str = "{direction: ingress, protocol: udp, ports: 53, description: names}";
const NTP: &str = "{direction: ingress, protocol: udp, ports: 123, description: time}";
const WEB: &str = "{direction: ingress, protocol: tcp, ports: 80, description: web}";

fn policy(rules: &[&str]) -> String {
    format!(
        "security_groups:\n  guest:\n    default_policy: {{ingress: deny, egress: deny}}\n    rules: [{}]",
        rules.join(", ")
    )
}

/// One guest, and datagrams that come in.
struct Scene {
    wire: Wire,
}

impl Scene {
    fn with(rules: &[&str]) -> Self {
        Self { wire: Wire::new(&policy(rules)) }
    }

    fn apply(&self, rules: &[&str]) {
        self.wire.apply(&policy(rules));
    }

    /// A datagram of a flow of its own comes in.
    fn hit(&self, from: u16, port: u16) {
        self.wire.enters(&Family::V4.inward(), &Transport::udp(from, port));
    }

    fn days_pass(&self, days: u64) {
        self.wire.clock().advance_seconds(days * 86_400);
    }

    #[track_caller]
    fn rule(&self, description: &str) -> RuleHits {
        let rules = self.wire.agent.rules();
        let mut found = rules.into_iter().filter(|rule| rule.description == description);
        found.next().unwrap_or_else(|| panic!("no rule {description}"))
    }

    fn unused(&self, span: &str) -> (Vec<String>, Run) {
        let arguments = ["rules", "--unused", span];
        let rules: Vec<RuleHits> = self.wire.agent.read(&arguments);
        (rules.into_iter().map(|rule| rule.description).collect(), self.wire.agent.run(&arguments))
    }
}

/// Whether two times, a second apart at most, are the same: the clocks that they are told by are read one after the other.
fn same_time(one: &Option<String>, other: &Option<String>) -> bool {
    let second = |text: &Option<String>| -> i64 {
        let text = text.as_deref().expect("a time");
        let part = |at: usize| text[at..at + 2].parse::<i64>().expect("two digits");
        ((part(8) * 24 + part(11)) * 60 + part(14)) * 60 + part(17)
    };
    (second(one) - second(other)).abs() <= 1
}

#[test]
fn hits_and_age_go_with_a_rule() {
    let scene = Scene::with(&[DNS, NTP]);
    scene.hit(40_000, 123);
    scene.hit(40_001, 123);
    let before = scene.rule("time");
    assert_eq!((before.packets, before.index), (2, 1));
    scene.days_pass(3);
    // It moves, and others come and go; then its words change.
    let aside = "{direction: ingress, protocol: gre, description: aside}";
    scene.apply(&[WEB, NTP, aside]);
    let clock = "{direction: ingress, protocol: udp, ports: 123, description: clock}";
    scene.apply(&[clock, WEB, aside]);
    let after = scene.rule("clock");
    assert_eq!((after.packets, after.bytes, after.index), (before.packets, before.bytes, 0));
    let ages = |rule: &RuleHits| (rule.last_hit.clone(), rule.in_force_since.clone());
    let ((old_hit, old_start), (hit, start)) = (ages(&before), ages(&after));
    // The clock was moved under the agent: both times seem three days older.
    let moved = ages(&scene.rule("clock"));
    assert!(same_time(&hit, &moved.0) && same_time(&start, &moved.1));
    assert!(!same_time(&hit, &old_hit) && !same_time(&start, &old_start));
    assert!(!same_time(&start, &scene.rule("web").in_force_since), "another rule is younger");
    // It counts on.
    scene.hit(40_002, 123);
    assert_eq!(scene.rule("clock").packets, 3);
    assert!(same_time(&scene.rule("clock").in_force_since, &start));
    // What has been away is new.
    scene.apply(&[WEB]);
    scene.apply(&[WEB, clock]);
    let again = scene.rule("clock");
    assert_eq!((again.packets, again.last_hit.is_none()), (0, true));
    assert!(!same_time(&again.in_force_since, &start));
}

#[test]
fn a_rule_is_unused_once_it_has_been_in_force_so_long() {
    let scene = Scene::with(&[DNS, NTP]);
    scene.hit(40_000, 53);
    let none: [&str; 0] = [];
    assert_eq!(scene.unused("30d").0, none, "nothing is 30 days old");
    assert!(scene.unused("30d").1.stderr.contains("in force for less than 30d: 1"));
    scene.days_pass(31);
    assert_eq!(scene.unused("30d").0, ["names", "time"]);
    scene.hit(40_001, 53);
    scene.apply(&[WEB, DNS, NTP]);
    let (descriptions, people) = scene.unused("30d");
    assert_eq!(descriptions, ["time"]);
    assert!(people.stderr.contains("in force for less than 30d: 1"), "{}", people.stderr);
    scene.days_pass(29);
    assert_eq!(scene.unused("30d").0, ["time"]);
    scene.days_pass(2);
    assert_eq!(scene.unused("30d").0, ["web", "names", "time"]);
    assert_eq!(scene.unused("90d").0, none);
}

/// One rule that lets HTTP in and one that keeps SSH out.
const ASKED: &str = "version: 1\nsecurity_groups:\n  web:\n    rules:\n      \
     - {direction: ingress, protocol: tcp, ports: 80, description: HTTP}\n      \
     - {direction: ingress, protocol: tcp, ports: 22, action: deny, description: no SSH}\n\
     interfaces:\n  - {name: tap0, role: guest, groups: [web], addresses: [10.77.1.10]}\n";

/// What is asked about packets from or to the client: verdict, stage, and the rule of group `web` with its description.
type Question = (&'static str, &'static str, &'static str, Option<(u32, &'static str)>);

const QUESTIONS: [Question; 6] = [
    ("--direction ingress --protocol tcp --port 80", "allow", "rule", Some((0, "HTTP"))),
    ("--direction ingress --protocol tcp --port 22", "deny", "rule", Some((1, "no SSH"))),
    ("--direction ingress --protocol tcp --port 81", "deny", "default", None),
    ("--direction egress --protocol udp --port 53", "allow", "default", None),
    ("--direction egress --protocol tcp --port 25", "deny", "smtp", None),
    ("--direction egress --protocol udp --port 53 --local 10.77.1.11", "deny", "spoofed-address", None),
];

/// A served guest with live connections, and everything that is counted.
#[test]
fn asking_leaves_no_trace() {
    let net = Topology::new(&[
        Cable::new("web", "tap0").address("10.77.1.10/24"),
        Cable::new("client", "up0").address("203.0.113.7/24"),
    ]);
    let agent = Agent::new(&net.host);
    agent.apply(ASKED);
    use_it(&net);
    let tables = || tables(&net.host, &agent);
    let before = tables();
    let asked = |options: &str| agent.explain(&format!("--interface tap0 --remote 203.0.113.7 {options}"));
    for (options, verdict, stage, rule) in QUESTIONS {
        let answer = asked(options);
        assert_eq!((answer.verdict.as_str(), answer.stage.as_str()), (verdict, stage), "{options}");
        let told = (answer.group.as_deref(), answer.rule, answer.description.as_deref());
        let (at, description) = rule.unzip();
        assert_eq!(told, (rule.map(|_| "web"), at, description), "{options}");
    }
    let port = connection_port(&agent);
    let again = format!("--direction ingress --protocol tcp --port 80 --source-port {port}");
    // A new SYN runs the rules again.
    assert_eq!(asked(&again).stage, "rule");
    assert!(tables() == before, "a question has left a trace in the tables");
}

/// Opens a connection that stays in the table and has another refused; then nothing moves any more.
fn use_it(net: &Topology) {
    let (web, client) = (net.machine("web"), net.machine("client"));
    let server = Echo::tcp(&web.ns, SocketAddr::new(web.v4(), 80));
    let mut held =
        Connection::open(&client.ns, client.v4(), server.address(), PATIENT).expect("a connection");
    assert!(held.echoes(PATIENT));
    assert!(!traffic::tcp(&client.ns, client.v4(), SocketAddr::new(web.v4(), 22), traffic::BRIEF));
    // Neither a neighbour's question nor a retransmission shall pass while the tables are compared.
    drop(held);
    net.host.ip("link set tap0 down\nlink set up0 down");
}

/// `explain` says what is missing of a question.
#[test]
fn a_port_is_asked_for_where_there_is_one() {
    let host = Netns::with_devices(&["tap0"]);
    let agent = Agent::new(&host);
    agent.apply(ASKED);
    let question = "explain --interface tap0 --direction ingress --protocol udp --remote 203.0.113.7";
    let run = agent.run(&question.split(' ').collect::<Vec<_>>());
    assert_eq!(run.status, 2);
    assert!(run.stderr.contains("a udp packet goes to a port: add `--port N`"), "{}", run.stderr);
}

/// Every counter and every entry of the connection tables.
fn tables(host: &Netns, agent: &Agent) -> String {
    let options = Options { bpffs: DEFAULT_BPFFS.into(), state_dir: agent.state_dir() };
    host.enter(|| {
        let kernel = Loaded::open(&options).expect("what is in force").kernel;
        let stats = [0, 1].map(|slot| kernel.interface_stats(slot).expect("counters"));
        let used = [0, 1].map(|slot| kernel.table_use(slot).expect("the fill of the tables"));
        let rules = kernel.rule_counters(0..64).expect("rule counters");
        format!(
            "{:?}",
            (kernel.control(), stats, used, rules, kernel.connections_v4(0), kernel.connections_v6(0))
        )
    })
}

/// The client's port of the only connection.
fn connection_port(agent: &Agent) -> u16 {
    let mut all = agent.connections();
    assert_eq!(all.len(), 1);
    all.remove(0).remote.port.expect("a port")
}
