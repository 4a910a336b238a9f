//! A host with a NIC, an agent that has applied a policy, and the bench's object beside it.

use anyhow::Result;

use super::{
    object::{Family, Object, Program, Shot},
    policy::{Kind, Policy},
};
use crate::{
    agent::Agent,
    counters::Counters,
    netns::Netns,
    packets::{Ethernet, Ip, Mac, Transport},
};
use sg_bench_ebpf::draw::{Draw, Tuple};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const DEVICE: &str = "nic";
const HOST4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const HOST6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1);
const PEER_MAC: Mac = Mac([2, 0, 0, 0, 1, 1]);
const HOST_MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

/// The host.
pub struct Rig {
    /// What is in force.
    pub policy: Policy,
    /// Its namespace.
    pub host: Netns,
    /// Index of its NIC.
    pub ifindex: u32,
    /// The bench's object.
    pub object: Object,
    agent: Agent,
}

impl Rig {
    /// Puts `rules` rules in force.
    pub fn new(rules: usize) -> Result<Self> {
        Self::of(Policy { rules, kind: Kind::Tcp })
    }

    /// Puts a policy in force.
    pub fn of(policy: Policy) -> Result<Self> {
        Self::build(policy, &policy.text(DEVICE))
    }

    /// Puts what `text` says in force, which is `policy` as far as packets are drawn from it; the device is `nic`.
    pub fn of_text(policy: Policy, text: &str) -> Result<Self> {
        Self::build(policy, text)
    }

    /// Puts a policy in force, with these settings.
    pub fn with(policy: Policy, settings: &str) -> Result<Self> {
        Self::build(policy, &policy.text_with(DEVICE, "xdp-native", settings))
    }

    fn build(policy: Policy, text: &str) -> Result<Self> {
        let host = Netns::new();
        host.ip(&format!(
            "link add {DEVICE} address {HOST_MAC} type veth peer name peer
             link set {DEVICE} up
             link set peer up"
        ));
        let agent = Agent::new(&host);
        agent.apply(text);
        let object = Object::load(&host)?;
        Ok(Self { policy, ifindex: host.ifindex(DEVICE), host, object, agent })
    }

    /// What the agent's programs count; its tables.
    pub fn counters(&self) -> Counters {
        self.agent.counters()
    }

    /// Forgets every connection.
    pub fn flush(&self) -> Result<()> {
        let run = self.agent.run(&["conntrack", "flush"]);
        anyhow::ensure!(run.status == 0, "sg-agent conntrack flush: {}", run.stderr);
        Ok(())
    }

    /// Connections that are tracked.
    pub fn connections(&self) -> u64 {
        self.agent.status().conntrack.entries
    }

    /// A shot of `times` TCP packets with these flags.
    pub fn shot(&self, program: Program, family: Family, draw: Option<Draw>, flags: u8, times: u32) -> Shot {
        let tuple = draw.unwrap_or_default().tuple(0, 0, family == Family::V4);
        let frame = frame(family, &tuple, flags, Way::In);
        Shot { program, family, draw, traced: false, frame, ifindex: self.ifindex, times }
    }
}

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the host.
    In,
    /// From it.
    Out,
}

/// The frame of a tuple's packet, or of the answer to it.
pub fn frame(family: Family, tuple: &Tuple, flags: u8, way: Way) -> Vec<u8> {
    let (peer, host): (IpAddr, IpAddr) = (peer(family, tuple), local(family));
    match way {
        Way::In => Ethernet::new(PEER_MAC, HOST_MAC)
            .ip(&Ip::new(peer, host), &Transport::tcp(tuple.source_port, tuple.port, flags)),
        Way::Out => Ethernet::new(HOST_MAC, PEER_MAC)
            .ip(&Ip::new(host, peer), &Transport::tcp(tuple.port, tuple.source_port, flags)),
    }
}

/// The host's address.
pub fn local(family: Family) -> IpAddr {
    match family {
        Family::V4 => HOST4.into(),
        Family::V6 => HOST6.into(),
    }
}

/// A tuple's other end.
pub fn peer(family: Family, tuple: &Tuple) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::from(tuple.source as u32).into(),
        Family::V6 => Ipv6Addr::from(u128::from(tuple.source) << 64 | u128::from(tuple.source_low)).into(),
    }
}
