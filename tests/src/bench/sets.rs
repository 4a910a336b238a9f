//! Rule sets of ClassBench's kind: verdicts against the brute force's, and what denied and allowed packets cost.

use std::{fs, net::IpAddr, path::Path};

use anyhow::{Context as _, Result};
use sg_bench_ebpf::draw::{Draw, TRACE, Traced};
use sg_common::{
    heap::Decision,
    probe::ProbeRequest,
    verdict::{Reason, Stage},
};

use super::{
    Plan,
    classbench::{self, Header, Rule, first_match},
    entry::{Entry, Timed},
    generate::{Kind, Wanted},
    object::{Family, MODE, Object, Program, Shot},
    plan::thousands,
    rig,
    sample::rounds,
};
use crate::{
    agent::Agent,
    interrupt,
    netns::Netns,
    packets::{Ethernet, Ip, Transport, flag},
    progrun::{Programs, Verdict},
};

const KINDS: [Kind; 3] = [Kind::Acl, Kind::Fw, Kind::Ipc];
const SIZES: [usize; 3] = [1_000, 10_000, 100_000];
/// Packets that the brute force judges.
const JUDGED: usize = 4_000;
const DEVICE: &str = "nic";
const SEED: u64 = 1;

fn cases() -> Vec<Wanted> {
    KINDS.into_iter().flat_map(|kind| SIZES.map(|rules| Wanted { kind, rules })).collect()
}

fn name(wanted: &Wanted) -> String {
    format!("{}-like set of {} rules", wanted.kind.name(), thousands(wanted.rules))
}

/// What they are called.
pub fn names(plan: &Plan) -> Vec<String> {
    if plan.thorough() { cases().iter().map(name).collect() } else { Vec::new() }
}

/// Measures those that are wanted.
pub fn measure(plan: &Plan) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for wanted in plan.wanted(cases(), name) {
        if plan.thorough() {
            plan.begin(&name(&wanted));
            entries.extend(one(plan, &name(&wanted), &wanted.rules())?);
        }
    }
    Ok(entries)
}

/// Measures a set that somebody else has made.
///
/// # Errors
/// If the file is not of the format; names the line.
pub fn of_file(plan: &Plan, path: &Path) -> Result<Vec<Entry>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let rules = classbench::parse(&text).with_context(|| path.display().to_string())?;
    let name = path.file_name().map_or_else(|| "set".to_owned(), |name| name.to_string_lossy().into_owned());
    plan.expect(1);
    plan.begin(&name);
    one(plan, &name, &rules)
}

/// A host on which a set is in force.
struct Site {
    object: Object,
    programs: Programs,
    ifindex: u32,
    _agent: Agent,
}

impl Site {
    fn new(rules: &[Rule]) -> Result<Self> {
        let host = Netns::with_devices(&[DEVICE]);
        let agent = Agent::new(&host);
        agent.apply(&classbench::policy(rules, DEVICE));
        let object = Object::load(&host)?;
        Ok(Self { ifindex: host.ifindex(DEVICE), programs: Programs::of(&host), object, _agent: agent })
    }
}

fn one(plan: &Plan, name: &str, rules: &[Rule]) -> Result<Vec<Entry>> {
    let site = Site::new(rules)?;
    let mut random = fastrand::Rng::with_seed(SEED);
    let headers = classbench::headers(rules, JUDGED, &mut random);
    let wrong = headers.iter().filter_map(|header| disagreement(&site, rules, header));
    let wrong: Vec<String> = wrong.collect();
    wrong.iter().take(3).for_each(|difference| eprintln!("{name}: {difference}"));
    let judged = format!("{name}: unlike the first match, of {}", thousands(JUDGED));
    let about = |entry: Entry, mode| entry.about(0, mode, rules.len());
    let mut entries =
        vec![about(Entry::none(&judged, "verdicts", &[wrong.len() as f64]), "probe, verdict and rule")];
    for (what, program) in [("denied", Program::Drops), ("allowed", Program::Passes)] {
        let is_wanted =
            |header: &&Header| first_match(rules, header).is_some() == (program == Program::Passes);
        let trace: Vec<Traced> = headers.iter().filter(is_wanted).filter_map(traced).collect();
        if !trace.is_empty() {
            let (ours, floor) = time(plan, &site, &trace, program)?;
            let own = Timed { samples: &ours, floor: &floor }.own();
            entries.push(about(Entry::alone(&format!("{name}: {what}"), "ns", own), MODE));
        }
    }
    Ok(entries)
}

/// What the loaded program says otherwise than the brute force.
fn disagreement(site: &Site, rules: &[Rule], header: &Header) -> Option<String> {
    let request = ProbeRequest { ifindex: site.ifindex, ..ProbeRequest::default() };
    let reply = site.programs.ask(request, &frame(header));
    let said = match Verdict::of(&reply) {
        Verdict::Pass(Stage::Rule) => Ok(Some(Decision(reply.decision).rank() as usize)),
        Verdict::Drop(Reason::Default) => Ok(None),
        other => Err(other),
    };
    let expected = first_match(rules, header);
    (said != Ok(expected)).then(|| format!("{header:?}: rule {expected:?} matches first, but {said:?}"))
}

fn frame(header: &Header) -> Vec<u8> {
    let source = IpAddr::from(header.source);
    let transport = match header.protocol {
        1 => Transport::ping(source, 7),
        6 => Transport::tcp(SOURCE_PORT, header.port, flag::SYN),
        17 => Transport::udp(SOURCE_PORT, header.port),
        132 => Transport::sctp(SOURCE_PORT, header.port),
        other => Transport::raw(other, &[0; 12]),
    };
    Ethernet::default().ip(&Ip::new(source, rig::local(Family::V4)), &transport)
}

const SOURCE_PORT: u16 = 40_000;

/// The header in a trace, if it is of TCP or UDP.
fn traced(header: &Header) -> Option<Traced> {
    let Header { source, port, protocol } = *header;
    matches!(protocol, 6 | 17).then(|| Traced { source: source.into(), port, protocol, reserved: 0 })
}

/// Samples of the program, and of the trivial one.
fn time(plan: &Plan, site: &Site, trace: &[Traced], program: Program) -> Result<(Vec<f64>, Vec<f64>)> {
    /// Behind the ports of UDP: the length of a datagram that fills the frame, and no checksum.
    const UDP_LENGTH: u32 = 20 << 16;
    interrupt::check()?;
    let trace = &trace[..trace.len().min(TRACE as usize)];
    site.object.set_trace(trace)?;
    let draw = Draw {
        blocks: trace.len() as u32,
        source_port: SOURCE_PORT,
        sequence: UDP_LENGTH,
        ..Draw::default()
    };
    let (ifindex, times) = (site.ifindex, plan.packets);
    let template = Header { source: std::net::Ipv4Addr::UNSPECIFIED, port: 0, protocol: 6 };
    let shots = [Program::Floor, program].map(|program| Shot {
        program,
        family: Family::V4,
        draw: Some(draw),
        traced: true,
        frame: frame(&template),
        ifindex,
        times,
    });
    let mut samples = rounds(plan.slow_rounds, &shots, |shot| site.object.time(shot))?;
    let floor = samples.swap_remove(0);
    Ok((samples.swap_remove(0), floor))
}
