//! Both routers, and what they do differently.

use std::{collections::BTreeSet, fmt::Write as _, sync::Arc};

use nix::{
    sched::{CpuSet, sched_getcpu, sched_setaffinity},
    unistd::Pid,
};
use sg_agent::policy::{Policy, model::Direction};
use sg_common::verdict::Reason;

use super::{
    Shot,
    decode::Decoded,
    exclusions::{self, Tally},
    netfilter::{self, Entry, Netfilter},
    reassembly::datagrams,
    reversed,
    router::{Fence, Router},
    sg::{Dataplane, Known},
};
use crate::{agent::Agent, oracle, packets::flag, sequence::shrink_list};

/// So many runs may go into making a failing session small.
const SHRINKING: usize = 60;

/// A shot that came out differently.
#[derive(Debug)]
pub struct Difference<'a> {
    /// The policy, with one interface.
    pub policy: &'a Policy,
    /// What was sent.
    pub shot: &'a Shot,
    /// Its datagrams.
    pub sent: Vec<Decoded>,
    /// What sg let through.
    pub sg: Vec<Vec<u8>>,
    /// What nft let through.
    pub nft: Vec<Vec<u8>>,
    /// Why sg dropped something.
    pub reasons: Vec<Reason>,
    /// What connection tracking knows of the connection of the packet that is judged.
    pub entry: Option<Entry>,
    /// What it knows of the connection that this packet quotes.
    pub related: Option<Entry>,
    /// What sg knows of the packet's connection, or of the one that it quotes.
    pub connection: Option<Known>,
    /// Whether a RST has passed in this life.
    pub is_after_reset: bool,
}

impl Difference<'_> {
    /// Whether sg let more through than nft.
    pub fn is_wrong_allow(&self) -> bool {
        self.sg.len() > self.nft.len()
    }

    /// The packet that is judged: of a datagram in fragments, the first of them.
    pub fn judged(&self) -> Option<&Decoded> {
        self.sent.iter().find(|one| !one.is_later()).or(self.sent.last())
    }
}

/// Both routers.
pub struct Twin {
    left: Router,
    right: Router,
    dataplane: Dataplane,
    netfilter: Netfilter,
    policy: Arc<Policy>,
    text: String,
    /// Lives of which the two do not think the same any more.
    apart: BTreeSet<u16>,
    /// Lives in which a RST has passed.
    reset: BTreeSet<u16>,
    /// What has been compared.
    pub tally: Tally,
}

impl Twin {
    /// Builds both with a policy in force, and does `work` with them.
    pub fn with<T: Send>(text: &str, work: impl FnOnce(&mut Self) -> T + Send) -> T {
        let (left, right) = (Router::new(), Router::new());
        let host = left.host.clone();
        // Unloads what the dataplane loads.
        let _agent = Agent::new(&host);
        host.enter(|| {
            stay_on_one_cpu();
            let policy = Arc::new(oracle::policy(text));
            let dataplane = Dataplane::new(&policy);
            let netfilter = Netfilter::new(&right.host, &policy);
            let tally = Tally::default();
            work(&mut Self {
                left,
                right,
                dataplane,
                netfilter,
                policy,
                text: text.to_owned(),
                apart: BTreeSet::new(),
                reset: BTreeSet::new(),
                tally,
            })
        })
    }

    /// Puts another policy in force, and forgets every connection.
    pub fn apply(&mut self, text: &str) {
        if self.text != text {
            self.policy = Arc::new(oracle::policy(text));
            self.dataplane.apply(&self.policy);
            self.netfilter.apply(&self.policy);
            text.clone_into(&mut self.text);
        }
        self.forget();
    }

    /// The policy in force.
    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy)
    }

    /// Forgets every connection.
    pub fn forget(&mut self) {
        self.apart.clear();
        self.reset.clear();
        self.dataplane.forget();
        self.netfilter.forget();
    }

    /// Sends a shot to both; whether it passed. What they do differently may be excluded; what else comes of the same
    /// life is skipped then.
    ///
    /// # Errors
    /// If there is such a difference.
    pub fn fire(&mut self, shot: &Shot) -> Result<bool, String> {
        if shot.life.is_some_and(|life| self.apart.contains(&life)) {
            return Ok(false);
        }
        let fence = Fence::of(&self.policy.interfaces[0], shot.direction);
        let sg = self.left.fire(shot, &fence);
        let counted = self.dataplane.counted(shot.direction);
        let nft = self.right.fire(shot, &fence);
        let is_after_reset = shot.life.is_some_and(|life| self.reset.contains(&life));
        self.note_reset(shot, !sg.is_empty());
        self.tally.frames += shot.frames.len();
        if sg.is_empty() && nft.is_empty() && counted.passed > 1 {
            // sg let more pass than the fence, and the router's own stack dropped it: nft never judged it.
            self.tally.unjudged += 1;
            self.apart.extend(shot.life);
            return Ok(false);
        }
        if is_same(shot, &sg, &nft) {
            *if sg.is_empty() { &mut self.tally.dropped } else { &mut self.tally.passed } += 1;
            return Ok(!sg.is_empty());
        }
        let sent = shot.decoded();
        let (passed, reasons) = (!sg.is_empty(), counted.reasons);
        let mut difference = Difference {
            policy: &self.policy,
            shot,
            sent,
            sg,
            nft,
            reasons,
            entry: None,
            related: None,
            connection: None,
            is_after_reset,
        };
        if let Some(judged) = difference.judged() {
            let entry = self.netfilter.entry(judged);
            let related = judged.quoted().and_then(|quoted| self.netfilter.entry(&quoted));
            let connection = match judged.quoted() {
                Some(quoted) => self.dataplane.connection(&quoted, reversed(shot.direction)),
                None => self.dataplane.connection(judged, shot.direction),
            };
            difference = Difference { entry, related, connection, ..difference };
        }
        match exclusions::of(&difference) {
            Some(exclusion) => {
                self.tally.exclude(exclusion);
                self.apart.extend(shot.life);
                Ok(passed)
            }
            None => Err(told(&difference)),
        }
    }

    fn note_reset(&mut self, shot: &Shot, passed: bool) {
        let is_reset = shot.decoded().iter().filter_map(Decoded::flags).any(|flags| flags & flag::RST != 0);
        self.reset.extend(shot.life.filter(|_| passed && is_reset));
    }

    /// Sends shots, one after the other, with no connection at the beginning.
    ///
    /// # Errors
    /// At the first difference that no exclusion explains: everything about it, with as few shots as show it.
    pub fn run(&mut self, shots: &[Shot]) -> Result<(), String> {
        let Some(last) = self.first_difference(shots) else { return Ok(()) };
        let tally = self.tally.clone();
        let small = shrink_list(shots[..=last].to_vec(), 0, SHRINKING, |fewer| {
            self.first_difference(fewer).is_some()
        });
        let told = self.retell(&small);
        self.tally = tally;
        Err(told)
    }

    fn first_difference(&mut self, shots: &[Shot]) -> Option<usize> {
        self.forget();
        shots.iter().position(|shot| self.fire(shot).is_err())
    }

    /// Sends shots of which the last makes a difference, and says all about that.
    fn retell(&mut self, shots: &[Shot]) -> String {
        self.forget();
        let mut text = format!("{}\n{}\n", self.text, netfilter::rules(&self.policy));
        for shot in shots {
            let before = self.netfilter.counted();
            let outcome = self.fire(shot);
            let moved: Vec<String> =
                self.netfilter.counted().into_iter().filter(|line| !before.contains(line)).collect();
            let way = if shot.direction == Direction::Ingress { "in" } else { "out" };
            for (frame, decoded) in shot.frames.iter().zip(shot.decoded()) {
                let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
                let _ = writeln!(text, "{way} {decoded}\n   {hex}");
            }
            let outcome =
                outcome.map_or_else(|difference| difference, |passed| format!("both pass: {passed}"));
            let _ = writeln!(text, "   {outcome}\n   nft counted: {moved:?}");
        }
        text
    }
}

/// Fragments may be put together on the way and cut anew, so of those the datagrams count.
fn is_same(shot: &Shot, sg: &[Vec<u8>], nft: &[Vec<u8>]) -> bool {
    let has_fragments = shot.decoded().iter().any(|one| one.fragment.is_some());
    match has_fragments {
        true => datagrams(sg) == datagrams(nft) && sg.is_empty() == nft.is_empty(),
        false => sg == nft,
    }
}

fn told(difference: &Difference) -> String {
    let Difference { sg, nft, reasons, entry, related, connection, .. } = difference;
    let shown = |out: &[Vec<u8>]| match out {
        [] => "nothing".to_owned(),
        out => {
            let out = out
                .iter()
                .map(|bytes| Decoded::of(bytes).map_or_else(|| "?".to_owned(), |one| one.to_string()));
            out.collect::<Vec<_>>().join("; ")
        }
    };
    let breach = if difference.is_wrong_allow() { "WRONG ALLOW: " } else { "" };
    format!(
        "{breach}sg lets through {} (dropped for {reasons:?}), nft lets through {}; sg knows {connection:?}, nft {entry:?} and of what is quoted {related:?}",
        shown(sg),
        shown(nft)
    )
}

/// What one CPU sends is received in the order in which it was sent, in each direction and across both.
fn stay_on_one_cpu() {
    let mut here = CpuSet::new();
    here.set(sched_getcpu().expect("the CPU of this thread")).expect("a CPU's number");
    sched_setaffinity(Pid::from_raw(0), &here).expect("staying on one CPU");
}
