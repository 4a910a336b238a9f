//! Rule sets in the format of ClassBench (Taylor and Turner, INFOCOM 2005), a rule per line:
//!
//! ```text
//! @10.1.0.0/16  192.0.2.0/24  0 : 65535  80 : 80  0x06/0xFF  0x0000/0x0000
//! ```
//!
//! Source prefix, destination prefix, source ports, destination ports, protocol, flags. Of a security group's rule they
//! leave the source as the remote, the destination ports, and the protocol; all rules allow, so the first match decides.
//! Ports mean something to TCP, UDP and SCTP only.

use std::{fmt::Write as _, net::Ipv4Addr};

use anyhow::{Context as _, Result, bail, ensure};
use ipnet::Ipv4Net;

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Where packets come from.
    pub source: Ipv4Net,
    /// Lowest and highest destination port.
    pub ports: (u16, u16),
    /// IP protocol; `None`: any.
    pub protocol: Option<u8>,
}

/// What rules look at in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Where it comes from.
    pub source: Ipv4Addr,
    /// Destination port, of protocols that have ports.
    pub port: u16,
    /// IP protocol.
    pub protocol: u8,
}

/// Every destination port.
pub const ANY_PORT: (u16, u16) = (0, u16::MAX);
const PROTOCOLS_WITH_PORTS: [u8; 3] = [6, 17, 132];

/// The rules of a file.
///
/// # Errors
/// Names the first line that is none.
pub fn parse(text: &str) -> Result<Vec<Rule>> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(at, line)| rule(line).with_context(|| format!("line {}: {line}", at + 1))).collect()
}

fn rule(line: &str) -> Result<Rule> {
    let words: Vec<&str> = line.split_whitespace().collect();
    // Old files end with the protocol.
    let [source, _, _, ":", _, low, ":", high, protocol, ..] = words.as_slice() else {
        bail!("not `@source destination low : high low : high protocol flags`");
    };
    let source: Ipv4Net = source.strip_prefix('@').context("no @")?.parse().context("the source")?;
    let ports = (low.parse().context("a port")?, high.parse().context("a port")?);
    ensure!(ports.0 <= ports.1, "ports in reverse");
    Ok(Rule { source: source.trunc(), ports, protocol: self::protocol(protocol)? })
}

fn protocol(word: &str) -> Result<Option<u8>> {
    let (number, mask) = word.split_once('/').context("a protocol without a mask")?;
    let byte = |text: &str| u8::from_str_radix(text.trim_start_matches("0x"), 16).context("a protocol");
    match byte(mask)? {
        0 => Ok(None),
        0xff => Ok(Some(byte(number)?)),
        _ => bail!("a mask of some bits of the protocol"),
    }
}

/// The file of these rules; destinations and source ports are any.
pub fn text(rules: &[Rule]) -> String {
    let mut text = String::new();
    for Rule { source, ports: (low, high), protocol } in rules {
        let (number, mask) = protocol.map_or((0, 0), |protocol| (protocol, 0xff));
        let _ = writeln!(
            text,
            "@{source}\t0.0.0.0/0\t0 : 65535\t{low} : {high}\t0x{number:02x}/0x{mask:02X}\t0x0000/0x0000"
        );
    }
    text
}

impl Rule {
    /// Whether it matches.
    pub fn covers(&self, header: &Header) -> bool {
        let (low, high) = self.ports;
        let port = !has_ports(header.protocol) || (low..=high).contains(&header.port);
        port && self.protocol.is_none_or(|protocol| protocol == header.protocol)
            && self.source.contains(&header.source)
    }

    /// The line of a policy file that says the same.
    fn policy(&self) -> String {
        let (low, high) = self.ports;
        let protocol = self.protocol.map_or_else(|| "all".to_owned(), |number| number.to_string());
        let has_range = self.ports != ANY_PORT && self.protocol.is_some_and(has_ports);
        let ports = if has_range { format!(", ports: {low}-{high}") } else { String::new() };
        format!("{{direction: ingress, protocol: {protocol}{ports}, remote: {}}}", self.source)
    }
}

fn has_ports(protocol: u8) -> bool {
    PROTOCOLS_WITH_PORTS.contains(&protocol)
}

/// The first rule that matches, found by trying one after the other.
pub fn first_match(rules: &[Rule], header: &Header) -> Option<usize> {
    rules.iter().position(|rule| rule.covers(header))
}

/// The policy file that binds the rules to `device`. They are stateless: no connection stands for a verdict.
pub fn policy(rules: &[Rule], device: &str) -> String {
    let mut text = format!(
        "version: 1
settings:
  quotas: {{rules_per_group: {}}}
  limits: {{policy_bytes: {POLICY_BYTES}, rule_counters: {COUNTERS}}}
interfaces:
  - {{name: {device}, role: host, groups: [set], rx_hook: xdp-native}}
security_groups:
  set:
    stateful: false
    rules:
",
        rules.len()
    );
    for rule in rules {
        let _ = writeln!(text, "      - {}", rule.policy());
    }
    text
}

/// Room for 100,000 rules of any kind.
const POLICY_BYTES: u64 = 1 << 30;
const COUNTERS: u32 = 262_144;

/// Headers near the rules: three of four are made from one, and of these every other one is then changed in one place.
pub fn headers(rules: &[Rule], count: usize, random: &mut fastrand::Rng) -> Vec<Header> {
    let mut headers = Vec::with_capacity(count);
    while headers.len() < count {
        let header = header(rules, random);
        if !is_reserved(header.source) {
            headers.push(header);
        }
    }
    headers
}

fn header(rules: &[Rule], random: &mut fastrand::Rng) -> Header {
    let anything = Header {
        source: Ipv4Addr::from(random.u32(..)),
        port: random.u16(..),
        protocol: *random.choice(&[6, 17, 1, 47]).unwrap_or(&6),
    };
    let choice = random.u8(..8);
    let Some(rule) = random.choice(rules).filter(|_| choice < 6) else { return anything };
    let of_rule = Header {
        source: Ipv4Addr::from(
            u32::from(rule.source.network()) | random.u32(..) & u32::from(rule.source.hostmask()),
        ),
        port: random.u16(rule.ports.0..=rule.ports.1),
        protocol: rule.protocol.unwrap_or(anything.protocol),
    };
    match choice {
        0 => Header { source: Ipv4Addr::from(u32::from(of_rule.source) ^ 1 << random.u8(..32)), ..of_rule },
        1 => Header { port: anything.port, ..of_rule },
        2 => Header { protocol: anything.protocol, ..of_rule },
        _ => of_rule,
    }
}

/// Whether nobody may send from there: the guards of the packet path drop it before any rule is asked.
fn is_reserved(address: Ipv4Addr) -> bool {
    matches!(address.octets()[0], 0 | 127 | 224..)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle;

    const SET: &str = "
@10.0.0.0/8\t192.0.2.1/32\t0 : 65535\t80 : 90\t0x06/0xFF\t0x0000/0x0200\t
@10.1.2.3/32 0.0.0.0/0 0 : 65535 0 : 65535 0x00/0x00
@0.0.0.0/0  0.0.0.0/0  7 : 9  1024 : 65535  0x11/0xFF  0x0000/0x0000
";

    fn header(source: [u8; 4], protocol: u8, port: u16) -> Header {
        Header { source: source.into(), port, protocol }
    }

    #[test]
    fn a_line_is_source_port_and_protocol() {
        let rules = parse(SET).expect("a set");
        assert_eq!(rules.len(), 3);
        let source: Ipv4Net = "10.0.0.0/8".parse().expect("a prefix");
        assert_eq!(rules[0], Rule { source, ports: (80, 90), protocol: Some(6) });
        assert_eq!((rules[1].ports, rules[1].protocol), (ANY_PORT, None));
        assert_eq!(parse(&text(&rules)).expect("what was written"), rules);
    }

    #[test]
    fn what_is_no_rule_is_named_with_its_line() {
        for line in [
            "10.0.0.0/8 0.0.0.0/0 0 : 1 0 : 1 0x06/0xFF",
            "@10.0.0.0/33 0.0.0.0/0 0 : 1 0 : 1 0x06/0xFF",
            "@10.0.0.0/8 0.0.0.0/0 0 : 1 2 : 1 0x06/0xFF",
            "@10.0.0.0/8 0.0.0.0/0 0 : 1 0 : 65536 0x06/0xFF",
            "@10.0.0.0/8 0.0.0.0/0 0 : 1 0 : 1 0x06/0x0F",
            "@10.0.0.0/8",
        ] {
            let error = parse(&format!("{SET}{line}\n")).expect_err(line);
            assert!(error.to_string().starts_with("line 5: "), "{error}");
        }
    }

    #[test]
    fn the_first_match_decides() {
        let rules = parse(SET).expect("a set");
        for (header, first) in [
            (header([10, 1, 2, 3], 6, 80), Some(0)),
            (header([10, 1, 2, 3], 6, 79), Some(1)),
            (header([10, 1, 2, 4], 6, 79), None),
            (header([11, 0, 0, 1], 17, 1024), Some(2)),
            (header([11, 0, 0, 1], 17, 1023), None),
            (header([10, 1, 2, 3], 47, 0), Some(1)),
        ] {
            assert_eq!(first_match(&rules, &header), first, "{header:?}");
        }
    }

    #[test]
    fn a_set_is_a_policy_of_as_many_rules() {
        let rules = parse(SET).expect("a set");
        let policy = oracle::policy(&policy(&rules, "nic"));
        assert_eq!(policy.groups["set"].rules.len(), rules.len());
    }

    #[test]
    fn headers_match_and_miss() {
        let rules = parse(SET).expect("a set");
        let headers = headers(&rules, 1_000, &mut fastrand::Rng::with_seed(1));
        assert!(headers.iter().all(|header| !is_reserved(header.source)));
        let matched = headers.iter().filter(|header| first_match(&rules, header).is_some()).count();
        assert!((200..900).contains(&matched), "{matched}");
        assert!((0..3).all(|rule| headers.iter().any(|header| first_match(&rules, header) == Some(rule))));
    }
}
