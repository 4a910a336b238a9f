//! A host that forwards from a client to a guest, with one firewall or none.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::{
    generator::Generator,
    policy::{FLOW_PORT, Policy, Rule},
};
use crate::{
    agent::Agent,
    netns::Netns,
    nft,
    topology::{Cable, Topology},
};

/// The host's device towards the client: what is filtered.
pub const UPLINK: &str = "up0";
/// The host's device towards the guest.
pub const DOWNLINK: &str = "down0";

/// What filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firewall {
    /// Nothing.
    None,
    /// A trivial program that drops everything.
    Trivial,
    /// A trivial program that lets everything pass.
    Idle,
    /// sg, by this `rx_hook`.
    Sg(&'static str),
    /// nftables: established connections first, then one look-up in a set of prefixes and ports.
    NftSet,
    /// nftables: established connections first, then one rule after the other.
    NftLinear,
}

/// A host with its machines and its firewall.
pub struct Path {
    /// The machines: `client` and `guest`.
    pub net: Topology,
    /// What filters.
    pub firewall: Firewall,
    /// Unloads when the path goes.
    agent: Option<Agent>,
}

impl Path {
    /// Builds it. The guest is deaf: what it gets is counted and dropped. The uplink has so many queues.
    pub fn build(firewall: Firewall, policy: &Policy, generator: &mut Generator, queues: u8) -> Result<Self> {
        let net = Topology::new(&[
            Cable::new("client", UPLINK).address("10.99.1.2/24").queues(queues),
            Cable::new("guest", DOWNLINK).address("192.0.2.2/24").silent(),
        ]);
        net.host.ip("route add 10.0.0.0/8 via 10.99.1.2");
        receive_in_batches(&net.host, UPLINK)?;
        generator.swallow(&net.machine("guest").ns, "eth0")?;
        let mut path = Self { net, firewall, agent: None };
        match firewall {
            Firewall::None => {}
            Firewall::Trivial => generator.swallow(&path.net.host, UPLINK)?,
            Firewall::Idle => generator.look_on(&path.net.host, UPLINK)?,
            Firewall::NftSet => nft::load(&path.net.host, &set(policy))?,
            Firewall::NftLinear => nft::load(&path.net.host, &linear(policy))?,
            Firewall::Sg(rx_hook) => {
                let agent = Agent::new(&path.net.host);
                agent.apply(&policy.text_by(UPLINK, rx_hook));
                path.agent = Some(agent);
            }
        }
        Ok(path)
    }

    /// The receive hook that sg is on.
    pub fn hook(&self) -> Option<String> {
        let status = self.agent.as_ref()?.status();
        status.interfaces.into_iter().map(|one| one.rx_hook).next()
    }

    /// Packets that the uplink has received, and that the downlink has transmitted.
    pub fn counts(&self) -> Result<(u64, u64)> {
        let (up, down) = (counters(&self.net.host, UPLINK)?, counters(&self.net.host, DOWNLINK)?);
        Ok((up.rx.packets, down.tx.packets))
    }
}

#[derive(Deserialize)]
struct Link {
    stats64: Counters,
}

#[derive(Clone, Copy, Deserialize)]
struct Counters {
    rx: Count,
    tx: Count,
}

#[derive(Clone, Copy, Deserialize)]
struct Count {
    packets: u64,
}

fn counters(ns: &Netns, device: &str) -> Result<Counters> {
    let output = ns.output(Command::new("ip").args(["-json", "-statistics", "link", "show", device]));
    let links: Vec<Link> = serde_json::from_slice(&output.stdout).context("what ip says of a device")?;
    Ok(links.first().context("what ip says of a device")?.stats64)
}

/// The frame of both rule sets: what nft users write.
fn chain(sets: &str, rules: &str) -> String {
    format!(
        "table ip bench {{
{sets}  chain forward {{
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    iifname != \"{UPLINK}\" accept
    udp dport {FLOW_PORT} accept
{rules}  }}
}}
"
    )
}

fn set(policy: &Policy) -> String {
    let element = |rule: Rule| format!("{} . {}-{}", rule.remote, rule.first, rule.last);
    let elements: Vec<String> = policy.prefix_rules().map(element).collect();
    let sets = format!(
        "  set allowed {{ type ipv4_addr . inet_service; flags interval; elements = {{ {} }} }}\n",
        elements.join(", ")
    );
    chain(&sets, "    ip saddr . udp dport @allowed accept\n")
}

fn linear(policy: &Policy) -> String {
    let line =
        |rule: Rule| format!("    ip saddr {} udp dport {}-{} accept\n", rule.remote, rule.first, rule.last);
    chain("", &policy.prefix_rules().map(line).collect::<String>())
}

/// Makes a veth device receive by NAPI without an XDP program, as it does with one: it cannot receive generated frames
/// otherwise. (GRO has no effect on single small UDP packets but its cost, which all then have.)
pub fn receive_in_batches(ns: &Netns, device: &str) -> Result<()> {
    /// `struct ethtool_value`.
    #[repr(C)]
    struct Value {
        command: u32,
        data: u32,
    }
    const ETHTOOL_SGRO: u32 = 0x2c;
    const SIOCETHTOOL: libc::c_ulong = 0x8946;
    ns.enter(|| {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").context("a socket")?;
        let mut value = Value { command: ETHTOOL_SGRO, data: 1 };
        // SAFETY: all zeros are an `ifreq`.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        request.ifr_name.iter_mut().zip(device.bytes()).for_each(|(to, byte)| *to = byte as libc::c_char);
        request.ifr_ifru.ifru_data = (&raw mut value).cast();
        // SAFETY: the request and the value that it points to outlive the call.
        let answer = unsafe {
            libc::ioctl(std::os::fd::AsRawFd::as_raw_fd(&socket), SIOCETHTOOL as _, &raw mut request)
        };
        ensure!(answer == 0, "switching GRO on: {}", std::io::Error::last_os_error());
        Ok(())
    })
}
