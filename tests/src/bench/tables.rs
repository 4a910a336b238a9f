//! Large tables that one rule looks things up in, against ten rules: a list of 100,000 prefixes, a group of 100,000
//! members.

use anyhow::Result;

use super::{
    Plan,
    entry::{Entry, Timed},
    object::{Family, MODE, Program, Shot},
    policy::{Kind, Policy},
    rig::Rig,
    sample::rounds,
};
use crate::packets::flag;

const TABLES: [(Kind, &str); 2] = [(Kind::Prefixes, "100,000 prefixes"), (Kind::Members, "100,000 members")];
const SIZE: usize = 100_001;
const FEW: usize = 10;

/// Both tables, for both families.
fn cases() -> Vec<(Kind, Family)> {
    TABLES.into_iter().flat_map(|(kind, _)| Family::ALL.map(|family| (kind, family))).collect()
}

fn name((kind, family): (Kind, Family)) -> String {
    let table = TABLES.iter().find(|(known, _)| *known == kind).map_or("", |found| found.1);
    format!("denied, {table}, {}", family.name())
}

/// What they are called.
pub fn names(plan: &Plan) -> Vec<String> {
    if plan.thorough() { cases().into_iter().map(name).collect() } else { Vec::new() }
}

/// Times those that are wanted: packets from within and between, which are denied for their port.
pub fn measure(plan: &Plan) -> Result<Vec<Entry>> {
    let wanted = plan.wanted(cases(), |case| name(*case));
    if wanted.is_empty() || !plan.thorough() {
        return Ok(Vec::new());
    }
    let few = Rig::new(FEW)?;
    let mut entries = Vec::new();
    for (kind, _) in TABLES {
        let of_kind: Vec<&(Kind, Family)> = wanted.iter().filter(|(wanted, _)| *wanted == kind).collect();
        if of_kind.is_empty() {
            continue;
        }
        let many = Rig::of(Policy { rules: SIZE, kind })?;
        for case in of_kind {
            plan.begin(&name(*case));
            entries.push(one(plan, [&few, &many], case.1, &name(*case))?);
        }
    }
    Ok(entries)
}

fn one(plan: &Plan, rigs: [&Rig; 2], family: Family, name: &str) -> Result<Entry> {
    let contenders: Vec<(&Rig, Shot)> = rigs
        .into_iter()
        .flat_map(|rig| {
            let draw = rig.policy.denied(family);
            [Program::Floor, Program::Drops]
                .map(|program| (rig, rig.shot(program, family, Some(draw), flag::SYN, plan.packets)))
        })
        .collect();
    let samples = rounds(plan.rounds, &contenders, |(rig, shot)| rig.object.time(shot))?;
    let timed = |at: usize| Timed { samples: &samples[2 * at + 1], floor: &samples[2 * at] };
    Ok(Entry::against(name, timed(1), ("10 rules", timed(0)), None).about(0, MODE, 2))
}
