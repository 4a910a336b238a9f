//! Rule sets like those of ClassBench, made from a few numbers and a seed.
//!
//! ClassBench's seeds describe real access lists (acl), firewalls (fw) and chains of Linux packet filters (ipc). What
//! is drawn here has the same character where a security group's rule has it, in percent:
//!
//! | | acl | fw | ipc |
//! |---|---|---|---|
//! | any source | 1 | 40 | 8 |
//! | source of length 1 to 15 | 0 | 24 | 6 |
//! | 16 to 24 | 16 | 5 | 41 |
//! | 25 to 31 | 30 | 18 | 25 |
//! | one host | 53 | 13 | 20 |
//! | any port / 1024 and above / one port / a range | 27, 0, 61, 12 | 32, 7, 60, 1 | 57, 5, 35, 3 |
//! | TCP / UDP / ICMP / GRE / any protocol | 88, 2, 2, 0, 8 | 54, 33, 5, 7, 1 | 27, 38, 1, 1, 33 |
//!
//! Sources are taken from a pool, a few rules each, and pooled addresses share their upper bits as those of one owner do.

use std::{net::Ipv4Addr, str::FromStr};

use anyhow::{Context as _, Error, Result, bail};
use ipnet::Ipv4Net;

use super::classbench::{self, ANY_PORT, Rule};

/// Sets of the same kind and size are the same set.
const SEED: u64 = 20_050_313;

/// What a set is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Access lists: hosts and small networks, TCP, single ports.
    Acl,
    /// Firewalls: many rules for any source.
    Fw,
    /// Packet filter chains: in between.
    Ipc,
}

impl Kind {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Acl => "acl",
            Self::Fw => "fw",
            Self::Ipc => "ipc",
        }
    }

    /// Lengths of sources: lowest, highest, weight.
    const fn lengths(self) -> [(u8, u8, u32); 5] {
        match self {
            Self::Acl => [(0, 0, 1), (1, 15, 0), (22, 24, 16), (29, 31, 30), (32, 32, 53)],
            Self::Fw => [(0, 0, 40), (1, 2, 24), (16, 24, 5), (25, 31, 18), (32, 32, 13)],
            Self::Ipc => [(0, 0, 8), (1, 15, 6), (16, 24, 41), (25, 31, 25), (32, 32, 20)],
        }
    }

    /// Weights of [`Ports`].
    const fn ports(self) -> [(Ports, u32); 4] {
        let weights = match self {
            Self::Acl => [27, 0, 61, 12],
            Self::Fw => [32, 7, 60, 1],
            Self::Ipc => [57, 5, 35, 3],
        };
        let [any, high, one, range] = weights;
        [(Ports::Any, any), (Ports::High, high), (Ports::One, one), (Ports::Range, range)]
    }

    /// Protocols with their weights.
    const fn protocols(self) -> [(Option<u8>, u32); 5] {
        let weights = match self {
            Self::Acl => [88, 2, 2, 0, 8],
            Self::Fw => [54, 33, 5, 7, 1],
            Self::Ipc => [27, 38, 1, 1, 33],
        };
        let [tcp, udp, icmp, gre, any] = weights;
        [(Some(6), tcp), (Some(17), udp), (Some(1), icmp), (Some(47), gre), (None, any)]
    }
}

/// Classes of destination ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ports {
    Any,
    High,
    One,
    Range,
}

/// A set to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What it is like.
    pub kind: Kind,
    /// How many rules.
    pub rules: usize,
}

impl FromStr for Wanted {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (kind, rules) = text.split_once(':').context("not KIND:N, such as acl:1000")?;
        let kind = match kind {
            "acl" => Kind::Acl,
            "fw" => Kind::Fw,
            "ipc" => Kind::Ipc,
            _ => bail!("{kind} is none of acl, fw, ipc"),
        };
        let rules = rules.parse().with_context(|| format!("{rules} is not a number of rules"))?;
        Ok(Self { kind, rules })
    }
}

/// Rules that one source has, about.
const RULES_PER_SOURCE: usize = 3;
/// Bits that the addresses of one owner share, and how many owners there are.
const OWNER_BITS: u32 = 16;
const OWNERS: usize = 64;
/// Ports that services have.
const SERVICES: usize = 200;

impl Wanted {
    /// The set as a file.
    pub fn text(&self) -> String {
        classbench::text(&self.rules())
    }

    /// The set. As in ClassBench's, some rules are never reached.
    pub fn rules(&self) -> Vec<Rule> {
        let mut random = fastrand::Rng::with_seed(SEED);
        let owners: Vec<u32> = (0..OWNERS).map(|_| owner(&mut random)).collect();
        let services: Vec<u16> = (0..SERVICES).map(|_| random.u16(1..=u16::MAX)).collect();
        let sources = (self.rules / RULES_PER_SOURCE).max(1);
        let sources: Vec<Ipv4Net> = (0..sources).map(|_| source(self.kind, &owners, &mut random)).collect();
        let rule = |_| {
            let protocol = weighted(&self.kind.protocols(), &mut random);
            let ports = match protocol {
                Some(6 | 17) => ports(weighted(&self.kind.ports(), &mut random), &services, &mut random),
                _ => ANY_PORT,
            };
            Rule { source: *pick(&sources, &mut random), ports, protocol }
        };
        (0..self.rules).map(rule).collect()
    }
}

/// The upper bits of somebody's addresses.
fn owner(random: &mut fastrand::Rng) -> u32 {
    u32::from_be_bytes([random.u8(11..120), random.u8(..), 0, 0])
}

fn source(kind: Kind, owners: &[u32], random: &mut fastrand::Rng) -> Ipv4Net {
    let lengths = kind.lengths().map(|(low, high, weight)| ((low, high), weight));
    let (low, high) = weighted(&lengths, random);
    let length = random.u8(low..=high);
    let address = *pick(owners, random) | random.u32(..1 << OWNER_BITS);
    Ipv4Net::new_assert(Ipv4Addr::from(address), length).trunc()
}

fn ports(class: Ports, services: &[u16], random: &mut fastrand::Rng) -> (u16, u16) {
    match class {
        Ports::Any => ANY_PORT,
        Ports::High => (1024, u16::MAX),
        Ports::One => {
            let port = *pick(services, random);
            (port, port)
        }
        Ports::Range => {
            let low = *pick(services, random);
            (low, low.saturating_add(random.u16(1..500)))
        }
    }
}

fn pick<'a, T>(choices: &'a [T], random: &mut fastrand::Rng) -> &'a T {
    &choices[random.usize(..choices.len())]
}

/// One of the choices, as often as its weight says.
fn weighted<T: Copy>(choices: &[(T, u32)], random: &mut fastrand::Rng) -> T {
    let total: u32 = choices.iter().map(|(_, weight)| weight).sum();
    let mut left = random.u32(..total);
    for (choice, weight) in choices {
        if left < *weight {
            return *choice;
        }
        left -= weight;
    }
    unreachable!("less than the sum of the weights")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [Kind; 3] = [Kind::Acl, Kind::Fw, Kind::Ipc];

    fn rules(kind: Kind, rules: usize) -> Vec<Rule> {
        Wanted { kind, rules }.rules()
    }

    /// Percent of the rules.
    fn share(rules: &[Rule], is: impl Fn(&Rule) -> bool) -> f64 {
        100.0 * rules.iter().filter(|rule| is(rule)).count() as f64 / rules.len() as f64
    }

    #[track_caller]
    fn near(found: f64, wanted: u32) {
        assert!((found - f64::from(wanted)).abs() < 4.0, "{found:.1} % instead of {wanted} %");
    }

    #[test]
    fn sources_ports_and_protocols_are_as_common_as_the_table_says() {
        for kind in KINDS {
            let rules = rules(kind, 10_000);
            for (low, high, weight) in kind.lengths() {
                near(share(&rules, |rule| (low..=high).contains(&rule.source.prefix_len())), weight);
            }
            for (protocol, weight) in kind.protocols() {
                near(share(&rules, |rule| rule.protocol == protocol), weight);
            }
        }
        let acl: Vec<Rule> =
            rules(Kind::Acl, 10_000).into_iter().filter(|rule| rule.protocol == Some(6)).collect();
        near(share(&rules(Kind::Fw, 10_000), |rule| rule.source.prefix_len() == 0), 40);
        near(share(&rules(Kind::Ipc, 10_000), |rule| rule.protocol == Some(17)), 38);
        near(share(&acl, |rule| rule.ports == ANY_PORT), 27);
        near(share(&acl, |rule| rule.ports.0 == rule.ports.1), 61);
    }

    #[test]
    fn a_set_is_the_same_every_time() {
        for kind in KINDS {
            assert_eq!(rules(kind, 3_000), rules(kind, 3_000));
        }
        assert_ne!(rules(Kind::Acl, 100), rules(Kind::Fw, 100));
    }

    #[test]
    fn a_file_of_a_set_is_the_set() {
        let wanted: Wanted = "ipc:500".parse().expect("a kind and a number");
        assert_eq!(classbench::parse(&wanted.text()).expect("a file"), wanted.rules());
        assert!(["acl", "acl:x", "nat:10"].iter().all(|text| text.parse::<Wanted>().is_err()));
    }
}
