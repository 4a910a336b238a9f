//! The examples for Prometheus: alert rules that fire when they should, a dashboard whose every panel shows something,
//! and numbers that are those of the commands.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use sg_agent::{
    dataplane::{Loaded, Options, Place, place::DEFAULT_BPFFS},
    metrics::{self, DaemonFacts, InForce, Snapshot, Totals},
};
use sg_tests::{
    agent::{Agent, DirectionCounts},
    netns::Netns,
    prometheus::{self, Prometheus, Sample},
    topology::{Cable, Topology},
    traffic::{self, Connection, Echo, PATIENT},
};

const POLICY: &str = "version: 1\nsecurity_groups:\n  web:\n    rules:\n      \
     - {direction: ingress, protocol: tcp, ports: 80, description: \"HTTP, for \\\"all\\\"\"}\n      \
     - {direction: ingress, protocol: tcp, ports: 22, action: deny, description: no SSH}\n\
     interfaces:\n  - {name: tap0, role: guest, groups: [web], addresses: [10.77.1.10]}\n  \
     - {name: tap9, role: guest, groups: [web]}\n";

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/monitoring")
}

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

/// A host with a guest that was used, and its metrics.
struct Scene {
    net: Topology,
    agent: Agent,
    address: SocketAddr,
}

impl Scene {
    fn new() -> Self {
        let net = Topology::new(&[
            Cable::new("web", "tap0").address("10.77.1.10/24"),
            Cable::new("client", "up0").address("203.0.113.7/24"),
        ]);
        let agent = Agent::new(&net.host);
        let policy = agent.write("policy.yaml", POLICY);
        // tap9 is a guest that is switched off.
        let applied = agent.run(&["apply", "--allow-missing", &policy.to_string_lossy()]);
        assert_eq!(applied.status, 0, "{}", applied.stderr);
        let address = serve(&net.host, &agent);
        Self { net, agent, address }
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
}

/// Serves the metrics of a host where no daemon runs.
fn serve(host: &Netns, agent: &Agent) -> SocketAddr {
    let options = Options { bpffs: DEFAULT_BPFFS.into(), state_dir: agent.state_dir() };
    host.enter(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("an address");
        std::thread::spawn(move || {
            let totals = std::sync::Mutex::new(Totals::default());
            let source = move || {
                let mut totals = totals.lock().expect("a whole lock");
                let in_force =
                    InForce::read(&Loaded::open(&options)?, &Place::find(&options)?, &mut totals, 100)?;
                Ok(Snapshot { in_force: Some(in_force), daemon: facts() })
            };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                metrics::serve(tokio::net::TcpListener::from_std(listener).expect("a socket"), source).await
            });
        });
        address
    })
}

/// A daemon that read its file a moment ago.
fn facts() -> DaemonFacts {
    let mut facts = DaemonFacts::default();
    facts.reloads.count(true, std::time::SystemTime::now());
    facts
}

/// Every expression of the dashboard, with its panel's title.
fn expressions(dashboard: &Value) -> Vec<(String, String)> {
    let panels = dashboard["panels"].as_array().expect("panels");
    let of_panel = |panel: &Value| {
        let title = panel["title"].as_str().expect("a title").to_owned();
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        targets
            .into_iter()
            .map(move |target| (title.clone(), plain(target["expr"].as_str().expect("an expression"))))
    };
    panels.iter().flat_map(of_panel).collect()
}

/// An expression with Grafana's variables filled in.
fn plain(expression: &str) -> String {
    let filled = expression.replace("$instance", ".*").replace("$interface", ".*");
    let filled = filled.replace("$__rate_interval", "30s");
    assert!(!filled.contains('$'), "{filled}");
    filled
}

#[test]
fn every_panel_shows_something() {
    let Some(program) = prometheus::program("prometheus") else { return };
    let scene = Scene::new();
    let prometheus =
        Prometheus::start(&program, &scene.net.host, scene.address, &examples().join("sg.rules.yml"));
    scene.traffic();
    let text = fs::read_to_string(examples().join("sg-dashboard.json")).expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let all = expressions(&dashboard);
    assert!(all.len() >= 20, "{}", all.len());
    for (title, expression) in all {
        let shows = || {
            let found = prometheus.query(&expression).unwrap_or_else(|error| panic!("{title}: {error}"));
            (!found.is_empty() && found.iter().all(|sample| sample.value().is_finite())).then_some(found)
        };
        prometheus.wait(&format!("{title}: {expression}"), shows);
    }
    for variable in ["sg_build_info", "sg_packets_total"] {
        assert!(text.contains(&format!("label_values({variable}")));
    }
    let change = dashboard["annotations"]["list"][0]["expr"].as_str().expect("an annotation");
    prometheus.query(&plain(change)).expect("an answer");
    alerts_are_silent(&prometheus);
    numbers_agree(&scene, &prometheus);
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
