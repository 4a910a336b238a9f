//! Every single-bit flip of a packet that passes (catalogue P41).

use sg_agent::policy::model::Direction;

use super::{ETHERNET, Shot, ethernet};
use crate::{
    packets::{Transport, checksum, flag},
    wire::Family,
};

/// Lets every [`subjects`] pass, as the text of a group.
pub const POLICY: &str = "    default_policy: {ingress: deny, egress: deny}
    rules:
      - {direction: ingress, protocol: tcp, ports: 80, priority: 2}
      - {direction: egress, protocol: tcp, ports: 80, priority: 2}
      - {direction: ingress, protocol: udp, ports: 53, priority: 2}
      - {direction: egress, protocol: udp, ports: 53, priority: 2}
      - {direction: ingress, service: ping, priority: 2}
      - {direction: egress, service: ping, priority: 2}
";

/// So many bytes of the frame are flipped.
const BYTES: usize = 64;

/// A packet to flip, and what must come before it for it to pass.
pub struct Subject {
    /// What it is.
    pub name: String,
    /// What comes before.
    pub before: Vec<Shot>,
    /// The packet.
    pub packet: Shot,
}

/// Subjects of both families and directions: what opens a connection, and what belongs to one.
pub fn subjects() -> Vec<Subject> {
    let mut all = Vec::new();
    for family in Family::BOTH {
        for direction in [Direction::Ingress, Direction::Egress] {
            all.extend(of(family, direction));
        }
    }
    all
}

fn of(family: Family, direction: Direction) -> [Subject; 4] {
    let (other, there, back) = match direction {
        Direction::Ingress => (Direction::Egress, family.inward(), family.outward()),
        Direction::Egress => (Direction::Ingress, family.outward(), family.inward()),
    };
    let send = |transport: Transport| {
        Shot::raw(direction, vec![ethernet(direction).ip(&there, &transport.payload(&[0x5a; 24]))])
    };
    let answer = |transport: Transport| Shot::raw(other, vec![ethernet(other).ip(&back, &transport)]);
    let (syn, ack) = (flag::SYN, flag::SYN | flag::ACK);
    let segment = |flags| send(Transport::tcp(4001, 80, flags));
    let subject = |what: &str, before: Vec<Shot>, packet: Shot| Subject {
        name: format!("{family:?} {direction:?} {what}"),
        before,
        packet,
    };
    [
        subject("SYN", Vec::new(), segment(syn)),
        subject("UDP", Vec::new(), send(Transport::udp(4001, 53))),
        subject(
            "ACK",
            vec![segment(syn), answer(Transport::tcp(80, 4001, ack))],
            segment(flag::ACK | flag::PSH),
        ),
        subject("echo", Vec::new(), send(Transport::ping(there.source, 7))),
    ]
}

impl Subject {
    /// The packet with each of its first bits flipped, one at a time; where that is in an IPv4 header, also with the
    /// header's checksum put right, for a router drops what has a wrong one.
    pub fn flipped(&self) -> Vec<Shot> {
        let [frame] = &self.packet.frames[..] else { panic!("one frame") };
        let v4 = frame[ETHERNET] >> 4 == 4;
        let mut all = Vec::new();
        for bit in 0..BYTES * 8 {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            all.push(flipped.clone());
            if v4 && (ETHERNET..ETHERNET + 20).contains(&(bit / 8)) {
                all.push(put_right(flipped));
            }
        }
        let direction = self.packet.direction;
        all.into_iter().map(|frame| Shot::raw(direction, vec![frame])).collect()
    }
}

/// With the checksum of the IPv4 header that its length field claims.
fn put_right(mut frame: Vec<u8>) -> Vec<u8> {
    let end = (ETHERNET + usize::from(frame[ETHERNET] & 15) * 4).clamp(ETHERNET + 20, frame.len());
    frame[ETHERNET + 10..ETHERNET + 12].fill(0);
    let sum = checksum(0, &frame[ETHERNET..end]);
    frame[ETHERNET + 10..ETHERNET + 12].copy_from_slice(&sum.to_be_bytes());
    frame
}
