//! What a change of policy does to live connections.

use std::net::{IpAddr, SocketAddr};

use sg_tests::{
    agent::Agent,
    packets::{
        Transport,
        flag::{ACK, SYN},
    },
    served::web_and_client,
    topology::Topology,
    traffic::{self, BRIEF, Connection, Echo, PATIENT},
    wire::{Family, Wire},
};

/// A web server and a client, both with listeners, and a policy that is applied in versions.
struct Scene {
    net: Topology,
    agent: Agent,
    _listeners: Vec<Echo>,
}

impl Scene {
    fn new(rules: &str) -> Self {
        let (net, listeners) = web_and_client();
        let agent = Agent::new(&net.host);
        agent.apply(&policy(rules));
        Self { net, agent, _listeners: listeners }
    }

    fn apply(&self, rules: &str) {
        self.agent.apply(&policy(rules));
    }

    /// Connects `from` to a port of `to`.
    #[track_caller]
    fn connect(&self, from: &str, to: &str, port: u16, family: usize) -> Connection {
        let (source, target) = self.ends(from, to, port, family);
        Connection::open(&self.net.machine(from).ns, source, target, PATIENT).expect("a connection")
    }

    fn can_connect(
        &self,
        from: &str,
        to: &str,
        port: u16,
        family: usize,
        patience: std::time::Duration,
    ) -> bool {
        let (source, target) = self.ends(from, to, port, family);
        traffic::tcp(&self.net.machine(from).ns, source, target, patience)
    }

    fn ends(&self, from: &str, to: &str, port: u16, family: usize) -> (IpAddr, SocketAddr) {
        let address = |name| [self.net.machine(name).v4(), self.net.machine(name).v6()][family];
        (address(from), SocketAddr::new(address(to), port))
    }
}

/// The policy of a group with these lines.
fn policy(group: &str) -> String {
    format!(
        "version: 1\nsecurity_groups:\n  web:\n{group}\ninterfaces:\n  \
         - {{name: tap0, role: guest, groups: [web], addresses: [10.77.1.10, \"fd77:1::10\"]}}\n"
    )
}

const HTTP: &str = "    rules: [{direction: ingress, protocol: tcp, ports: 80}]";
const HTTP_AND_MORE: &str = "    rules: [{direction: ingress, protocol: tcp, ports: 80-90}]";
const NOTHING: &str = "    rules: []";

/// R01, R02
#[test]
fn inbound_is_cut_and_outbound_goes_on() {
    let scene = Scene::new(HTTP);
    for family in [0, 1] {
        scene.apply(HTTP);
        let mut inbound = scene.connect("client", "web", 80, family);
        let mut outbound = scene.connect("web", "client", 443, family);
        assert!(inbound.echoes(PATIENT) && outbound.echoes(PATIENT));
        scene.apply(NOTHING);
        let drops = scene.agent.drops_during(|| assert!(!inbound.echoes(BRIEF)));
        // The entry is gone with the first segment: no rule allows the next ones.
        let cut: Vec<u64> = drops.iter().filter(|drop| drop.reason == "cut").map(|drop| drop.count).collect();
        assert_eq!(cut, [1], "{drops:?}");
        assert!(drops.iter().all(|drop| matches!(drop.reason.as_str(), "cut" | "default")), "{drops:?}");
        assert!(outbound.echoes(PATIENT));
        assert!(!scene.can_connect("client", "web", 80, family, BRIEF));
        // A cut is not sticky.
        scene.apply(HTTP);
        assert!(scene.can_connect("client", "web", 80, family, PATIENT));
        assert!(outbound.echoes(PATIENT));
    }
}

/// R02
#[test]
fn an_outbound_connection_outlives_the_rule_that_let_it_out() {
    let scene = Scene::new("    rules: []");
    let mut outbound = scene.connect("web", "client", 443, 0);
    scene.apply("    default_policy: {ingress: deny, egress: deny}\n    rules: []");
    assert!(outbound.echoes(PATIENT));
    assert!(!scene.can_connect("web", "client", 443, 0, BRIEF));
}

/// R05, R06
#[test]
fn a_change_that_still_allows_a_connection_does_not_touch_it() {
    let scene = Scene::new(HTTP);
    let mut inbound = scene.connect("client", "web", 80, 1);
    let drops = scene.agent.drops_during(|| {
        for rules in [HTTP_AND_MORE, HTTP, HTTP_AND_MORE] {
            scene.apply(rules);
            assert!(inbound.echoes(PATIENT));
        }
    });
    assert_eq!(drops, []);
}

#[test]
fn keep_leaves_inbound_connections_alone() {
    let keep = "    on_ingress_change: keep\n";
    let scene = Scene::new(&format!("{keep}{HTTP}"));
    let mut inbound = scene.connect("client", "web", 80, 0);
    scene.apply(&format!("{keep}{NOTHING}"));
    assert!(inbound.echoes(PATIENT));
    assert!(!scene.can_connect("client", "web", 80, 0, BRIEF));
}

#[test]
fn clear_cuts_every_inbound_connection_at_a_change() {
    let clear = "    on_ingress_change: clear\n";
    let scene = Scene::new(&format!("{clear}{HTTP}"));
    let mut inbound = scene.connect("client", "web", 80, 0);
    let mut outbound = scene.connect("web", "client", 443, 0);
    scene.apply(&format!("{clear}{HTTP_AND_MORE}"));
    assert!(!inbound.echoes(BRIEF));
    assert!(outbound.echoes(PATIENT));
    assert!(scene.can_connect("client", "web", 80, 0, PATIENT));
}

/// R14
#[test]
fn applying_the_same_policy_changes_nothing() {
    let clear = format!("    on_ingress_change: clear\n{HTTP}");
    let scene = Scene::new(&clear);
    let mut inbound = scene.connect("client", "web", 80, 0);
    scene.apply(&clear);
    assert!(inbound.echoes(PATIENT));
}

/// R10
#[test]
fn a_refused_policy_leaves_the_running_one_alone() {
    let scene = Scene::new(HTTP);
    let mut inbound = scene.connect("client", "web", 80, 0);
    let before = scene.agent.status().generation;
    let refused = scene.agent.try_apply(&policy("    rules: [{direction: sideways}]"));
    assert_eq!(refused.status, 1, "{}", refused.stderr);
    assert_eq!(scene.agent.status().generation, before);
    assert!(inbound.echoes(PATIENT));
}

/// R09
#[test]
fn binding_another_group_is_a_change() {
    let two = |bound: &str| {
        format!(
            "version: 1\nsecurity_groups:\n  open:\n{HTTP}\n  shut:\n{NOTHING}\ninterfaces:\n  \
             - {{name: tap0, role: guest, groups: [{bound}], addresses: [10.77.1.10, \"fd77:1::10\"]}}\n"
        )
    };
    let scene = Scene::new(HTTP);
    scene.agent.apply(&two("open"));
    let mut inbound = scene.connect("client", "web", 80, 0);
    scene.agent.apply(&two("open, shut"));
    assert!(inbound.echoes(PATIENT));
    scene.agent.apply(&two("shut"));
    assert!(!inbound.echoes(BRIEF));
}

/// R09
#[test]
fn leaving_a_group_cuts_what_membership_had_opened() {
    let with = |members: &str| {
        format!(
            "    members: [{members}]\n    rules: [{{direction: ingress, protocol: tcp, ports: 80, remote: \"group:web\"}}]"
        )
    };
    let scene = Scene::new(&with("203.0.113.7, \"2001:db8:1::7\""));
    let mut inbound = scene.connect("client", "web", 80, 0);
    scene.apply(&with("203.0.113.8"));
    assert!(!inbound.echoes(BRIEF));
    assert!(!scene.can_connect("client", "web", 80, 1, BRIEF));
    scene.apply(&with("203.0.113.0/24"));
    assert!(scene.can_connect("client", "web", 80, 0, PATIENT));
}

/// R03, R08
#[test]
fn a_datagram_flow_resumes_when_its_rule_returns() {
    let policy = |rules: &str| {
        format!(
            "security_groups:\n  guest:\n    default_policy: {{ingress: deny, egress: deny}}\n    rules: [{rules}]"
        )
    };
    let dns = policy("{direction: ingress, protocol: udp, ports: 53}");
    let wire = Wire::new(&dns);
    let (inward, datagram) = (Family::V4.inward(), Transport::udp(40_000, 53));
    wire.enters(&inward, &datagram);
    wire.leaves(&Family::V4.outward(), &Transport::udp(53, 40_000));
    wire.apply(&policy(""));
    wire.agent.drops_during(|| {
        assert!(!wire.get_in(&inward.carry(&datagram.clone().payload(b"cut data")), *b"cut data", false));
    });
    wire.apply(&dns);
    wire.enters(&inward, &datagram);
}

/// R03, R07
#[test]
fn a_syn_on_a_live_entry_is_judged_by_the_rules_of_today() {
    let rules = |rules: &str| {
        format!("security_groups:\n  guest:\n    on_ingress_change: keep\n    rules: [{rules}]")
    };
    let wire = Wire::new(&rules("{direction: ingress, protocol: tcp, ports: 80}"));
    let (inward, outward) = (Family::V6.inward(), Family::V6.outward());
    wire.enters(&inward, &Transport::tcp(40_000, 80, SYN));
    wire.leaves(&outward, &Transport::tcp(80, 40_000, SYN | ACK));
    wire.enters(&inward, &Transport::tcp(40_000, 80, ACK));
    wire.apply(&rules(""));
    wire.enters(&inward, &Transport::tcp(40_000, 80, ACK));
    wire.is_kept_out("default", &inward, &Transport::tcp(40_000, 80, SYN));
}
