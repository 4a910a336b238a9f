//! Packets that do not take the short way, one after the other of the same flow: what each path costs, beside a packet of
//! a live connection that takes it.

use std::net::IpAddr;

use anyhow::{Result, ensure};

use super::{
    Plan,
    entry::{Entry, Timed},
    flows,
    object::{Family, MODE, Program, Shot},
    policy::{FLOW_PORT, Kind, Policy},
    rig::{Rig, Way, frame, local, peer},
    sample::rounds,
};
use crate::packets::{Ethernet, Ip, Mac, Transport, flag};
use sg_bench_ebpf::draw::{Draw, Tuple};

/// Rules of [`TEXT`].
const RULES: usize = 4;
const TEXT: &str = "version: 1
settings:
  limits: {fragments: 131072}
interfaces:
  - {name: nic, role: host, groups: [paths], rx_hook: xdp-native}
security_groups:
  paths:
    rules:
      - {direction: ingress, protocol: tcp, ports: 443}
      - {direction: ingress, protocol: udp, ports: 53}
      - {direction: ingress, protocol: icmp}
      - {direction: ingress, protocol: icmpv6}
";

/// First fragments of a sample, and samples: all that are timed have room in the interface's share.
const FIRSTS: u32 = 1_200;
const FIRSTS_ROUNDS: usize = 11;

/// Bytes of a fragment.
const PIECE: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    /// A query's next packet.
    Ping,
    /// An ICMP error about a live connection.
    Error,
    /// A fragment from the middle of a datagram of which the first one has passed.
    Later,
    /// One of which none has.
    Stray,
    /// First fragments, each of another datagram and a new connection.
    First,
}

impl Path {
    const ALL: [Self; 5] = [Self::Ping, Self::Error, Self::Later, Self::Stray, Self::First];

    const fn what(self) -> &'static str {
        match self {
            Self::Ping => "a ping of a known query",
            Self::Error => "an ICMP error",
            Self::Later => "a later fragment",
            Self::Stray => "a fragment without a first",
            Self::First => "the first fragment of a new connection",
        }
    }
}

/// Every path and family. A drawn tuple has its place in IPv4 fragments alone: there is a header before it in those of IPv6.
fn cases() -> Vec<(Path, Family)> {
    let all = Path::ALL.into_iter().flat_map(|path| Family::ALL.map(|family| (path, family)));
    all.filter(|case| *case != (Path::First, Family::V6)).collect()
}

fn name((path, family): (Path, Family)) -> String {
    format!("path: {}, {}", path.what(), family.name())
}

/// What they are called.
pub fn names(_: &Plan) -> Vec<String> {
    cases().into_iter().map(name).collect()
}

/// Times those that are wanted.
pub fn measure(plan: &Plan) -> Result<Vec<Entry>> {
    let wanted = plan.wanted(cases(), |case| name(*case));
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let rig = Rig::of_text(Policy { rules: RULES, kind: Kind::Tcp }, TEXT)?;
    for family in Family::ALL {
        flows::open(&rig, family, 0, 1)?;
    }
    let one = |case: (Path, Family)| {
        let name = name(case);
        plan.begin(&name);
        match case.0 {
            Path::First => firsts(&rig, &name),
            _ => again_and_again(plan, &rig, case, &name),
        }
    };
    wanted.into_iter().map(one).collect()
}

/// The flow that is open.
fn flow(family: Family) -> Tuple {
    super::policy::flows(family, 1).tuple(0, 0, family == Family::V4)
}

fn again_and_again(plan: &Plan, rig: &Rig, (path, family): (Path, Family), name: &str) -> Result<Entry> {
    let program = if path == Path::Stray { Program::Drops } else { Program::Passes };
    let (frame, before) = frames(path, family);
    let plain = rig.shot(program, family, None, flag::ACK, plan.packets);
    let shot = |program, frame: &[u8]| Shot { program, frame: frame.to_vec(), ..plain.clone() };
    rig.object.each(&shot(Program::Passes, &[]), before)?;
    let live = self::frame(family, &flow(family), flag::ACK, Way::In);
    let shots = [
        shot(Program::Floor, &frame),
        shot(program, &frame),
        shot(Program::Floor, &live),
        shot(Program::Passes, &live),
    ];
    let samples = rounds(plan.rounds, &shots, |shot| rig.object.time(shot))?;
    let timed = |at: usize| Timed { samples: &samples[at + 1], floor: &samples[at] };
    Ok(Entry::against(name, timed(0), ("a packet of a live connection", timed(2)), None)
        .about(0, MODE, RULES))
}

/// The frame that comes again and again, and those that have to come before it.
fn frames(path: Path, family: Family) -> (Vec<u8>, Vec<Vec<u8>>) {
    let (peer, host) = (peer(family, &flow(family)), local(family));
    let ethernet = Ethernet::new(Mac([2, 0, 0, 0, 1, 1]), Mac([2, 0, 0, 0, 0, 1]));
    let inward = Ip::new(peer, host);
    match path {
        Path::Ping => {
            let ping = ethernet.ip(&inward, &Transport::ping(peer, 7));
            (ping.clone(), vec![ping])
        }
        Path::Error => {
            let quoted =
                Ip::new(host, peer).carry(&Transport::tcp(FLOW_PORT, flow(family).source_port, flag::ACK));
            let error = match family {
                Family::V4 => Transport::icmp(3, 1, [0; 4]),
                Family::V6 => Transport::icmpv6(1, 0, [0; 4]),
            };
            (ethernet.ip(&Ip::new(router(family), host), &error.payload(&quoted)), Vec::new())
        }
        Path::Later | Path::Stray | Path::First => {
            let ip = Ip { id: 1 + path as u32, ..inward };
            let datagram = Transport::udp(40_000, 53).payload(&[0; 3 * PIECE]);
            let mut pieces = ip.fragments(&datagram, PIECE);
            let (later, first) = (pieces.remove(1), pieces.remove(0));
            let before = if path == Path::Later { vec![ethernet.datagram(&first)] } else { Vec::new() };
            (ethernet.datagram(&later), before)
        }
    }
}

/// Somebody on the way.
fn router(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::from([198, 51, 100, 1]),
        Family::V6 => IpAddr::from([0x2001, 0xdb8, 0xfffe, 0, 0, 0, 0, 1_u16]),
    }
}

/// A SYN whose datagram goes on in another fragment, from another source each time, beside one that is whole.
fn firsts(rig: &Rig, name: &str) -> Result<Entry> {
    let draw = Draw { source_port_mask: 0xffff, ..super::policy::flows(Family::V4, 1 << 24) };
    let whole = rig.shot(Program::Passes, Family::V4, Some(draw), flag::SYN, FIRSTS);
    let mut first = whole.clone();
    first.frame.extend([0; 4]);
    // Total length 44, more fragments.
    first.frame[16..18].copy_from_slice(&44_u16.to_be_bytes());
    first.frame[20..22].copy_from_slice(&0x2000_u16.to_be_bytes());
    let shots = [&first, &whole].map(|shot| [Shot { program: Program::Floor, ..shot.clone() }, shot.clone()]);
    let samples = rounds(FIRSTS_ROUNDS, shots.as_flattened(), |shot| {
        if shot.program == Program::Floor {
            return rig.object.time(shot);
        }
        rig.flush()?;
        let time = rig.object.time(shot)?;
        let (there, fired) = (rig.connections(), shot.packets());
        ensure!(there <= fired && there > fired - fired / 100, "{there} connections of {fired} packets");
        Ok(time)
    })?;
    let timed = |at: usize| Timed { samples: &samples[at + 1], floor: &samples[at] };
    Ok(Entry::against(name, timed(0), ("a new connection, whole", timed(2)), None).about(0, MODE, RULES))
}
