//! Frames, built from the inside out, each layer with what it carries: [`Transport`] in [`Ip`] in [`Ethernet`].
//!
//! Lengths and checksums are right unless a test makes them wrong: every field that a test may want to bend is public,
//! and the bytes are a plain `Vec<u8>`.

mod checksum;
mod ethernet;
mod ip;
mod numbers;
mod transport;

pub(crate) use checksum::checksum;
pub use ethernet::{Ethernet, Mac, arp};
pub(crate) use ip::octets;
pub use ip::{Ip, padding};
pub use numbers::{ethertype, extension, flag, protocol};
pub use transport::{Transport, query};

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn v4() -> Ip {
        Ip::new(address("10.0.0.1"), address("10.0.0.2"))
    }

    fn v6() -> Ip {
        Ip::new(address("fd00::1"), address("fd00::2"))
    }

    #[test]
    fn checksums_of_what_arrives_are_zero() {
        let datagram = v4().carry(&Transport::udp(1, 2).payload(b"odd"));
        assert_eq!(checksum(0, &datagram[..20]), 0);
        let pseudo = Transport::udp(1, 2).payload(b"odd").pseudo_sum(v4().source, v4().destination);
        assert_eq!(checksum(pseudo, &datagram[20..]), 0);
        assert_eq!(checksum(0, &v4().carry(&Transport::ping(v4().source, 7))[20..]), 0);
    }

    #[test]
    fn lengths_count_what_follows() {
        let datagram = v4().carry(&Transport::udp(1, 2).payload(&[0; 10]));
        assert_eq!((datagram.len(), &datagram[2..4], &datagram[24..26]), (38, &[0, 38][..], &[0, 18][..]));
        let datagram = v6().carry(&Transport::tcp(1, 2, flag::SYN));
        assert_eq!((datagram.len(), &datagram[4..8]), (60, &[0, 20, 6, 64][..]));
    }

    #[test]
    fn options_lengthen_the_ipv4_header() {
        let ip = Ip { options: vec![1, 1, 1, 0], ..v4() };
        assert_eq!(ip.carry(&Transport::tcp(1, 2, flag::SYN))[0], 0x46);
    }

    #[test]
    fn extension_headers_name_what_follows() {
        let extensions = vec![(extension::HOP_BY_HOP, padding(1)), (extension::DESTINATION, padding(2))];
        let datagram = Ip { extensions, ..v6() }.carry(&Transport::udp(1, 2));
        assert_eq!(datagram[6], extension::HOP_BY_HOP);
        assert_eq!(datagram[40..48], [extension::DESTINATION, 0, 1, 4, 0, 0, 0, 0]);
        assert_eq!(datagram[48..52], [protocol::UDP, 1, 1, 12]);
        assert_eq!(datagram.len(), 40 + 8 + 16 + 8);
    }

    #[test]
    fn fragments_cover_the_datagram() {
        let transport = Transport::udp(1, 2).payload(&[7; 40]);
        let pieces = Ip { id: 9, ..v4() }.fragments(&transport, 24);
        assert_eq!(pieces.iter().map(|piece| piece[6..8].to_vec()).collect::<Vec<_>>(), [[0x20, 0], [0, 3]]);
        let pieces = Ip { id: 9, ..v6() }.fragments(&transport, 24);
        assert_eq!(pieces[0][40..48], [protocol::UDP, 0, 0, 1, 0, 0, 0, 9]);
        assert_eq!(pieces[1][40..48], [protocol::UDP, 0, 0, 24, 0, 0, 0, 9]);
    }

    #[test]
    fn tags_stand_before_the_ethertype() {
        let ethernet = Ethernet { tags: vec![(ethertype::VLAN, 5)], ..Ethernet::default() };
        assert_eq!(ethernet.frame(ethertype::ARP, &[])[12..], [0x81, 0, 0, 5, 8, 6]);
    }
}
