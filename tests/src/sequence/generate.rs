//! Random sequences that keep coming back to the connections they opened, and to the moments at which those end.

use std::time::Duration;

use fastrand::Rng;
use sg_agent::policy::model::Direction;
use sg_common::verdict::Stage;

use super::{Sequence, Step, packets, policy::Draft};
use crate::{
    model::{Model, Packet, Part},
    oracle,
    progrun::Verdict,
    random::{one_in, one_of},
};

/// How much happens in a sequence.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Steps.
    pub length: usize,
    /// One step in so many is a change of policy; 0 = none is.
    pub changes: u32,
}

/// Time before and after the end of an entry. The dataplane's clock goes on while packets are sent, and must not get
/// from one side to the other; and a full table is searched for room once a second only.
const MARGIN: Duration = Duration::from_millis(600);

/// Flows that packets come back to.
const FLOWS: usize = 10;

/// A sequence under a policy of its own.
pub fn generate(random: &mut Rng, shape: Shape) -> Sequence {
    Generator::new(random).run(random, shape)
}

struct Generator {
    draft: Draft,
    model: Model,
    flows: Vec<Packet>,
    steps: Vec<Step>,
}

impl Generator {
    fn new(random: &mut Rng) -> Self {
        let draft = Draft::new(random);
        let text = draft.text();
        let model = Model::new(oracle::policy(&text));
        Self { draft, model, flows: Vec::new(), steps: vec![Step::Policy(text)] }
    }

    fn run(mut self, random: &mut Rng, shape: Shape) -> Sequence {
        while self.steps.len() < shape.length {
            let step = match random.u8(..16) {
                _ if shape.changes > 0 && one_in(random, shape.changes) => self.change(random),
                0 => self.wait(random),
                _ => Step::Packet(self.packet(random)),
            };
            self.steps.push(step);
        }
        Sequence { steps: self.steps }
    }

    fn change(&mut self, random: &mut Rng) -> Step {
        self.draft.change(random);
        let text = self.draft.text();
        self.model.apply(oracle::policy(&text));
        Step::Policy(text)
    }

    /// Time until just before or just after something ends, or a while.
    fn wait(&mut self, random: &mut Rng) -> Step {
        let ends: Vec<Duration> = self.model.ends().collect();
        let aimed = random.choice(ends).map(|left| match one_in(random, 2) {
            true => left.saturating_sub(MARGIN),
            false => left + MARGIN,
        });
        let while_ = Duration::from_millis(random.u64(2_000..40_000));
        let time = if one_in(random, 3) { while_ } else { aimed.unwrap_or(while_) };
        let time = clear_of_ends(&self.model, time, MARGIN);
        self.model.wait(time);
        Step::Wait(time)
    }

    /// A packet of a flow, or near one, or a new one.
    fn packet(&mut self, random: &mut Rng) -> Packet {
        let known = random.choice(&self.flows).cloned().filter(|_| !one_in(random, 5));
        let is_new = known.is_none();
        let packet = match known {
            Some(flow) => packets::near(random, &flow),
            None => packets::fresh(random),
        };
        let verdict = self.model.judge(&packet);
        let keeps = matches!(verdict, Verdict::Pass(Stage::Rule | Stage::Default)) || one_in(random, 16);
        if is_new && keeps && packets::has_relatives(&packet) {
            if self.flows.len() == FLOWS {
                self.flows.swap_remove(random.usize(..FLOWS));
            }
            self.flows.push(Packet { part: Part::Whole, ..packet.clone() });
        }
        packet
    }
}

/// The time, or somewhat more, so that nothing ends within `margin` of it.
pub(super) fn clear_of_ends(model: &Model, mut time: Duration, margin: Duration) -> Duration {
    let ends: Vec<Duration> = model.ends().collect();
    while ends.iter().any(|end| end.abs_diff(time) < margin) {
        time += margin;
    }
    time
}

/// In or out, with equal chances.
pub(super) fn direction(random: &mut Rng) -> Direction {
    one_of(random, &[Direction::Ingress, Direction::Egress])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Sequences in which always the same happens prove nothing.
    #[test]
    fn sequences_reach_every_verdict() {
        // Always the same sequences: rare verdicts come a few times in so many packets, and some seeds have fewer.
        let seed = 1;
        let mut random = Rng::with_seed(seed);
        let mut verdicts: BTreeMap<String, u32> = BTreeMap::new();
        let mut states: BTreeMap<&str, u32> = BTreeMap::new();
        for _ in 0..500 {
            let sequence = generate(&mut random, Shape { length: 150, changes: 30 });
            let mut model = None::<Model>;
            for step in sequence.steps {
                match (step, &mut model) {
                    (Step::Policy(text), None) => model = Some(Model::new(oracle::policy(&text))),
                    (Step::Policy(text), Some(model)) => model.apply(oracle::policy(&text)),
                    (Step::Wait(time), Some(model)) => model.wait(time),
                    (Step::Packet(packet), Some(model)) => {
                        *verdicts.entry(format!("{:?}", model.judge(&packet))).or_default() += 1;
                    }
                    (_, None) => panic!("a sequence begins with a policy"),
                }
            }
            for (_, entry, _) in model.expect("a policy").connections() {
                *states.entry(entry.state.name()).or_default() += 1;
            }
        }
        for wanted in [
            "Pass(Rule)",
            "Pass(Default)",
            "Pass(Established)",
            "Pass(Exempt)",
            "Pass(Infrastructure)",
            "Drop(Rule)",
            "Drop(Default)",
            "Drop(NoConnection)",
            "Drop(Cut)",
            "Drop(InterfaceFull)",
            "Drop(Smtp)",
            "Drop(BadFragment)",
            "Drop(SpoofedMac)",
            "Drop(SpoofedAddress)",
            "Drop(SpoofedNd)",
            "Drop(Redirect)",
            "Drop(RouterAdvertisement)",
            "Drop(DhcpServer)",
        ] {
            assert!(
                verdicts.get(wanted).is_some_and(|count| *count >= 5),
                "SG_SEED={seed}: {wanted}: {verdicts:?}"
            );
        }
        assert_eq!(states.len(), 7, "SG_SEED={seed}: {states:?}");
    }
}
