//! nftables and nf_conntrack on the second router.

use std::{fs, io::Read as _, net::IpAddr};

use sg_agent::policy::{Policy, model::Interface};
use socket2::{Domain, Protocol, Socket, Type};

use super::{
    decode::Decoded,
    ruleset::{TABLE, ruleset},
};
use crate::{netns::Netns, nft, packets::protocol};

/// Settings of nf_conntrack that are sg's: timeouts in seconds, connections opened by a SYN only, no check of sequence
/// numbers, nor of checksums.
const SETTINGS: [(&str, u32); 22] = [
    ("tcp_timeout_established", 600),
    ("tcp_timeout_fin_wait", 30),
    ("tcp_timeout_close_wait", 30),
    ("tcp_timeout_last_ack", 30),
    ("tcp_timeout_time_wait", 30),
    ("tcp_timeout_close", 30),
    ("tcp_timeout_syn_sent", 30),
    ("tcp_timeout_syn_recv", 30),
    ("tcp_timeout_unacknowledged", 600),
    ("tcp_timeout_max_retrans", 600),
    ("udp_timeout", 30),
    ("udp_timeout_stream", 180),
    ("icmp_timeout", 30),
    ("icmpv6_timeout", 30),
    ("gre_timeout", 30),
    ("gre_timeout_stream", 180),
    ("generic_timeout", 180),
    ("tcp_loose", 0),
    ("tcp_be_liberal", 1),
    ("tcp_ignore_invalid_rst", 1),
    ("checksum", 0),
    ("frag6_timeout", 30),
];

/// The rule set on a router.
pub struct Netfilter {
    host: Netns,
    /// To the kernel's connection tracking.
    conntrack: Socket,
}

/// What connection tracking knows of a packet's connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// TCP's state, such as `SYN_SENT`.
    pub state: Option<String>,
    /// Whether the packet goes the way of the connection's first.
    pub is_original: bool,
}

impl Netfilter {
    /// Puts a policy in force on `host`.
    pub fn new(host: &Netns, policy: &Policy) -> Self {
        let conntrack = host.enter(|| {
            let netlink = Domain::from(libc::AF_NETLINK);
            Socket::new(netlink, Type::RAW, Some(Protocol::from(libc::NETLINK_NETFILTER)))
        });
        let conntrack = conntrack.expect("a netlink socket");
        let netfilter = Self { host: host.clone(), conntrack };
        netfilter.apply(policy);
        // They are there once something tracks connections.
        for (name, value) in SETTINGS {
            host.sysctl(&format!("netfilter/nf_conntrack_{name}"), &value.to_string());
        }
        netfilter
    }

    /// Puts a policy with one interface in force.
    pub fn apply(&self, policy: &Policy) {
        let text = rules(policy);
        nft::load(&self.host, &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    }

    /// Forgets every connection: ctnetlink's `IPCTNL_MSG_CT_DELETE` for no connection in particular.
    pub fn forget(&self) {
        const DELETE: u16 = 1 << 8 | 2;
        const FLAGS: u16 = (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
        // `nlmsghdr` and `nfgenmsg`.
        let mut message = 20u32.to_ne_bytes().to_vec();
        message.extend([DELETE, FLAGS].map(u16::to_ne_bytes).concat());
        message.extend([0; 12]);
        self.conntrack.send(&message).expect("a message to the kernel");
        let mut answer = [0; 64];
        let length = (&self.conntrack).read(&mut answer).expect("the kernel's answer");
        // Behind its header an `nlmsgerr`, which begins with an error number.
        assert!(length >= 20 && answer[16..20] == [0; 4], "{:?}", &answer[..length]);
    }

    /// What is known of a packet's connection.
    pub fn entry(&self, packet: &Decoded) -> Option<Entry> {
        let table = self.host.enter(|| fs::read_to_string("/proc/thread-self/net/nf_conntrack"));
        table.expect("the kernel's connections").lines().find_map(|line| entry(line, packet))
    }

    /// How often each rule has counted a packet.
    pub fn counted(&self) -> Vec<String> {
        nft::counted(&self.host, "inet", TABLE)
    }
}

/// The rule set of a policy.
pub fn rules(policy: &Policy) -> String {
    let interface: &Interface = &policy.interfaces[0];
    ruleset(policy, interface)
}

/// A line of the kernel's list, if it is the packet's connection.
fn entry(line: &str, packet: &Decoded) -> Option<Entry> {
    let mut words = line.split_whitespace().skip(3);
    if words.next()?.parse() != Ok(packet.protocol) {
        return None;
    }
    let value = |name: &str| {
        line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
    };
    let address = |name: &str| value(name)?.parse::<IpAddr>().ok();
    let port = |name: &str| value(name)?.parse::<u16>().ok();
    let ends = ((address("src")?, port("sport")), (address("dst")?, port("dport")));
    let (source, destination) = match packet.ports() {
        Some((source, destination)) => (Some(source), Some(destination)),
        None => (None, None),
    };
    let own = ((packet.source, source), (packet.destination, destination));
    let is_original = own == ends;
    let has_id = matches!(packet.protocol, protocol::ICMP | protocol::ICMPV6);
    let is_query = !has_id || packet.word(4) == port("id");
    let is_here = (is_original || (own.1, own.0) == ends) && is_query;
    // Seconds, then the state, of protocols that have one.
    let state = words.nth(1).filter(|word| !word.contains('='));
    is_here.then(|| Entry { state: state.map(str::to_owned), is_original })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        packets::{Transport, flag},
        wire::Family,
    };

    #[test]
    fn an_entry_is_found_from_both_sides() {
        let line = "ipv6     10 tcp      6 28 SYN_SENT src=fd01:0000:0000:0000:0000:0000:0000:0002 \
            dst=fd02:0000:0000:0000:0000:0000:0000:0002 sport=4000 dport=80 [UNREPLIED] \
            src=fd02:0000:0000:0000:0000:0000:0000:0002 dst=fd01:0000:0000:0000:0000:0000:0000:0002 \
            sport=80 dport=4000 mark=0 zone=0 use=2";
        let there = Family::V6.inward().carry(&Transport::tcp(4000, 80, flag::SYN));
        let back = Family::V6.outward().carry(&Transport::tcp(80, 4000, flag::SYN));
        let other = Family::V6.outward().carry(&Transport::tcp(81, 4000, flag::SYN));
        let found = |datagram: &[u8]| entry(line, &Decoded::of(datagram).expect("a datagram"));
        let is = |is_original| Some(Entry { state: Some("SYN_SENT".to_owned()), is_original });
        assert_eq!([found(&there), found(&back), found(&other)], [is(true), is(false), None]);
    }
}
