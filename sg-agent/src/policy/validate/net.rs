//! Addresses, prefixes and MAC addresses.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;

use super::super::{
    code::Code,
    diagnostic::{Report, Span},
    document::{Scalar, clip},
    language,
};

/// A fault of an address or prefix, before it is known where it stands.
pub struct NetFault {
    code: Code,
    message: String,
    help: &'static str,
    suggestion: Option<String>,
}

impl NetFault {
    /// Reports the fault at `span`.
    pub fn report(self, span: Span, report: &mut Report) {
        report.push(self.code, span, self.message).help(self.help).suggest(self.suggestion);
    }
}

/// The prefix `scalar`.
pub fn prefix(scalar: &Scalar<'_>, report: &mut Report) -> Option<IpNet> {
    parse_prefix(&scalar.text).map_err(|fault| fault.report(scalar.span, report)).ok()
}

/// The prefixes of a list, sorted, each once.
pub fn prefixes(scalars: &[Scalar<'_>], report: &mut Report) -> Vec<IpNet> {
    let set: BTreeSet<IpNet> = scalars.iter().filter_map(|scalar| prefix(scalar, report)).collect();
    set.into_iter().collect()
}

/// An address (as a prefix of full length) or a prefix without host bits.
pub fn parse_prefix(text: &str) -> Result<IpNet, NetFault> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let Ok(address) = address.parse::<IpAddr>() else { return Err(not_a_prefix(text)) };
    let full: u8 = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        None => full,
        Some(written) => {
            prefix_length(written, full).ok_or_else(|| bad_length(text, address, written, full))?
        }
    };
    let net = IpNet::new(address, length).map_err(|_| not_a_prefix(text))?;
    if net.trunc() != net {
        return Err(host_bits(text, net));
    }
    if let IpAddr::V6(v6) = address
        && v6.to_ipv4_mapped().is_some()
        && length >= 96
    {
        return Err(mapped(text, v6, length));
    }
    Ok(net)
}

fn prefix_length(written: &str, full: u8) -> Option<u8> {
    let plain = !written.is_empty() && written.bytes().all(|b| b.is_ascii_digit());
    let no_zero = written == "0" || !written.starts_with('0');
    (plain && no_zero).then(|| written.parse().ok()).flatten().filter(|length| *length <= full)
}

fn not_a_prefix(text: &str) -> NetFault {
    let reason = match text {
        _ if text.contains('%') => " (a zone such as `%eth0` is not part of a prefix)",
        _ if text.is_empty() => " (it is empty)",
        _ => "",
    };
    let message = format!("`{}` is not an IP address or CIDR prefix{reason}", clip(text));
    NetFault { code: Code::Prefix, message, help: language::PREFIX, suggestion: completed(text) }
}

/// `10.0.0.0/8` for `10/8`, `10.0/8` and `10.0.0/8`.
fn completed(text: &str) -> Option<String> {
    let (address, length) = text.split_once('/')?;
    let octets = address.split('.').count();
    if octets >= 4 || !address.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    let candidate = format!("{address}{}/{length}", ".0".repeat(4 - octets));
    parse_prefix(&candidate).ok().map(|net| format!("did you mean `{net}`?"))
}

fn bad_length(text: &str, address: IpAddr, written: &str, full: u8) -> NetFault {
    let family = if full == 32 { "IPv4" } else { "IPv6" };
    let message = format!("`{}` has length `{}`, {family} allows 0 to {full}", clip(text), clip(written));
    let from_mask =
        written.parse::<Ipv4Addr>().ok().and_then(|mask| IpNet::with_netmask(address, mask.into()).ok());
    let suggestion = from_mask.map(|net| format!("did you mean `{}`?", net.trunc()));
    NetFault { code: Code::Prefix, message, help: language::PREFIX, suggestion }
}

fn host_bits(text: &str, net: IpNet) -> NetFault {
    NetFault {
        code: Code::HostBits,
        message: format!("`{}` has bits set after its length /{}", clip(text), net.prefix_len()),
        help: "a prefix names its network; for one address leave the length out",
        suggestion: Some(format!("did you mean `{}` or `{}`?", net.trunc(), net.addr())),
    }
}

fn mapped(text: &str, v6: Ipv6Addr, length: u8) -> NetFault {
    let v4 =
        v6.to_ipv4_mapped().map_or_else(String::new, |v4| format!("did you mean `{v4}/{}`?", length - 96));
    NetFault {
        code: Code::Prefix,
        message: format!("`{}` is an IPv4-mapped prefix, which no packet on a wire has", clip(text)),
        help: "write IPv4 addresses as IPv4",
        suggestion: Some(v4),
    }
}

/// An address that an instance can have.
pub fn address(scalar: &Scalar<'_>, report: &mut Report) -> Option<IpAddr> {
    let Ok(address) = scalar.text.parse::<IpAddr>() else {
        let stem = scalar.text.split('/').next().and_then(|stem| stem.parse::<IpAddr>().ok());
        report
            .push(Code::Address, scalar.span, format!("`{}` is not an IP address", clip(&scalar.text)))
            .help(language::ADDRESS)
            .suggest(stem.map(|stem| format!("did you mean `{stem}`?")));
        return None;
    };
    let Some(why) = not_a_station(address) else { return Some(address) };
    report
        .push(Code::Address, scalar.span, format!("`{address}` is {why}, which no instance has"))
        .help(language::ADDRESS);
    None
}

fn not_a_station(address: IpAddr) -> Option<&'static str> {
    match address {
        _ if address.is_unspecified() => Some("the unspecified address"),
        _ if address.is_multicast() => Some("a multicast address"),
        _ if address.is_loopback() => Some("a loopback address"),
        IpAddr::V4(v4) if v4.is_broadcast() => Some("the broadcast address"),
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Some("an IPv4-mapped address"),
        _ => None,
    }
}

/// The MAC address of one station.
pub fn mac(scalar: &Scalar<'_>, report: &mut Report) -> Option<[u8; 6]> {
    let why = match parse_mac(&scalar.text, ':') {
        None => "is not a MAC address",
        Some([0xff, 0xff, 0xff, 0xff, 0xff, 0xff]) => "is the broadcast address",
        Some([0, 0, 0, 0, 0, 0]) => "is the zero address",
        Some([first, ..]) if first & 1 == 1 => "is a multicast address",
        Some(mac) => return Some(mac),
    };
    let dashed = parse_mac(&scalar.text, '-').map(|mac| format!("did you mean `{}`?", mac_text(mac)));
    report
        .push(Code::Mac, scalar.span, format!("`{}` {why}", clip(&scalar.text)))
        .help(language::MAC)
        .suggest(dashed);
    None
}

fn parse_mac(text: &str, separator: char) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.split(separator);
    for byte in &mut mac {
        let part = parts.next().filter(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()))?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}

fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
