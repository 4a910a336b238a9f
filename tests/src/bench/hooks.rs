//! What a denied packet costs by the hook that judges it, on each kind of device: what `rx_hook: auto` chooses from,
//! together with `bulk`.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, ensure};

use super::{
    Plan,
    entry::{Entry, Spread},
    firewalls::{Firewall, Path, UPLINK},
    generator::{Generator, ksoftirqd, softirqs},
    machine,
    object::{Family, cpu_time},
    policy::{Kind, Policy},
    sample::rounds,
};
use crate::{
    agent::Agent,
    netns::Netns,
    packets::{Ethernet, Ip, Transport},
    tun::{Offload, Tun},
};

/// What receives the packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// A veth with one queue.
    Veth,
    /// A veth with several, as a server's card has them.
    Queues,
    /// A tap that a process writes to, packet by packet.
    Tap,
}

impl Device {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Veth, Self::Queues, Self::Tap];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Veth => "veth",
            Self::Queues => "veth with 4 queues",
            Self::Tap => "tap",
        }
    }

    /// Queues each way.
    pub const fn queues(self) -> u8 {
        if matches!(self, Self::Queues) { 4 } else { 1 }
    }
}

const HOOKS: [&str; 3] = ["xdp-native", "xdp-generic", "tcx"];
const RULES: usize = 5_000;
const PACKETS: u32 = 50_000;
const MODE: &str = "the hook of the name, one CPU";

fn name(device: Device, hook: &str) -> String {
    format!("denied flood, {}, {hook}", device.name())
}

fn names_of(device: Device) -> Vec<String> {
    HOOKS.map(|hook| name(device, hook)).to_vec()
}

/// What measurements on every device are called: nothing where there is only a minute.
pub fn names_by_device(plan: &Plan, names_of: fn(Device) -> Vec<String>) -> Vec<String> {
    if plan.thorough() { Device::ALL.into_iter().flat_map(names_of).collect() } else { Vec::new() }
}

/// Measures on each device of which a measurement is wanted.
pub fn by_device(
    plan: &Plan,
    names_of: fn(Device) -> Vec<String>,
    one: impl Fn(&Plan, Device) -> Result<Vec<Entry>>,
) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for device in Device::ALL {
        let names = names_of(device);
        if plan.thorough() && names.iter().any(|name| plan.wants(name)) {
            plan.begin_together(&names);
            entries.extend(one(plan, device)?);
        }
    }
    Ok(entries)
}

/// What they are called.
pub fn names(plan: &Plan) -> Vec<String> {
    names_by_device(plan, names_of)
}

/// Times the hooks of each device of which one is wanted.
pub fn measure(plan: &Plan) -> Result<Vec<Entry>> {
    by_device(plan, names_of, one)
}

fn one(plan: &Plan, device: Device) -> Result<Vec<Entry>> {
    let samples = if device == Device::Tap { tap(plan)? } else { veth(plan, device)? };
    let named = names_of(device).into_iter().zip(&samples);
    Ok(named
        .map(|(name, samples)| Entry::alone(&name, "ns", Spread::of(samples)).about(0, MODE, RULES))
        .collect())
}

const POLICY: Policy = Policy { rules: RULES, kind: Kind::UdpV4 };

fn veth(plan: &Plan, device: Device) -> Result<Vec<Vec<f64>>> {
    let mut generator = Generator::load(machine::cpu()?)?;
    let build = |hook: &'static str| {
        let path = Path::build(Firewall::Sg(hook), &POLICY, &mut generator, device.queues())?;
        ensure!(path.hook().as_deref() == Some(hook), "{hook} is not on {}", device.name());
        Ok(path)
    };
    let paths: Vec<Path> = HOOKS.into_iter().map(build).collect::<Result<_>>()?;
    let draw = sg_bench_ebpf::draw::Draw { state: 1, ..POLICY.denied(Family::V4) };
    rounds(plan.rounds, &paths, |path| {
        let (client, guest) = (path.net.machine("client"), path.net.machine("guest"));
        let before = path.counts()?.0;
        let spent = generator.send(client, guest.v4(), &draw, PACKETS)?;
        let received = path.counts()?.0 - before;
        ensure!(received > 0, "nothing was received");
        Ok(spent / received as f64)
    })
}

/// A host that a process floods by a tap.
struct Tapped {
    tap: Tun,
    _agent: Agent,
}

fn tap(plan: &Plan) -> Result<Vec<Vec<f64>>> {
    let frames = frames();
    let kernel_thread = ksoftirqd(machine::cpu()?)?;
    let build = |hook: &'static str| {
        let host = Netns::new();
        host.sysctl("ipv6/conf/default/disable_ipv6", "1");
        let tap = Tun::create(&host, UPLINK);
        host.ip(&format!("link set {UPLINK} arp off up"));
        let agent = Agent::new(&host);
        agent.apply(&POLICY.text_by(UPLINK, hook));
        Tapped { tap, _agent: agent }
    };
    let sites: Vec<Tapped> = HOOKS.into_iter().map(build).collect();
    rounds(plan.rounds, &sites, |site| {
        let before = cpu_time()? + softirqs(&kernel_thread)?;
        for frame in frames.iter().cycle().take(PACKETS as usize) {
            site.tap.send(frame, Offload::default()).context("a frame")?;
        }
        Ok((cpu_time()? + softirqs(&kernel_thread)? - before) as f64 / f64::from(PACKETS))
    })
}

/// As many packets as the caches of nobody care about, none of which is allowed.
fn frames() -> Vec<Vec<u8>> {
    let draw = POLICY.denied(Family::V4);
    let mut random = fastrand::Rng::with_seed(1);
    let frame = |_| {
        let tuple = draw.tuple(random.u32(..draw.blocks), random.u32(..), true);
        let source = Ipv4Addr::from(tuple.source as u32).into();
        let transport = Transport::udp(tuple.source_port, tuple.port).payload(&[0; 22]);
        Ethernet::default().ip(&Ip::new(source, Ipv4Addr::new(192, 0, 2, 2).into()), &transport)
    };
    (0..4_096).map(frame).collect()
}
