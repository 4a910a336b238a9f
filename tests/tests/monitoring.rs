//! The examples for Prometheus: alert rules that fire when they should, a dashboard whose every panel shows something,
//! and numbers that are those of the commands.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Command},
    time::{Duration, Instant},
};

use serde_json::Value;
use sg_agent::metrics::DEFAULT_ADDRESS;
use sg_tests::{
    agent::{Agent, DirectionCounts, binary},
    dashboard::{self, Answers, COLUMNS, Dashboard, Kind, Page, UNITS, examples, life},
    prometheus::{self, Prometheus, Sample, Span},
    topology::{Cable, Topology},
    traffic::{self, Connection, Echo, PATIENT},
};

const POLICY: &str = "version: 1\nsecurity_groups:\n  web:\n    rules:\n      \
     - {direction: ingress, protocol: tcp, ports: 80, description: \"HTTP, for \\\"all\\\"\"}\n      \
     - {direction: ingress, protocol: tcp, ports: 22, action: deny, description: no SSH}\n\
     interfaces:\n  - {name: tap0, role: guest, groups: [web], addresses: [10.77.1.10]}\n  \
     - {name: tap9, role: guest, groups: [web]}\n";

fn run(program: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(program).args(arguments).current_dir(examples()).output().expect("it starts");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// promtool's own tests: every alert fires on what it is for, and not before.
#[test]
fn alerts_fire_when_they_should() {
    let Some(promtool) = prometheus::program("promtool") else { return };
    for arguments in [["check", "rules", "sg.rules.yml"], ["test", "rules", "sg.rules.test.yml"]] {
        let (ok, said) = run(&promtool, &arguments);
        assert!(ok, "promtool {}: {said}", arguments.join(" "));
    }
    let (ok, said) = run(&promtool, &["check", "config", "scrape.yml"]);
    assert!(ok && said.contains("1 rule files found"), "{said}");
}

/// Each alert says what to do, and has a test of its own.
#[test]
fn alerts_say_what_to_do() {
    let rules = fs::read_to_string(examples().join("sg.rules.yml")).expect("the rules");
    let tests = fs::read_to_string(examples().join("sg.rules.test.yml")).expect("their tests");
    let names: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(names.len() > 10);
    for key in ["expr:", "summary:", "description:", "labels: {severity:"] {
        let count = rules.lines().filter(|line| line.trim().starts_with(key)).count();
        assert_eq!(count, names.len(), "{key}");
    }
    for name in names {
        assert!(tests.contains(&format!("- alertname: {name}\n")), "{name} is not tested");
    }
}

/// The daemon of a host. It is killed on drop.
struct Daemon(Child);

impl Daemon {
    /// Starts it and waits until it serves metrics.
    fn start(net: &Topology, agent: &Agent) -> Self {
        let mut command = Command::new(binary());
        command.args(["run", "--config"]).arg(agent.state_dir().with_file_name("policy.yaml"));
        command.arg("--state-dir").arg(agent.state_dir());
        let daemon = Self(net.host.enter(|| command.spawn()).expect("it starts"));
        let until = Instant::now() + Duration::from_secs(240);
        while prometheus::get(&net.host, metrics(), "/metrics").is_err() {
            assert!(Instant::now() < until, "the daemon serves no metrics");
            std::thread::sleep(Duration::from_millis(100));
        }
        daemon
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn metrics() -> SocketAddr {
    DEFAULT_ADDRESS.parse().expect("an address")
}

/// A host with a guest, and its daemon.
struct Scene {
    daemon: Option<Daemon>,
    net: Topology,
    agent: Agent,
}

impl Scene {
    fn new() -> Self {
        let net = Topology::new(&[
            Cable::new("web", "tap0").address("10.77.1.10/24"),
            Cable::new("client", "up0").address("203.0.113.7/24"),
        ]);
        let agent = Agent::new(&net.host);
        agent.write("policy.yaml", POLICY);
        let daemon = Some(Daemon::start(&net, &agent));
        Self { daemon, net, agent }
    }

    /// One connection that is let in, and one that is refused.
    fn traffic(&self) {
        let (web, client) = (self.net.machine("web"), self.net.machine("client"));
        let server = Echo::tcp(&web.ns, SocketAddr::new(web.v4(), 80));
        let held = Connection::open(&client.ns, client.v4(), server.address(), PATIENT);
        assert!(held.expect("a connection").echoes(PATIENT));
        assert!(!traffic::tcp(&client.ns, client.v4(), SocketAddr::new(web.v4(), 22), traffic::BRIEF));
    }

    /// Nothing moves any more: neither a neighbour's question nor a retransmission.
    fn still(&self) {
        self.net.host.ip("link set tap0 down\nlink set up0 down");
    }

    /// The lines on the page that begin so.
    fn lines(&self, start: &str) -> Vec<String> {
        let page = prometheus::get(&self.net.host, metrics(), "/metrics").expect("the page");
        page.lines().filter(|line| line.starts_with(start)).map(str::to_owned).collect()
    }

    /// Every counter on the page, by its line without the value.
    fn counters(&self) -> BTreeMap<String, u64> {
        let counter = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            let is_counter = name.split('{').next().is_some_and(|name| name.ends_with("_total"));
            is_counter.then(|| Some((name.to_owned(), value.parse().ok()?)))?
        };
        self.lines("sg_").iter().filter_map(|line| counter(line)).collect()
    }
}

/// Each question of each panel has an answer, and the picture of them all is whole.
#[test]
fn every_panel_shows_something() {
    let Some(program) = prometheus::program("prometheus") else { return };
    let scene = Scene::new();
    let rules = examples().join("sg.rules.yml");
    let prometheus = Prometheus::start(&program, &scene.net.host, metrics(), &rules);
    let from = life::now();
    scene.traffic();
    let dashboard = dashboard::example().expect("a dashboard");
    let questions: usize = dashboard.panels.iter().map(|panel| panel.targets.len()).sum();
    assert!(questions >= 20, "{questions}");
    let answers = answers(&dashboard, &prometheus, from);
    let page = Page::new(&answers);
    let panels = dashboard.panels.iter().filter(|panel| panel.kind != Kind::Row).count();
    assert_eq!((page.panels(), page.faults()), (panels, Vec::new()));
    let picture = page.svg();
    for panel in &dashboard.panels {
        assert!(picture.contains(&format!(">{}</text>", panel.title)), "{}", panel.title);
    }
    alerts_are_silent(&prometheus);
    numbers_agree(&scene, &prometheus);
}

/// What the panels show, once all show something.
#[track_caller]
fn answers(dashboard: &Dashboard, prometheus: &Prometheus, from: u64) -> Answers {
    let ask = || {
        let span = Span { from, to: life::now(), step: 1 };
        Answers::ask(dashboard, prometheus, span, life::WINDOW).unwrap_or_else(|error| panic!("{error}"))
    };
    let until = Instant::now() + prometheus::PATIENCE;
    loop {
        let answers = ask();
        if answers.silent.is_empty() {
            return answers;
        }
        assert!(Instant::now() < until, "without an answer: {:#?}", answers.silent);
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// All alerts were evaluated, and none fires on a host that does its work.
fn alerts_are_silent(prometheus: &Prometheus) {
    let evaluated = || {
        let alerts = prometheus.alerts().expect("the alerts");
        alerts.iter().all(|alert| alert.health == "ok").then_some(alerts)
    };
    for alert in prometheus.wait("the alerts", evaluated) {
        assert_eq!(alert.state, "inactive", "{}", alert.name);
    }
}

/// What Prometheus has is what `stats` and `rules` say.
fn numbers_agree(scene: &Scene, prometheus: &Prometheus) {
    scene.still();
    let stats = scene.agent.stats();
    let expected: BTreeMap<(String, &str), &DirectionCounts> = stats
        .interfaces
        .iter()
        .flat_map(|one| {
            [((one.name.clone(), "ingress"), &one.ingress), ((one.name.clone(), "egress"), &one.egress)]
        })
        .collect();
    assert!(expected[&("tap0".to_owned(), "ingress")].dropped["rule"] > 0);
    let of = |sample: &Sample| (sample.label("interface").to_owned(), sample.label("direction").to_owned());
    prometheus.wait("the packets that `stats` counts", || {
        let packets = prometheus.query("sg_packets_total").ok()?;
        let is_same = |sample: &Sample| {
            let (interface, direction) = of(sample);
            expected.get(&(interface, &*direction)).is_some_and(|it| it.packets as f64 == sample.value())
        };
        (packets.len() == expected.len() && packets.iter().all(is_same)).then_some(())
    });
    let drops = prometheus.query("sg_drops_total").expect("drops");
    for sample in &drops {
        let (interface, direction) = of(sample);
        let counted = expected[&(interface, &*direction)].dropped.get(sample.label("reason")).unwrap_or(&0);
        assert_eq!(*counted as f64, sample.value(), "{:?}", sample.metric);
    }
    let rules =
        "sg_rule_packets_total * on (group, direction, rule) group_left (index, description) sg_rule_info";
    let rules = prometheus.query(rules).expect("rules");
    assert_eq!(rules.len(), 2);
    for rule in scene.agent.rules() {
        let index = rule.index.to_string();
        let sample = rules.iter().find(|sample| sample.label("index") == index).expect("a rule");
        assert_eq!((sample.label("description"), sample.value()), (&*rule.description, rule.packets as f64));
        assert!(rule.packets > 0);
    }
}

/// A file with a fault, a daemon that is killed and starts again: what is counted goes on, and the alerts say so.
#[test]
fn counters_outlive_reloads_and_the_daemon() {
    let Some(program) = prometheus::program("prometheus") else { return };
    let mut scene = Scene::new();
    let rules = examples().join("sg.rules.yml");
    let prometheus = Prometheus::start(&program, &scene.net.host, metrics(), &rules);
    scene.traffic();
    scene.still();
    let before = scene.counters();
    let failures = "sg_reloads_total{result=\"failure\"}";
    assert_eq!(before[failures], 0);
    let success = "sg_last_reload_success_timestamp_seconds ";
    let since = scene.lines(success);
    assert_eq!(since.len(), 1);

    scene.agent.write("policy.yaml", &POLICY.replace("ports: 80", "ports: 80000"));
    // More than one, where the daemon has seen the file half written.
    prometheus.wait("a reload that failed", || (scene.counters()[failures] > 0).then_some(()));
    assert_eq!(of_kernel(scene.counters()), of_kernel(before.clone()));
    assert_eq!(scene.lines(success), since);
    prometheus.wait("the alert on it", || is_raised(&prometheus, "SgReloadFailed").then_some(()));

    scene.daemon = None;
    prometheus.wait("the alert on the daemon", || is_raised(&prometheus, "SgDown").then_some(()));
    scene.agent.write("policy.yaml", POLICY);
    scene.daemon = Some(Daemon::start(&scene.net, &scene.agent));
    assert_eq!(of_kernel(scene.counters()), of_kernel(before));
    prometheus.wait("the end of both alerts", || {
        let raised = ["SgReloadFailed", "SgDown"].map(|name| is_raised(&prometheus, name));
        (raised == [false; 2]).then_some(())
    });
}

/// Those that are not the daemon's own.
fn of_kernel(mut counters: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    counters.retain(|name, _| !name.starts_with("sg_reloads"));
    assert!(counters.len() > 50);
    counters
}

fn is_raised(prometheus: &Prometheus, name: &str) -> bool {
    let alerts = prometheus.alerts().expect("the alerts");
    alerts.iter().any(|alert| alert.name == name && alert.state != "inactive")
}

/// What Grafana would stumble over: numbers given twice, panels on top of each other, units that are none, variables
/// that are not there.
#[test]
fn the_dashboard_is_whole() {
    let text = fs::read_to_string(examples().join("sg-dashboard.json")).expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let numbers: BTreeSet<i64> = panels.iter().filter_map(|panel| panel["id"].as_i64()).collect();
    assert_eq!(numbers.len(), panels.len());
    let mut cells = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().expect("a title");
        for cell in area(&panel["gridPos"]) {
            assert!(cell.0 < i64::from(COLUMNS) && cells.insert(cell), "{title} lies on another");
        }
        if panel["type"] != "row" {
            assert!(panel["description"].as_str().is_some_and(|words| words.ends_with('.')), "{title}");
            let of = |part: &Value| part["datasource"]["uid"] == "${datasource}";
            assert!(of(panel) && panel["targets"].as_array().expect("targets").iter().all(of), "{title}");
            let unit = panel["fieldConfig"]["defaults"]["unit"].as_str().expect("a unit");
            assert!(UNITS.contains(&unit), "{title}: {unit}");
        }
    }
    let variables = dashboard["templating"]["list"].as_array().expect("variables");
    let names: Vec<&str> = variables.iter().filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(names, ["datasource", "instance", "interface"]);
    assert_eq!(dashboard["annotations"]["list"][0]["useValueForTime"], true);
    for metric in ["sg_build_info", "sg_packets_total"] {
        assert!(text.contains(&format!("label_values({metric}")));
    }
}

fn area(grid: &Value) -> Vec<(i64, i64)> {
    let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| grid[key].as_i64().expect("a place"));
    (x..x + w).flat_map(|column| (y..y + h).map(move |row| (column, row))).collect()
}
