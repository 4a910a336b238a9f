//! `apply --dry-run`: what it says would be cut is what `apply` cuts, and saying it leaves no trace.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use serde::Deserialize;
use sg_tests::{
    agent::{Agent, Run, Tracked},
    served::web_and_client,
    topology::Topology,
    traffic::{BRIEF, Connection, Echo, PATIENT},
};

/// `apply --dry-run --json`
#[derive(Debug, Deserialize)]
struct Forecast {
    generation: u64,
    changes: Vec<Change>,
    gained: Vec<String>,
    lost: Vec<String>,
    live: usize,
    cut: Vec<Cut>,
}

#[derive(Debug, Deserialize)]
struct Change {
    what: String,
    kind: String,
    name: String,
    text: String,
    before: Option<String>,
    index: Option<u32>,
    line: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct Cut {
    #[serde(flatten)]
    connection: Tracked,
    because: String,
}

/// A web server and a client that both serve, and connections between them.
struct Scene {
    net: Topology,
    agent: Agent,
    _listeners: Vec<Echo>,
}

/// Ends of a connection as the table has them.
type Ends = (SocketAddr, SocketAddr);

impl Scene {
    fn with(group: &str) -> Self {
        let (net, listeners) = web_and_client();
        let agent = Agent::new(&net.host);
        agent.apply(&policy(group));
        Self { net, agent, _listeners: listeners }
    }

    /// A connection of each kind, by the ends that the table gives it.
    fn connections(&self) -> Vec<(Ends, Connection)> {
        let mut all = Vec::new();
        for family in [0, 1] {
            for (from, to, port) in [("client", "web", 80), ("client", "web", 81), ("web", "client", 443)] {
                let (source, target) =
                    (self.address(from, family), SocketAddr::new(self.address(to, family), port));
                let made = Connection::open(&self.net.machine(from).ns, source, target, PATIENT);
                let mut made = made.expect("a connection");
                assert!(made.echoes(PATIENT));
                let ends = if from == "web" { (made.local(), target) } else { (target, made.local()) };
                all.push((ends, made));
            }
        }
        all
    }

    fn address(&self, name: &str, family: usize) -> IpAddr {
        [self.net.machine(name).v4(), self.net.machine(name).v6()][family]
    }

    fn forecast(&self, text: &str) -> Forecast {
        let run = self.dry_run(text, &["--json"]);
        assert_eq!(run.status, 0, "{}", run.stderr);
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error} in {}", run.stdout))
    }

    fn dry_run(&self, text: &str, more: &[&str]) -> Run {
        let path = self.agent.write("next.yaml", text).to_string_lossy().into_owned();
        self.agent.run(&[&["apply", "--dry-run", &path][..], more].concat())
    }

    /// Everything that a change could move: generation, hits, drops, and connections but for their remaining time.
    fn trace(&self) -> String {
        let connections: Vec<_> = self
            .agent
            .connections()
            .into_iter()
            .map(|one| {
                (
                    one.state,
                    one.opener,
                    one.local.address,
                    one.local.port,
                    one.remote.address,
                    one.remote.port,
                )
            })
            .collect();
        let status = self.agent.status();
        format!("{:?}", (status.generation, self.agent.rules(), self.agent.stats().drops(), connections))
    }
}

fn policy(group: &str) -> String {
    format!(
        "version: 1\nsecurity_groups:\n  web:\n{group}\ninterfaces:\n  \
         - {{name: tap0, role: guest, groups: [web], addresses: [10.77.1.10, \"fd77:1::10\"]}}\n"
    )
}

const BOTH: &str = "    rules: [{direction: ingress, protocol: tcp, ports: 80-81}]";

fn ends(cut: &Cut) -> Ends {
    let end = |end: &sg_tests::agent::End| SocketAddr::new(end.address, end.port.expect("a port"));
    (end(&cut.connection.local), end(&cut.connection.remote))
}

/// What `group` makes of connections admitted by [`BOTH`]: forecast and done. The ports that are cut.
#[track_caller]
fn cut_by(before: &str, group: &str) -> BTreeSet<u16> {
    let scene = Scene::with(&format!("{before}{BOTH}"));
    let mut connections = scene.connections();
    let trace = scene.trace();
    let forecast = scene.forecast(&policy(group));
    assert_eq!(scene.trace(), trace, "the dry run left a trace");
    assert_eq!((forecast.live, forecast.generation), (6, 1));
    let told: BTreeSet<Ends> = forecast.cut.iter().map(ends).collect();
    scene.agent.apply(&policy(group));
    let mut cut = BTreeSet::new();
    for (ends, connection) in &mut connections {
        let patience = if told.contains(ends) { BRIEF } else { PATIENT };
        if !connection.echoes(patience) {
            cut.insert(*ends);
        }
    }
    assert_eq!(cut, told, "forecast and done, {:?}", forecast.cut);
    assert!(forecast.cut.iter().all(|one| !one.because.is_empty()), "{:?}", forecast.cut);
    cut.iter().map(|(local, _)| local.port()).collect()
}

/// R07
#[test]
fn what_recheck_refuses_is_cut() {
    let one = "    rules: [{direction: ingress, protocol: tcp, ports: 81}]";
    assert_eq!(cut_by("", one), BTreeSet::from([80]));
    let office = "    members: [203.0.113.0/24]\n    default_policy: {egress: deny}\n    \
                  rules: [{direction: ingress, protocol: tcp, remote: \"group:web\"}]";
    assert_eq!(cut_by("", office), BTreeSet::from([80, 81]), "those over IPv6");
    let deny = "    rules: [{direction: ingress, protocol: tcp, ports: 80-81}, \
                {direction: ingress, protocol: tcp, ports: 81, remote: 203.0.113.7, action: deny}]";
    assert_eq!(cut_by("", deny), BTreeSet::from([81]));
}

#[test]
fn an_address_taken_from_the_interface_cuts_whoever_opened() {
    let scene = Scene::with(BOTH);
    let mut connections = scene.connections();
    let moved = policy(BOTH).replace("10.77.1.10", "10.77.1.11");
    let told: BTreeSet<Ends> = scene.forecast(&moved).cut.iter().map(ends).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    scene.agent.apply(&moved);
    for (ends, connection) in &mut connections {
        let is_told = told.contains(ends);
        assert_eq!(connection.echoes(if is_told { BRIEF } else { PATIENT }), !is_told, "{ends:?}");
    }
}

#[test]
fn clear_cuts_all_from_outside_and_keep_none() {
    let more = "    rules: [{direction: ingress, protocol: tcp, ports: 80-90}]";
    let with = |how: &str, rules: &str| format!("    on_ingress_change: {how}\n{rules}");
    assert_eq!(cut_by("    on_ingress_change: clear\n", &with("clear", more)), BTreeSet::from([80, 81]));
    assert_eq!(cut_by("    on_ingress_change: keep\n", &with("keep", "    rules: []")), BTreeSet::new());
    assert_eq!(cut_by("", more), BTreeSet::new());
}

#[test]
fn stateless_rules_cut_what_they_do_not_carry_both_ways() {
    let stateless = |rules: &str| {
        format!(
            "    stateful: false\n    default_policy: {{ingress: deny, egress: deny}}\n    rules: [{rules}]"
        )
    };
    let inward = "{direction: ingress, protocol: tcp, ports: 80-81}";
    assert_eq!(cut_by("", &stateless(inward)), BTreeSet::from([80, 81]));
    let both = format!("{inward}, {{direction: egress, protocol: tcp}}");
    assert_eq!(cut_by("", &stateless(&both)), BTreeSet::new());
}

#[test]
fn a_forecast_in_json_and_for_people() {
    let scene = Scene::with(BOTH);
    let connection = scene.connections().remove(0);
    let next = "version: 1\nsecurity_groups:\n  web:\n    rules:\n      \
                - {direction: ingress, protocol: tcp, ports: 81, description: admin}\n\
                interfaces:\n  - {name: up0, role: host, groups: [web]}\n";
    let forecast = scene.forecast(next);
    assert_eq!((forecast.gained, forecast.lost), (vec!["up0".to_owned()], vec!["tap0".to_owned()]));
    assert_eq!(forecast.cut.len(), 0, "nothing filters tap0 any more");
    let rules: Vec<_> = forecast.changes.iter().filter(|one| one.kind == "rule").collect();
    assert_eq!(rules.len(), 2, "{:?}", forecast.changes);
    assert_eq!(
        (rules[0].what.as_str(), rules[0].text.as_str()),
        ("removed", "allow ingress tcp/80-81 from any")
    );
    let added = &rules[1];
    assert_eq!((added.what.as_str(), added.name.as_str(), &added.before), ("added", "web", &None));
    assert_eq!((added.index, added.line), (Some(0), Some(5)));

    let people = scene.dry_run(&policy("    rules: []"), &[]);
    assert_eq!(people.status, 0, "{}", people.stderr);
    for said in [
        "group web\n  - rule 0: allow ingress tcp/80-81 from any\n",
        "of 6 live connections would be cut: 4\n",
        &connection.0.1.to_string(),
        "no rule of web allows it",
    ] {
        assert!(people.stdout.contains(said), "{said} in {}", people.stdout);
    }
    let same = scene.dry_run(&policy(BOTH), &[]);
    assert_eq!(same.stdout, "the policy is the one in force\nof 6 live connections none would be cut\n");
    let gained = scene.dry_run(next, &[]).stdout;
    assert!(gained.contains("up0: is not filtered now and would be; TCP connections under way"), "{gained}");
    assert!(gained.contains("tap0: would not be filtered any more"), "{gained}");
}

#[test]
fn a_forecast_is_refused_where_the_change_would_be() {
    let scene = Scene::with(BOTH);
    let status = |text: &str| scene.dry_run(text, &[]).status;
    let larger =
        format!("{}settings: {{conntrack: {{max_entries: 2048, max_per_interface: 1024}}}}\n", policy(BOTH));
    assert_eq!(status(&larger), 4);
    assert_eq!(status(&policy("    rules: [{direction: sideways}]")), 1);
    let other = policy(BOTH).replace("web", "app").replace("tap0", "up0");
    assert_eq!(status(&other), 4, "group web is in use by tap0");
    let file = scene.agent.write("trial.yaml", &policy("    rules: []")).to_string_lossy().into_owned();
    assert_eq!(scene.agent.run(&["apply", "--confirm-within", "1h", &file]).status, 0);
    assert_eq!(status(&policy(BOTH)), 4);
}

#[test]
fn a_forecast_needs_nothing_loaded() {
    let scene = Scene::with(BOTH);
    assert_eq!(scene.agent.run(&["unload"]).status, 0);
    let forecast = scene.forecast(&policy(BOTH));
    assert_eq!(
        (forecast.generation, forecast.live, forecast.gained.as_slice()),
        (0, 0, &["tap0".to_owned()][..])
    );
    assert_eq!(scene.agent.run(&["status"]).status, 3, "a dry run loads nothing");
}
