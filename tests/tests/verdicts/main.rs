//! Packets and verdicts: each frame is put to the probe, then through the loaded programs, which must do the same.
//!
//! Those that are to be dropped come first: they make no entry, and each moves one counter, by one per program. A
//! passing frame may leave an entry behind, so every case has its own remote port.

mod guards;
mod large;
mod malformed;
mod ports;
mod transport;

use std::{collections::BTreeMap, net::IpAddr};

use sg_common::verdict::{Reason, Stage};
use sg_tests::{
    agent::{Agent, Drops},
    inject::Tap,
    netns::Netns,
    packets::{Ethernet, Ip, Mac, Transport},
    progrun::{Hook, Programs, Verdict},
};

/// One case.
#[derive(Clone, Debug)]
struct Case {
    name: String,
    side: Side,
    frame: Vec<u8>,
    verdict: Verdict,
}

/// Where a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// On its way into the guest.
    In,
    /// On its way out of the guest.
    Out,
    /// On its way into the host.
    HostIn,
}

/// Length of an Ethernet header.
const ETHERNET: usize = 14;

impl Side {
    /// Device, direction, and the hooks that see the packet.
    fn place(self) -> (&'static str, &'static str, &'static [Hook]) {
        match self {
            Self::In => ("tap0", "ingress", &[Hook::TcxEgress]),
            Self::Out => ("tap0", "egress", &[Hook::Xdp, Hook::TcxIngress]),
            Self::HostIn => ("nic0", "ingress", &[Hook::Xdp, Hook::TcxIngress]),
        }
    }
}

const BY_RULE: Verdict = Verdict::Pass(Stage::Rule);
const BY_DEFAULT: Verdict = Verdict::Drop(Reason::Default);
const INFRASTRUCTURE: Verdict = Verdict::Pass(Stage::Infrastructure);

const fn dropped(reason: Reason) -> Verdict {
    Verdict::Drop(reason)
}

const GUEST_MAC: Mac = Mac([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
const ROUTER_MAC: Mac = Mac([0x52, 0x54, 0, 0, 0, 1]);

const POLICY: &str = r#"
version: 1
security_groups:
  web:
    default_policy: {ingress: deny, egress: deny}
    members: [10.9.1.2, "fd01::2"]
    rules:
      - {direction: ingress, protocol: tcp, ports: 8080-8081, remote: "group:web"}
      - {direction: ingress, protocol: tcp, ports: 23, action: deny}
      - {direction: ingress, protocol: udp, ports: 5353}
      - {direction: ingress, protocol: sctp, ports: 3366}
      - {direction: ingress, service: ping}
      - {direction: ingress, protocol: 47}
      - {direction: egress, protocol: tcp}
      - {direction: egress, protocol: udp}
      - {direction: egress, service: ping}
  host:
    rules:
      - {direction: ingress, protocol: tcp, ports: 22}
interfaces:
  - name: tap0
    role: guest
    groups: [web]
    addresses: [10.9.2.2, "fd02::2"]
    mac: "52:54:00:12:34:56"
    allowed_address_pairs: [{address: 10.9.2.100}]
  - {name: nic0, role: host, groups: [host]}
"#;

/// Both families: the member outside, the guest.
fn families() -> [(IpAddr, IpAddr); 2] {
    [("10.9.1.2", "10.9.2.2"), ("fd01::2", "fd02::2")].map(|(peer, guest)| (address(peer), address(guest)))
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A case of a packet from the member to the guest.
fn into(name: &str, (peer, guest): (IpAddr, IpAddr), transport: &Transport, verdict: Verdict) -> Case {
    into_by(name, &Ip::new(peer, guest), transport, verdict)
}

/// A case of a packet to the guest with this IP header.
fn into_by(name: &str, ip: &Ip, transport: &Transport, verdict: Verdict) -> Case {
    let frame = Ethernet::new(ROUTER_MAC, GUEST_MAC).ip(ip, transport);
    Case { name: named(name, ip.source), side: Side::In, frame, verdict }
}

/// A case of a packet from the guest to the member.
fn out_of(name: &str, (peer, guest): (IpAddr, IpAddr), transport: &Transport, verdict: Verdict) -> Case {
    let frame = Ethernet::new(GUEST_MAC, ROUTER_MAC).ip(&Ip::new(guest, peer), transport);
    Case { name: named(name, peer), side: Side::Out, frame, verdict }
}

fn named(name: &str, like: IpAddr) -> String {
    format!("{name}, IPv{}", if like.is_ipv4() { 4 } else { 6 })
}

#[test]
fn transport_headers() {
    run(&transport::cases());
}

#[test]
fn malformed_packets() {
    run(&malformed::cases());
}

#[test]
fn what_comes_before_the_rules() {
    run(&guards::cases());
}

/// Runs the cases and reports all that went wrong.
fn run(cases: &[Case]) {
    let host = Netns::with_devices(&["tap0", "nic0"]);
    let agent = Agent::new(&host);
    agent.apply(POLICY);
    let programs = Programs::of(&host);
    let mut watch = agent.watch();
    let (dropped, passed): (Vec<&Case>, Vec<&Case>) =
        cases.iter().partition(|case| matches!(case.verdict, Verdict::Drop(_)));
    let mut wrong: Vec<String> =
        dropped.iter().filter_map(|case| check(&host, &programs, case).err()).collect();
    let counted = watch.moved();
    if counted != expected_drops(&dropped) {
        wrong.push(format!("counted {counted:#?}\nexpected {:#?}", expected_drops(&dropped)));
    }
    assert_eq!(agent.status().conntrack.entries, 0, "dropped packets made entries");
    wrong.extend(passed.iter().filter_map(|case| check(&host, &programs, case).err()));
    wrong.extend(watch.moved().iter().map(|drops| format!("counted {drops:?}")));
    assert!(wrong.is_empty(), "{} cases:\n{}", cases.len(), wrong.join("\n"));
}

/// Each packet moves one counter by one, at each hook.
fn expected_drops(cases: &[&Case]) -> Vec<Drops> {
    let mut counts: BTreeMap<(&str, &'static str, &'static str), u64> = BTreeMap::new();
    for case in cases {
        let Verdict::Drop(reason) = case.verdict else { continue };
        let (device, direction, hooks) = case.side.place();
        *counts.entry((device, direction, reason.name())).or_default() += hooks.len() as u64;
    }
    // In the order of the counters: by interface, direction, reason.
    let named = |((interface, direction, reason), count): ((&str, &'static str, &str), u64)| Drops {
        interface: interface.to_owned(),
        direction,
        reason: reason.to_owned(),
        count,
    };
    counts.into_iter().map(named).collect()
}

fn check(host: &Netns, programs: &Programs, case: &Case) -> Result<(), String> {
    let Case { name, side, frame, verdict } = case;
    let (device, _, hooks) = side.place();
    let said = programs.verdict(host.ifindex(device), *side == Side::In, frame);
    if said != *verdict {
        return Err(format!("{name}: expected {verdict:?}, the probe says {said:?}"));
    }
    for hook in hooks {
        let passes = passes(host, programs, *hook, device, frame);
        if passes != matches!(verdict, Verdict::Pass(_)) {
            return Err(format!("{name}: expected {verdict:?}, at {hook:?}: passes {passes}"));
        }
    }
    Ok(())
}

fn passes(host: &Netns, programs: &Programs, hook: Hook, device: &str, frame: &[u8]) -> bool {
    // `BPF_PROG_TEST_RUN` refuses to show a classifier an IP header that is cut short.
    if hook == Hook::TcxEgress && frame.len() < ETHERNET + 40 {
        return Tap::open(host, device).send(frame);
    }
    programs.passes(hook, host.ifindex(device), frame)
}
