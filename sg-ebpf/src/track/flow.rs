//! Which flow a packet belongs to.

use sg_common::conntrack::{Key4, Key6, Step, query};

use crate::packet::{Packet, protocol};

/// What a packet is to connection tracking.
#[derive(Clone, Copy)]
pub struct Flow {
    /// What it is to the automaton.
    pub step: Step,
    /// Whether such packets are tracked at all. Of ICMP only queries and their replies are.
    pub tracked: bool,
    /// Whether it may open a connection.
    pub opens: bool,
}

impl Flow {
    /// The flow properties of a packet.
    #[inline(always)]
    pub fn of(packet: &Packet) -> Self {
        if packet.protocol == protocol::TCP {
            return Self { step: Step::Tcp(packet.flags), tracked: true, opens: packet.flags.opens() };
        }
        if !packet.is_icmp() {
            return Self { step: Step::Other, tracked: true, opens: true };
        }
        match query::of(packet.protocol, packet.icmp_kind()) {
            Some((_, is_reply)) if packet.icmp_code() == 0 => {
                Self { step: Step::Query, tracked: true, opens: !is_reply }
            }
            _ => Self { step: Step::Other, tracked: false, opens: false },
        }
    }

    /// Whether it is TCP from the middle of a connection: neither of its start nor of its abrupt end.
    #[inline(always)]
    pub fn is_mid_stream(&self) -> bool {
        matches!(self.step, Step::Tcp(flags) if !flags.syn() && !flags.rst())
    }

    /// Whether it is a SYN that opens a connection.
    #[inline(always)]
    pub fn is_opening_syn(&self) -> bool {
        matches!(self.step, Step::Tcp(flags) if flags.opens())
    }
}

/// A key that is made from a packet.
pub trait FlowKey: Sized {
    /// The key of the flow that `packet` belongs to on the interface in directory slot `slot`; `outward`: it comes
    /// from the protected side.
    fn of(slot: u32, outward: bool, packet: &Packet) -> Self;
    /// Destination port of packets from the other end, in host order; for ICMP queries the type and code.
    fn ingress_service(&self) -> u16;
    /// Destination port of packets to the other end, in host order; for ICMP queries the type and code.
    fn egress_service(&self) -> u16;
}

/// Ports as the key has them, and its query number.
struct Ports {
    remote: [u8; 2],
    local: [u8; 2],
    query: u8,
}

#[inline(always)]
fn ports(outward: bool, packet: &Packet) -> Ports {
    if packet.is_icmp() {
        let Some((number, is_reply)) = query::of(packet.protocol, packet.icmp_kind()) else {
            return Ports { remote: [0; 2], local: [0; 2], query: 0 };
        };
        let asker = if outward != is_reply { query::LOCAL_ASKED } else { 0 };
        return Ports { remote: [0; 2], local: packet.src_port, query: number | asker };
    }
    let (remote, local) =
        if outward { (packet.dst_port, packet.src_port) } else { (packet.src_port, packet.dst_port) };
    Ports { remote, local, query: 0 }
}

/// Row key of a flow's packets to the side whose port is `port`.
#[inline(always)]
fn service(protocol: u8, query: u8, port: [u8; 2]) -> u16 {
    if query == 0 {
        return u16::from_be_bytes(port);
    }
    u16::from(query::request_kind(protocol, query & !query::LOCAL_ASKED)) << 8
}

macro_rules! flow_key {
    ($key:ident, $address:expr) => {
        impl FlowKey for $key {
            #[inline(always)]
            fn of(slot: u32, outward: bool, packet: &Packet) -> Self {
                let address = $address;
                let (remote, local) = if outward {
                    (address(&packet.dst), address(&packet.src))
                } else {
                    (address(&packet.src), address(&packet.dst))
                };
                let ports = ports(outward, packet);
                Self {
                    remote,
                    local,
                    remote_port: ports.remote,
                    local_port: ports.local,
                    slot: slot as u16,
                    protocol: packet.protocol,
                    query: ports.query,
                }
            }

            #[inline(always)]
            fn ingress_service(&self) -> u16 {
                service(self.protocol, self.query, self.local_port)
            }

            #[inline(always)]
            fn egress_service(&self) -> u16 {
                service(self.protocol, self.query, self.remote_port)
            }
        }
    };
}

flow_key!(Key4, |addr: &sg_common::addr::Addr| addr.v4_octets());
flow_key!(Key6, |addr: &sg_common::addr::Addr| addr.0);

#[cfg(test)]
mod tests {
    use sg_common::addr::Addr;

    use super::*;
    use crate::packet::V4;

    fn echo(kind: u8, outward: bool) -> Key4 {
        let packet = Packet {
            src: Addr::v4([10, 0, 0, if outward { 1 } else { 2 }]),
            dst: Addr::v4([10, 0, 0, if outward { 2 } else { 1 }]),
            family: V4,
            protocol: 1,
            src_port: [0, 7],
            dst_port: [kind, 0],
            ..Packet::default()
        };
        Key4::of(3, outward, &packet)
    }

    #[test]
    fn a_reply_finds_its_request_and_a_request_from_the_peer_does_not() {
        let ours = echo(8, true);
        assert_eq!(echo(0, false), ours);
        assert_ne!(echo(8, false), ours);
        assert_eq!(echo(0, true), echo(8, false));
    }

    #[test]
    fn both_directions_of_a_flow_have_one_key() {
        let out = Packet {
            src: Addr::v4([10, 0, 0, 1]),
            dst: Addr::v4([10, 0, 0, 2]),
            family: V4,
            protocol: 6,
            src_port: [1, 2],
            dst_port: [3, 4],
            ..Packet::default()
        };
        let back =
            Packet { src: out.dst, dst: out.src, src_port: out.dst_port, dst_port: out.src_port, ..out };
        assert_eq!(Key4::of(1, true, &out), Key4::of(1, false, &back));
        assert_ne!(Key4::of(1, true, &out), Key4::of(2, true, &out));
        assert_eq!(Key4::of(1, true, &out).ingress_service(), 0x0102);
    }
}
