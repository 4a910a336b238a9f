//! Protocols, ports and prefixes as the sources write them.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::policy::{
    document::clip,
    language::PROTOCOLS,
    model::{Match, PortRange},
    validate::parse_prefix,
};

/// Names of protocols that the policy language takes by number (the list of Neutron's API, IANA's numbers).
const OTHERS: &[(&str, u8)] = &[
    ("ipv6-icmp", 58),
    ("icmp6", 58),
    ("dccp", 33),
    ("egp", 8),
    ("igmp", 2),
    ("ipip", 4),
    ("ipv6-encap", 41),
    ("ipv6-frag", 44),
    ("ipv6-nonxt", 59),
    ("ipv6-opts", 60),
    ("ipv6-route", 43),
    ("ospf", 89),
    ("pgm", 113),
    ("rsvp", 46),
    ("udplite", 136),
    ("vrrp", 112),
];

/// Whether `text` is a number that readers of YAML 1.1 take as octal, and others do not.
fn is_octal(text: &str) -> bool {
    text.len() > 1 && text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A protocol by name or number; `None` is every protocol. An error says what it is.
pub fn protocol(text: &str) -> Result<Option<u8>, String> {
    let lower = text.to_ascii_lowercase();
    if matches!(lower.as_str(), "" | "-1" | "all" | "any") {
        return Ok(None);
    }
    if is_octal(&lower) {
        return Err(octal(&lower));
    }
    let named = PROTOCOLS.iter().chain(OTHERS).find(|(name, _)| *name == lower).map(|(_, number)| *number);
    match named.or_else(|| lower.parse().ok()) {
        Some(number) => Ok(Some(number)),
        None => Err(format!("`{}` is not a protocol", clip(text))),
    }
}

fn octal(text: &str) -> String {
    format!("`{}` is another number where a leading 0 means octal", clip(text))
}

/// A number, where there is one; `-1` stands for none.
pub fn number(text: Option<&str>) -> Result<Option<u16>, String> {
    match text {
        None | Some("-1") => Ok(None),
        Some(text) if is_octal(text) => Err(octal(text)),
        Some(text) => match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(format!("`{}` is not a number from 0 to 65535", clip(text))),
        },
    }
}

/// What a protocol with two numbers matches: first and last port, or ICMP type and code.
pub fn traffic(protocol: Option<u8>, first: Option<u16>, last: Option<u16>) -> Result<Match, String> {
    let Some(protocol) = protocol else { return Ok(Match::All) };
    match (protocol, first, last) {
        (_, None, None) => Ok(Match::Protocol(protocol)),
        (1 | 58, kind, code) => icmp(protocol, kind, code),
        (6 | 17 | 132, Some(0), Some(u16::MAX)) => Ok(Match::Protocol(protocol)),
        (6 | 17 | 132, Some(first), Some(last)) if first <= last => {
            Ok(Match::Ports(protocol, vec![PortRange { first, last }]))
        }
        (6 | 17 | 132, Some(first), Some(last)) => {
            Err(format!("port range {first} to {last} runs backwards"))
        }
        (6 | 17 | 132, ..) => Err("a port range has only one end".to_owned()),
        _ => Err(format!("ports of protocol {protocol} cannot be told apart")),
    }
}

fn icmp(protocol: u8, kind: Option<u16>, code: Option<u16>) -> Result<Match, String> {
    let byte = |number: u16| u8::try_from(number).map_err(|_| format!("ICMP has no type or code {number}"));
    let Some(kind) = kind else { return Err("an ICMP code without a type".to_owned()) };
    Ok(Match::Icmp { protocol, kind: byte(kind)?, code: code.map(byte).transpose()? })
}

/// A prefix without host bits, and whether some were cut off.
pub fn prefix(text: &str) -> Result<(IpNet, bool), String> {
    let bad = || format!("`{}` is not an IP address or CIDR prefix", clip(text));
    let written = text.trim();
    let net: IpNet = match written.parse() {
        Ok(net) => net,
        Err(_) => written.parse::<IpAddr>().map_err(|_| bad())?.into(),
    };
    let clean = net.trunc();
    // The policy language refuses some prefixes that are well formed.
    parse_prefix(&clean.to_string()).map_err(|_| bad())?;
    Ok((clean, clean != net))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_never_any() {
        let echo_reply = Match::Icmp { protocol: 1, kind: 0, code: Some(0) };
        assert_eq!(traffic(Some(1), Some(0), Some(0)), Ok(echo_reply));
        assert_eq!(
            traffic(Some(6), Some(0), Some(0)),
            Ok(Match::Ports(6, vec![PortRange { first: 0, last: 0 }]))
        );
        assert_eq!(number(Some("-1")), Ok(None));
        assert_eq!(protocol("0"), Ok(Some(0)));
    }

    #[test]
    fn what_has_no_meaning_is_refused() {
        assert!(traffic(Some(6), Some(90), Some(80)).is_err());
        assert!(traffic(Some(6), None, Some(80)).is_err());
        assert!(traffic(Some(1), Some(256), None).is_err());
        assert!(traffic(Some(33), Some(1), Some(2)).is_err());
        assert!(protocol("tpc").is_err() && protocol("256").is_err());
        assert!(prefix("::ffff:10.0.0.0/104").is_err() && prefix("10.0.0.0/33").is_err());
    }

    #[test]
    fn octal_is_refused() {
        assert!(number(Some("022")).is_err() && number(Some("00")).is_err() && protocol("06").is_err());
        assert_eq!((number(Some("0")), number(Some("22"))), (Ok(Some(0)), Ok(Some(22))));
    }

    #[test]
    fn host_bits_are_cut_and_told() {
        assert_eq!(prefix("10.1.2.3/8"), Ok(("10.0.0.0/8".parse().unwrap(), true)));
        assert_eq!(prefix("fd00::1"), Ok(("fd00::1/128".parse().unwrap(), false)));
    }
}
