//! Packets of established connections, against programs that do no more than find them (target 1).
//!
//! sg also checks lengths and flags, reads interface, policy generation and settings, moves the connection on and
//! counts. The references look up the very keys, with as many entries in their tables; the first one in sg's own.

use anyhow::Result;

use super::{
    Plan,
    entry::{Entry, Target, Timed},
    flows,
    object::{Family, MODE, Program},
    plan::of_flows,
    policy,
    rig::Rig,
    sample::rounds,
};
use crate::packets::flag;

const FLOWS: [u32; 3] = [1, 1_000, 64_000];
const RULES: usize = 5_000;
const TARGET: Target = Target::AtMost(1.25);

/// Every family and number of flows.
fn cases() -> Vec<(Family, u32)> {
    Family::ALL.into_iter().flat_map(|family| FLOWS.map(|flows| (family, flows))).collect()
}

/// What they are called.
pub fn names(_: &Plan) -> Vec<String> {
    cases().into_iter().map(|(family, flows)| name(family, flows)).collect()
}

/// Times those that are wanted.
pub fn measure(plan: &Plan) -> Result<Vec<Entry>> {
    let wanted = plan.wanted(cases(), |(family, flows)| name(*family, *flows));
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let rig = Rig::new(RULES)?;
    let mut open = [0; 2];
    let mut entries = Vec::new();
    for (family, flows) in wanted {
        let name = name(family, flows);
        plan.begin(&name);
        flows::open(&rig, family, open[family as usize], flows)?;
        open[family as usize] = flows;
        entries.extend(one(plan, &rig, family, flows, &name)?);
    }
    Ok(entries)
}

fn name(family: Family, flows: u32) -> String {
    format!("established, {}, {}", of_flows(flows), family.name())
}

fn one(plan: &Plan, rig: &Rig, family: Family, flows: u32, name: &str) -> Result<[Entry; 2]> {
    let draw = policy::flows(family, flows);
    let shots = [Program::Floor, Program::Passes, Program::Table, Program::Hash].map(|program| {
        let mut shot = rig.shot(program, family, Some(draw), flag::ACK, plan.packets);
        shot.draw = (flows > 1).then_some(draw);
        shot
    });
    let samples = rounds(plan.rounds, &shots, |shot| rig.object.time(shot))?;
    let timed = |at: usize| Timed { samples: &samples[at], floor: &samples[0] };
    let against = |reference, at| {
        let entry = Entry::against(name, timed(1), (reference, timed(at)), Some(TARGET));
        entry.about(1, MODE, RULES).note("sg also guards, moves on and counts")
    };
    Ok([against("parse + look-up, same table", 2), against("parse + look-up, kernel hash", 3)])
}
