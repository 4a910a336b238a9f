//! Designs of the conntrack table side by side, IPv4: look-ups that hit and that miss, insertion, removal.
//!
//! Programs parse a packet and do one thing with its key (tests/ebpf/src/designs.rs). They count how often that came
//! about, and every sample is held against what it should have been.

use anyhow::{Result, ensure};
use sg_bench_ebpf::draw::Draw;

use super::{
    Plan,
    entry::{Entry, Timed},
    object::{Family, MODE, Program, Shot},
    plan::of_flows,
    policy,
    rig::{Rig, Way, frame},
    sample::rounds,
};
use crate::packets::flag;

/// A design of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Design {
    /// sg's own.
    Own,
    /// The kernel's hash map, its elements allocated at once.
    Hash,
    /// The kernel's hash map, each element allocated when it is inserted.
    Grown,
    /// The kernel's hash map that evicts what was not used lately.
    Lru,
}

impl Design {
    const ALL: [Self; 4] = [Self::Own, Self::Hash, Self::Lru, Self::Grown];

    /// What it is called in names of programs, and where others are held against it.
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Own => ("own", "sg's own table"),
            Self::Hash => ("hash", "kernel hash"),
            Self::Grown => ("grown", "kernel hash, no preallocation"),
            Self::Lru => ("lru", "kernel LRU hash"),
        }
    }
}

/// What is done with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// A look-up that finds it.
    Hit,
    /// A look-up that does not.
    Miss,
    /// It is inserted.
    Insert,
    /// It is removed.
    Remove,
}

/// The program that does it.
pub fn program(design: Design, act: Act) -> String {
    let verb = match act {
        Act::Hit | Act::Miss => "find",
        Act::Insert => "insert",
        Act::Remove => "remove",
    };
    format!("{verb}_{}", design.names().0)
}

/// All programs.
pub fn programs() -> impl Iterator<Item = String> {
    let acts = [Act::Hit, Act::Insert, Act::Remove];
    Design::ALL.into_iter().flat_map(move |design| acts.map(|act| program(design, act)))
}

const FLOWS: [u32; 3] = [1, 1_000, 64_000];
/// Keys inserted, and then removed, per sample: so that with those that stay no table is more than half full.
const INSERTED: u32 = 40_000;
const NOTE: &str = "above the trivial program, with parsing";

fn look_up(act: Act, flows: u32) -> String {
    let what = if act == Act::Hit { "hits" } else { "misses" };
    format!("table designs: look-up that {what}, {}, IPv4", of_flows(flows))
}

fn turnover(flows: u32) -> [String; 2] {
    ["insertion", "removal"].map(|what| format!("table designs: {what} beside {}, IPv4", of_flows(flows)))
}

/// Look-ups with so many flows in the tables.
fn look_ups(flows: u32) -> [(Act, String); 2] {
    [Act::Hit, Act::Miss].map(|act| (act, look_up(act, flows)))
}

/// What they are called.
pub fn names(plan: &Plan) -> Vec<String> {
    if !plan.thorough() {
        return Vec::new();
    }
    let look_ups = FLOWS.into_iter().flat_map(look_ups).map(|(_, name)| name);
    look_ups.chain(turnover(FLOWS[2])).collect()
}

/// Times those that are wanted.
pub fn measure(plan: &Plan) -> Result<Vec<Entry>> {
    if !names(plan).iter().any(|name| plan.wants(name)) {
        return Ok(Vec::new());
    }
    let rig = Rig::new(1)?;
    let mut entries = Vec::new();
    let mut there = 0;
    for flows in FLOWS {
        fill(&rig, there, flows)?;
        there = flows;
        for (act, name) in plan.wanted(look_ups(flows).into(), |(_, name)| name.clone()) {
            plan.begin(&name);
            entries.extend(one_look_up(plan, &rig, act, flows, &name)?);
        }
    }
    let names = turnover(there);
    if names.iter().any(|name| plan.wants(name)) {
        plan.begin_together(&names);
        entries.extend(one_turnover(plan, &rig, &names)?);
        let left = rig.connections();
        ensure!(left == u64::from(there), "{left} connections are left of {there}");
    }
    Ok(entries)
}

/// Inserts flows into every table until there are `count`, of which there are `there`.
fn fill(rig: &Rig, there: u32, count: u32) -> Result<()> {
    let draw = policy::flows(Family::V4, count);
    let frames: Vec<Vec<u8>> = (there..count)
        .map(|flow| frame(Family::V4, &draw.tuple(flow, 0, true), flag::ACK, Way::In))
        .collect();
    Design::ALL.into_iter().try_for_each(|design| {
        let shot = rig.shot(Program::Design(design, Act::Insert), Family::V4, None, flag::ACK, 1);
        rig.object.each(&shot, frames.clone())
    })
}

/// All designs in turn, and the trivial program.
fn one_look_up(plan: &Plan, rig: &Rig, act: Act, flows: u32, name: &str) -> Result<Vec<Entry>> {
    let draw = match act {
        Act::Miss => Draw { port: OTHER_PORT, ..policy::flows(Family::V4, flows) },
        _ => policy::flows(Family::V4, flows),
    };
    let programs = [Program::Floor].into_iter().chain(Design::ALL.map(|design| Program::Design(design, act)));
    let shots: Vec<Shot> = programs
        .map(|program| Shot {
            draw: (flows > 1).then_some(draw),
            ..rig.shot(program, Family::V4, Some(draw), flag::ACK, plan.packets)
        })
        .collect();
    let samples = rounds(plan.slow_rounds, &shots, |shot| time(rig, shot))?;
    Ok(against_each(name, &samples))
}

/// A port that no flow goes to.
const OTHER_PORT: u16 = 8_443;

/// As many keys as never meet: of 2^48.
fn newcomers() -> Draw {
    Draw {
        blocks: 1 << 16,
        shift: 8,
        host_mask: 0xff,
        source_port_mask: 0xffff,
        port: OTHER_PORT,
        port_mask: 0xff,
        ..policy::flows(Family::V4, 1)
    }
}

/// Insertion and removal, by all designs in turn.
fn one_turnover(plan: &Plan, rig: &Rig, names: &[String; 2]) -> Result<Vec<Entry>> {
    let contenders: Vec<Option<Design>> = [None].into_iter().chain(Design::ALL.map(Some)).collect();
    let samples = rounds(plan.slow_rounds, &contenders, |design| turn_over(rig, *design))?;
    let of = |at: usize| -> Vec<Vec<f64>> {
        samples.iter().map(|all| all.iter().map(|sample| sample[at]).collect()).collect()
    };
    Ok([0, 1].into_iter().flat_map(|at| against_each(&names[at], &of(at))).collect())
}

/// Inserts keys, sees that they are there, removes them, sees that they are gone; ns of insertion and removal. Without a
/// design it is the trivial program that gets the packets.
fn turn_over(rig: &Rig, design: Option<Design>) -> Result<[f64; 2]> {
    let draw = Draw { state: rig.object.fresh_state(), ..newcomers() };
    let act = |act| {
        let program = design.map_or(Program::Floor, |design| Program::Design(design, act));
        time(rig, &rig.shot(program, Family::V4, Some(draw), flag::ACK, INSERTED))
    };
    let inserted = act(Act::Insert)?;
    act(Act::Hit)?;
    let removed = act(Act::Remove)?;
    act(Act::Miss)?;
    Ok([inserted, removed])
}

/// ns per packet. What was to be done must have come about for all packets, or for none.
fn time(rig: &Rig, shot: &Shot) -> Result<f64> {
    let before = rig.object.outcomes()?;
    let time = rig.object.time(shot)?;
    if let Program::Design(design, act) = shot.program {
        let after = rig.object.outcomes()?;
        let [failed, done] = [0, 1].map(|at| after[at] - before[at]);
        let expected = if act == Act::Miss { [shot.packets(), 0] } else { [0, shot.packets()] };
        ensure!(
            [failed, done] == expected,
            "{}: {act:?} came about for {done} packets and not for {failed}",
            design.names().1
        );
    }
    Ok(time)
}

/// Ours against every other; the samples are the trivial program's, then those of [`Design::ALL`].
fn against_each(name: &str, samples: &[Vec<f64>]) -> Vec<Entry> {
    let timed = |at: usize| Timed { samples: &samples[at + 1], floor: &samples[0] };
    let others = Design::ALL.into_iter().enumerate().skip(1);
    let against = |(at, design): (usize, Design)| {
        let entry = Entry::against(name, timed(0), (design.names().1, timed(at)), None);
        entry.about(0, MODE, 1).note(NOTE)
    };
    others.map(against).collect()
}
