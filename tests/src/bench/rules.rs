//! Many rules against ten (targets 2 and 3): packets that they deny, packets that open a connection, and packets of
//! established connections, which should not notice.

use anyhow::{Result, ensure};

use super::{
    Plan,
    entry::{Entry, Target, Timed},
    flows,
    object::{Family, MODE, Program, Shot},
    plan::thousands,
    policy,
    rig::Rig,
    sample::rounds,
};
use crate::packets::flag;

const FEW: usize = 10;
/// Flows of [`Kind::Established`].
const FLOWS: u32 = 1_000;
/// Connections opened per sample.
const OPENED: u32 = 40_000;

/// How many times the time of ten rules it may take.
const fn target(kind: Kind, rules: usize) -> Option<Target> {
    match (kind, rules) {
        (Kind::Denied, 5_000) => Some(Target::AtMost(1.3)),
        (Kind::Denied, 100_000) => Some(Target::AtMost(2.5)),
        (Kind::New, 5_000) => Some(Target::AtMost(1.2)),
        _ => None,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Denied,
    New,
    Established,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Established, Self::Denied, Self::New];

    /// Number of the target.
    const fn row(self) -> u8 {
        match self {
            Self::Established => 0,
            Self::Denied => 2,
            Self::New => 3,
        }
    }

    fn name(self, rules: usize, family: Family) -> String {
        let what = match self {
            Self::Denied => "denied",
            Self::New => "new connection",
            Self::Established => "established, 1,000 flows",
        };
        format!("{what}, {} rules, {}", thousands(rules), family.name())
    }
}

/// Every kind and family.
fn cases() -> Vec<(Kind, Family)> {
    Kind::ALL.into_iter().flat_map(|kind| Family::ALL.map(|family| (kind, family))).collect()
}

/// What they are called.
pub fn names(plan: &Plan) -> Vec<String> {
    cases().into_iter().flat_map(|(kind, family)| names_of(plan, kind, family)).collect()
}

fn names_of(plan: &Plan, kind: Kind, family: Family) -> Vec<String> {
    [FEW].iter().chain(&plan.rules).map(|rules| kind.name(*rules, family)).collect()
}

/// Times every kind and family of which a number of rules is wanted.
pub fn measure(plan: &Plan) -> Result<Vec<Entry>> {
    let is_wanted =
        |(kind, family): &(Kind, Family)| names_of(plan, *kind, *family).iter().any(|name| plan.wants(name));
    let wanted: Vec<(Kind, Family)> = cases().into_iter().filter(is_wanted).collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let rigs: Vec<Rig> =
        [FEW].iter().chain(&plan.rules).map(|rules| Rig::new(*rules)).collect::<Result<_>>()?;
    let mut entries = Vec::new();
    for (kind, family) in wanted {
        plan.begin_together(&names_of(plan, kind, family));
        if kind == Kind::Established {
            rigs.iter().try_for_each(|rig| flows::open(rig, family, 0, FLOWS))?;
        }
        entries.extend(one(plan, &rigs, kind, family)?);
    }
    Ok(entries)
}

/// All rigs in turn, each with its own floor: what is drawn depends on the rules.
fn one(plan: &Plan, rigs: &[Rig], kind: Kind, family: Family) -> Result<Vec<Entry>> {
    let program = if kind == Kind::Denied { Program::Drops } else { Program::Passes };
    let contenders: Vec<(&Rig, Shot)> = rigs
        .iter()
        .flat_map(|rig| {
            [Program::Floor, program].map(|program| (rig, shot(plan, rig, kind, family, program)))
        })
        .collect();
    let samples = rounds(plan.rounds, &contenders, |(rig, shot)| time(rig, kind, shot))?;
    let timed = |at: usize| Timed { samples: &samples[2 * at + 1], floor: &samples[2 * at] };
    let about = |entry: Entry, rules| entry.about(kind.row(), MODE, rules);
    let few = about(Entry::alone(&kind.name(FEW, family), "ns", timed(0).own()), FEW);
    let more = rigs.iter().enumerate().skip(1).map(|(at, rig)| {
        let rules = rig.policy.rules;
        let target = target(kind, rules);
        about(Entry::against(&kind.name(rules, family), timed(at), ("10 rules", timed(0)), target), rules)
    });
    Ok([few].into_iter().chain(more).collect())
}

fn shot(plan: &Plan, rig: &Rig, kind: Kind, family: Family, program: Program) -> Shot {
    let (draw, flags, times) = match kind {
        Kind::Denied => (rig.policy.denied(family), flag::SYN, plan.packets),
        Kind::New => (rig.policy.allowed(family), flag::SYN, OPENED),
        Kind::Established => (policy::flows(family, FLOWS), flag::ACK, plan.packets),
    };
    rig.shot(program, family, Some(draw), flags, times)
}

/// New connections start with an empty table each time; they must all be there in the end, but for tuples that were
/// drawn twice.
fn time(rig: &Rig, kind: Kind, shot: &Shot) -> Result<f64> {
    let opens = kind == Kind::New && shot.program == Program::Passes;
    if opens {
        rig.flush()?;
    }
    let time = rig.object.time(shot)?;
    if opens {
        let (there, fired) = (rig.connections(), u64::from(shot.times + shot.times / 8));
        ensure!(there <= fired && there > fired - fired / 100, "{there} connections of {fired} packets");
    }
    Ok(time)
}
