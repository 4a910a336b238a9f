//! From a client through the host to a guest, packet by packet on one CPU (targets 4 to 6).
//!
//! The host filters what comes in on its uplink: sg by XDP, nftables in the forward chain of a routed packet. Everything
//! else is the same: a veth pair each side, routing, a guest that drops what it gets.

use anyhow::{Result, ensure};
use sg_bench_ebpf::draw::Draw;

use super::{
    Plan,
    entry::{Entry, Target},
    firewalls::{Firewall, Path},
    generator::Generator,
    machine,
    object::Family,
    plan::thousands,
    policy::{self, FLOW_PORT, Kind, Policy},
    sample::rounds,
};
use crate::{
    inject::Tap,
    packets::{Ethernet, Ip, Transport},
};

/// Rules that targets are for.
const RULES: usize = 5_000;
/// Other numbers of rules, which only the flood is sent against.
const MORE_RULES: [usize; 3] = [10, 250, 100_000];
const FLOWS: u32 = 1_000;
const MODE: &str = "XDP on veth, live frames, one CPU";

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Traffic {
    Flood,
    New,
    Established,
}

impl Traffic {
    const fn name(self) -> &'static str {
        match self {
            Self::Flood => "denied flood",
            Self::New => "new flows",
            Self::Established => "established, 1,000 flows",
        }
    }

    /// Number of the target.
    const fn row(self) -> u8 {
        match self {
            Self::Flood => 4,
            Self::New => 5,
            Self::Established => 6,
        }
    }

    /// What sg is held against, how it is called, and by which factor sg is to be faster.
    const fn peers(self) -> &'static [(Firewall, &'static str, f64)] {
        match self {
            Self::Flood => &[
                (Firewall::NftSet, NFT_SET, 2.2),
                (Firewall::NftLinear, NFT_LINEAR, 15.0),
                (Firewall::Trivial, "trivial program", 0.0),
            ],
            Self::New => &[(Firewall::NftSet, NFT_SET, 1.3), (Firewall::None, "no firewall", 0.0)],
            Self::Established => &[
                (Firewall::NftSet, NFT_SET, 1.1),
                (Firewall::None, "no firewall", 0.97),
                (Firewall::Idle, "trivial program", 0.0),
            ],
        }
    }

    fn draw(self, policy: &Policy) -> Draw {
        match self {
            Self::Flood => policy.denied(Family::V4),
            Self::New => policy.allowed(Family::V4),
            Self::Established => policy::flows(Family::V4, FLOWS),
        }
    }

    const fn passes(self, firewall: Firewall) -> bool {
        !matches!((self, firewall), (Self::Flood, _) | (_, Firewall::Trivial))
    }

    /// Packets per sample. New flows stay in the tables, of both, which hold those of all rounds.
    const fn count(self, firewall: Firewall, rules: usize) -> u32 {
        match (self, firewall) {
            (_, Firewall::NftLinear) if rules > RULES => 1_000,
            (_, Firewall::NftLinear) => 20_000,
            (Self::New, _) => 10_000,
            _ => 100_000,
        }
    }
}

/// What nft with the policy in one set is called.
pub const NFT_SET: &str = "nft, one set";
/// What nft with a list of rules is called.
pub const NFT_LINEAR: &str = "nft, linear";

/// Every kind of traffic, and the flood against other numbers of rules.
fn cases() -> Vec<(Traffic, usize)> {
    let targets = [Traffic::Flood, Traffic::New, Traffic::Established].map(|traffic| (traffic, RULES));
    targets.into_iter().chain(MORE_RULES.map(|rules| (Traffic::Flood, rules))).collect()
}

fn name(traffic: Traffic, rules: usize) -> String {
    format!("end to end: {}, {} rules", traffic.name(), thousands(rules))
}

/// What a denied flood against so many rules is called.
pub fn flood(rules: usize) -> String {
    name(Traffic::Flood, rules)
}

/// What they are called.
pub fn names(plan: &Plan) -> Vec<String> {
    let all = cases().into_iter().map(|(traffic, rules)| name(traffic, rules));
    if plan.thorough() { all.collect() } else { Vec::new() }
}

/// Times those that are wanted.
pub fn measure(plan: &Plan) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for (traffic, rules) in plan.wanted(cases(), |(traffic, rules)| name(*traffic, *rules)) {
        if plan.thorough() {
            plan.begin(&name(traffic, rules));
            entries.extend(one(plan, traffic, rules)?);
        }
    }
    Ok(entries)
}

fn one(plan: &Plan, traffic: Traffic, rules: usize) -> Result<Vec<Entry>> {
    let policy = Policy { rules, kind: Kind::UdpV4 };
    let mut generator = Generator::load(machine::cpu()?)?;
    let peers = traffic.peers();
    let firewalls =
        [Firewall::Sg("xdp-native")].into_iter().chain(peers.iter().map(|(firewall, ..)| *firewall));
    let paths: Vec<Path> =
        firewalls.map(|firewall| Path::build(firewall, &policy, &mut generator, 1)).collect::<Result<_>>()?;
    if traffic == Traffic::Established {
        paths.iter().for_each(answer_flows);
    }
    let seed = std::cell::Cell::new(1u64);
    // What no target is for is there for the plot.
    let times = if rules == RULES { plan.rounds } else { plan.slow_rounds };
    let samples = rounds(times, &paths, |path| {
        seed.set(seed.get().wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let draw = Draw { state: seed.get(), ..traffic.draw(&policy) };
        time(&generator, path, traffic, &draw, rules)
    })?;
    let against = |(at, (_, reference, target)): (usize, &(Firewall, &str, f64))| {
        let is_asked_for = *target > 0.0 && rules == RULES;
        let target = is_asked_for.then_some(Target::AtLeast(*target));
        let theirs = (*reference, samples[at + 1].as_slice());
        Entry::rate(&name(traffic, rules), "packets/s", &samples[0], theirs, target).about(
            traffic.row(),
            MODE,
            rules,
        )
    };
    Ok(peers.iter().enumerate().map(against).collect())
}

/// ns per packet that the host has received.
fn time(generator: &Generator, path: &Path, traffic: Traffic, draw: &Draw, rules: usize) -> Result<f64> {
    let (client, guest) = (path.net.machine("client"), path.net.machine("guest"));
    let before = path.counts()?;
    let spent = generator.send(client, guest.v4(), draw, traffic.count(path.firewall, rules))?;
    let after = path.counts()?;
    let (received, sent_on) = (after.0 - before.0, after.1 - before.1);
    ensure!(received > 0, "{:?} has received nothing", path.firewall);
    let passed = sent_on as f64 / received as f64;
    let as_expected = if traffic.passes(path.firewall) { passed > 0.99 } else { passed < 0.01 };
    ensure!(as_expected, "{:?} lets {sent_on} of {received} packets of {traffic:?} pass", path.firewall);
    Ok(spent / received as f64)
}

/// Sends a packet of every flow and an answer, so that conntracks see both directions.
fn answer_flows(path: &Path) {
    let (client, guest) = (path.net.machine("client"), path.net.machine("guest"));
    let (near, far) = (Tap::open(&client.ns, "eth0"), Tap::open(&guest.ns, "eth0"));
    let draw = policy::flows(Family::V4, FLOWS);
    for flow in 0..FLOWS {
        let tuple = draw.tuple(flow, 0, true);
        let source = std::net::Ipv4Addr::from(tuple.source as u32).into();
        let there = Transport::udp(tuple.source_port, FLOW_PORT);
        near.send(&Ethernet::new(client.mac, client.gateway_mac).ip(&Ip::new(source, guest.v4()), &there));
        let back = Transport::udp(FLOW_PORT, tuple.source_port);
        far.send(&Ethernet::new(guest.mac, guest.gateway_mac).ip(&Ip::new(guest.v4(), source), &back));
    }
}
