//! What is written on the command line: protocols, addresses, prefixes, time spans. Every fault says what is allowed.

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;

use crate::policy::{language::PROTOCOLS, model::Direction, suggest, validate};

/// A protocol by name or number.
pub fn protocol(text: &str) -> Result<u8, String> {
    if let Some((_, number)) = PROTOCOLS.iter().find(|(name, _)| *name == text) {
        return Ok(*number);
    }
    if text.bytes().all(|byte| byte.is_ascii_digit())
        && let Ok(number) = text.parse()
    {
        return Ok(number);
    }
    let names = || PROTOCOLS.iter().map(|(name, _)| *name);
    let hint = match text {
        "icmp6" | "ipv6-icmp" => Some("did you mean `icmpv6`?".to_owned()),
        other => suggest::near_miss(other, names()),
    };
    let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
    Err(format!("a protocol is {}, or a number from 0 to 255{hint}", suggest::one_of(names())))
}

/// A direction.
pub fn direction(text: &str) -> Result<Direction, String> {
    match text {
        "ingress" => Ok(Direction::Ingress),
        "egress" => Ok(Direction::Egress),
        _ => Err("a direction is `ingress` (to the protected side) or `egress`".to_owned()),
    }
}

/// An address.
pub fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| "write an IP address, such as 192.0.2.7 or 2001:db8::7".to_owned())
}

/// A port.
pub fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "a port is a number from 0 to 65535".to_owned())
}

/// An address or a prefix without host bits.
pub fn network(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.into());
    }
    let Ok(net) = text.parse::<IpNet>() else {
        return Err("write an address or a CIDR prefix: `10.0.0.5`, `10.0.0.0/8`, `2001:db8::/32`".to_owned());
    };
    if net.trunc() != net {
        let (network, address) = (net.trunc(), net.addr());
        return Err(format!(
            "it has bits set after its length /{}; did you mean `{network}` or `{address}`?",
            net.prefix_len()
        ));
    }
    Ok(net)
}

/// A time span such as `30d`, `12h`, `1h30m`: written as in a policy file.
pub fn duration(text: &str) -> Result<Duration, String> {
    let fault = || "write whole numbers with `s`, `m`, `h` or `d`: `45m`, `12h`, `30d`".to_owned();
    validate::seconds(text).map(Duration::from_secs).ok_or_else(fault)
}

/// How long a change may wait for its confirmation.
pub fn trial_time(text: &str) -> Result<Duration, String> {
    const LONGEST: Duration = Duration::from_secs(86_400);
    let time = duration(text)?;
    let fits = !time.is_zero() && time <= LONGEST;
    fits.then_some(time).ok_or_else(|| "write a time from `1s` to `1d`".to_owned())
}

/// A MAC address.
pub fn mac(text: &str) -> Result<[u8; 6], String> {
    let octets: Option<Vec<u8>> = text
        .split(':')
        .map(|octet| u8::from_str_radix(octet, 16).ok().filter(|_| octet.len() == 2))
        .collect();
    octets
        .and_then(|octets| octets.try_into().ok())
        .ok_or_else(|| "write six pairs of hex digits, such as 52:54:00:12:34:56".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_address_is_six_octets() {
        assert_eq!(mac("52:54:00:12:34:56"), Ok([0x52, 0x54, 0, 0x12, 0x34, 0x56]));
        assert!(mac("52:54:00:12:34").is_err() && mac("5254:0:12:34:56:+1").is_err());
    }

    #[test]
    fn protocols_have_names_and_numbers() {
        assert_eq!((protocol("tcp"), protocol("132"), protocol("0")), (Ok(6), Ok(132), Ok(0)));
        assert!(protocol("tpc").is_err_and(|fault| fault.ends_with("did you mean `tcp`?")));
        assert!(protocol("256").is_err() && protocol("").is_err() && protocol("-1").is_err());
    }

    #[test]
    fn an_address_is_a_network_of_one() {
        assert_eq!(network("10.0.0.5"), Ok("10.0.0.5/32".parse().unwrap()));
        assert_eq!(network("fd00::/8"), Ok("fd00::/8".parse().unwrap()));
        assert!(network("10.0.0.5/24").is_err_and(|fault| fault.contains("`10.0.0.0/24` or `10.0.0.5`")));
        assert!(network("10.0.0.0/33").is_err());
    }

    #[test]
    fn a_time_span_has_units() {
        assert_eq!(duration("1d12h"), Ok(Duration::from_secs(129_600)));
        for bad in ["", "30", "d", "1.5h", "-1s", "3w"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
