//! The same verdicts by real frames, on every kind of port: XDP in the driver, generic XDP, TCX; veth and tap; a
//! guest's port and the host's own.

use sg_tests::{
    counters::{Counters, Moved},
    port::{Kind, Port, Role, Seen, Way, quiet_host},
};

use super::*;

/// What a guest's end may send from.
const GUEST: (Mac, [u8; 4]) = (GUEST_MAC, [10, 9, 2, 2]);

/// What the kernel itself drops, on some ways, before any program sees it.
const REFUSED_EARLIER: &str = "VLAN tag and nothing else";

/// A host with a port of every kind that `role` can have, all under the same groups.
pub struct Ports {
    pub agent: Agent,
    pub counters: Counters,
    pub ports: Vec<Port>,
}

impl Ports {
    pub fn new(role: Role, group: &str, mtu: usize) -> Self {
        let host = quiet_host();
        let port = |(number, kind)| Port::new(&host, number, kind, mtu, GUEST);
        let ports: Vec<Port> = Kind::all(role).into_iter().enumerate().map(port).collect();
        let agent = Agent::new(&host);
        agent.apply(&policy(&ports, group));
        for interface in agent.status().interfaces {
            let port = ports.iter().find(|port| port.device == interface.name).expect("a port");
            assert_eq!((interface.rx_hook.as_str(), interface.enforced), (port.kind.rx_hook, true));
        }
        let counters = agent.counters();
        Self { agent, counters, ports }
    }

    /// Binds all ports to another group, and forgets every connection.
    pub fn bind(&mut self, group: &str) {
        self.agent.apply(&policy(&self.ports, group));
        assert_eq!(self.agent.run(&["conntrack", "flush"]).status, 0);
        self.counters = self.agent.counters();
    }
}

/// The groups of the table, with these ports bound to `group`.
fn policy(ports: &[Port], group: &str) -> String {
    let groups = POLICY.split("interfaces:").next().expect("groups");
    let interface = |port: &Port| {
        let (device, hook) = (&port.device, port.kind.rx_hook);
        match port.kind.role {
            Role::Host => format!("  - {{name: {device}, role: host, groups: [{group}], rx_hook: {hook}}}\n"),
            Role::Guest => format!(
                "  - {{name: {device}, role: guest, groups: [{group}], rx_hook: {hook}, \
                 addresses: [10.9.2.2, \"fd02::2\"], mac: \"{GUEST_MAC}\", \
                 allowed_address_pairs: [{{address: 10.9.2.100}}]}}\n"
            ),
        }
    };
    format!("{groups}interfaces:\n{}", ports.iter().map(interface).collect::<String>())
}

fn every_case() -> Vec<Case> {
    [transport::cases(), malformed::cases(), guards::cases()].concat()
}

/// P32: the whole table on a guest's port, whatever it is and wherever received frames are judged. What the bridge
/// hands on to be transmitted, and what TCX receives, has its VLAN tag beside it; at XDP it is in the frame.
#[test]
fn a_guests_port_of_any_kind_gives_the_verdicts_of_the_table() {
    let cases: Vec<Case> = every_case().into_iter().filter(|case| case.side != Side::HostIn).collect();
    let way = |case: &Case| if case.side == Side::In { Way::Transmit } else { Way::Receive };
    let ports = Ports::new(Role::Guest, "web", 1500);
    check_all(&ports, &cases, way, |case| Some(case.verdict));
}

/// P32: the table from the other side: what is ingress of a guest is received, what is egress is transmitted. What only
/// guests are refused is left out.
#[test]
fn a_port_of_the_host_of_any_kind_gives_the_verdicts_of_the_table() {
    let (own, shared): (Vec<Case>, Vec<Case>) =
        every_case().into_iter().partition(|case| case.side == Side::HostIn);
    let way = |case: &Case| if case.side == Side::Out { Way::Transmit } else { Way::Receive };
    let mut ports = Ports::new(Role::Host, "web", 1500);
    check_all(&ports, &shared, way, |case| (!is_for_guests(case)).then_some(case.verdict));
    ports.bind("host");
    check_all(&ports, &own, way, |case| Some(case.verdict));
}

/// What is refused to guests and not to the host.
fn is_for_guests(case: &Case) -> bool {
    use Reason::{
        DhcpServer, NonIp, Redirect, RouterAdvertisement, SpoofedAddress, SpoofedArp, SpoofedMac, SpoofedNd,
        Vlan,
    };
    const REASONS: [Reason; 9] = [
        Vlan,
        NonIp,
        SpoofedMac,
        SpoofedAddress,
        SpoofedArp,
        SpoofedNd,
        RouterAdvertisement,
        Redirect,
        DhcpServer,
    ];
    guards::TOO_MUCH.iter().any(|name| case.name.ends_with(name))
        || matches!(case.verdict, Verdict::Drop(reason) if REASONS.contains(&reason))
}

/// Puts each case through each port, those that are dropped first, and reports all that went wrong.
fn check_all(
    ports: &Ports,
    cases: &[Case],
    way: impl Fn(&Case) -> Way,
    verdict: impl Fn(&Case) -> Option<Verdict>,
) {
    let (dropped, passed): (Vec<&Case>, Vec<&Case>) =
        cases.iter().partition(|case| matches!(case.verdict, Verdict::Drop(_)));
    let mut wrong = Vec::new();
    for port in &ports.ports {
        for case in dropped.iter().chain(&passed) {
            let Some(verdict) = verdict(case) else { continue };
            let seen = port.put(&ports.counters, way(case), &case.frame);
            let refused_earlier = case.name.starts_with(REFUSED_EARLIER)
                && (seen.passed, seen.moved.len(), seen.no_entry) == (false, 0, true);
            if !refused_earlier && !agrees(&seen, port, way(case), verdict) {
                wrong.push(format!("{}: {}: expected {verdict:?}, seen {seen:?}", port.kind, case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} cases, {} wrong:\n{}", cases.len(), wrong.len(), wrong.join("\n"));
}

/// Whether the frame came out or not as it should, one counter moved by one, and what was dropped made no entry.
pub fn agrees(seen: &Seen, port: &Port, way: Way, verdict: Verdict) -> bool {
    let reason = match verdict {
        Verdict::Drop(reason) => Some(reason),
        Verdict::Pass(_) => None,
    };
    let direction = port.kind.direction(way);
    let moved = Moved { interface: port.device.clone(), direction, reason, count: 1 };
    seen.passed == reason.is_none() && seen.moved == [moved] && (seen.passed || seen.no_entry)
}

/// P01: below an Ethernet header there is no frame to judge: the kernel takes none, and nothing is counted.
#[test]
fn runts_do_not_get_as_far_as_the_programs() {
    let ports = Ports::new(Role::Guest, "web", 1500);
    let before = ports.counters.read();
    for port in &ports.ports {
        for length in 0..ETHERNET {
            for way in [Way::Receive, Way::Transmit] {
                assert!(port.refuses(way, &vec![0x52; length]), "{}: {length} bytes, {way:?}", port.kind);
            }
        }
    }
    assert_eq!(ports.counters.read().since(&before), []);
}
