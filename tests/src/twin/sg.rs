//! sg on the first router, driven in process.

use std::sync::Arc;

use sg_agent::{
    dataplane::{Options, Writer},
    observe::connection,
    policy::{Policy, model::Direction},
};
use sg_common::{stats::InterfaceStats, verdict::Reason};
use tempfile::TempDir;

use super::decode::Decoded;
use crate::counters::moved;

/// No connection lives so long.
const FOREVER_SECONDS: u64 = 1_000;

/// The dataplane.
pub struct Dataplane {
    writer: Writer,
    slot: u32,
    seen: InterfaceStats,
    // The agent's state.
    _state: TempDir,
}

/// What the counters of a direction say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Packets that passed.
    pub passed: u64,
    /// Why others did not.
    pub reasons: Vec<Reason>,
}

/// What sg knows of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The word in listings.
    pub state: &'static str,
    /// Whether its last segment was a RST.
    pub was_reset: bool,
}

impl Dataplane {
    /// Loads it in the namespace that the calling thread is in.
    pub fn new(policy: &Arc<Policy>) -> Self {
        let state = TempDir::new().expect("a temporary directory");
        let options = Options { bpffs: "/sys/fs/bpf".into(), state_dir: state.path().to_owned() };
        let writer = Writer::open(&options, Some(&policy.settings)).expect("the dataplane");
        let mut dataplane = Self { writer, slot: 0, seen: InterfaceStats::default(), _state: state };
        dataplane.apply(policy);
        dataplane
    }

    /// Puts a policy with one interface in force.
    pub fn apply(&mut self, policy: &Arc<Policy>) {
        // A group in use cannot be taken away, and the interface may be another one now.
        let mut unbound = Policy::clone(self.writer.loaded.state.policy());
        if unbound.interfaces.iter().any(|entry| entry.name != policy.interfaces[0].name) {
            unbound.interfaces.clear();
            self.writer.apply(&Arc::new(unbound)).expect("no interface");
        }
        self.writer.apply(policy).expect("a policy that fits");
        let slots = sg_agent::observe::names::by_slot(&self.writer.loaded.state);
        let mut named = slots.iter().filter(|(_, (name, _))| *name == policy.interfaces[0].name);
        self.slot = *named.next().expect("the policy's interface").0;
        self.seen = self.stats();
    }

    /// Lets so much time pass that no connection is left.
    pub fn forget(&self) {
        let kernel = &self.writer.loaded.kernel;
        let control = kernel.control();
        kernel.set_clock_offset(control.clock_offset + FOREVER_SECONDS * u64::from(control.hz));
    }

    /// What happened to packets of a direction since the last time.
    pub fn counted(&mut self, direction: Direction) -> Counted {
        let now = self.stats();
        let before = std::mem::replace(&mut self.seen, now);
        let mut counted = Counted { passed: 0, reasons: Vec::new() };
        for (to, reason, times) in moved(&before, &self.seen) {
            match reason {
                _ if to != direction as usize => {}
                None => counted.passed += times,
                Some(reason) => counted.reasons.push(reason),
            }
        }
        counted
    }

    /// What is known of a packet's connection.
    pub fn connection(&self, packet: &Decoded, direction: Direction) -> Option<Known> {
        let (kernel, state) = (&self.writer.loaded.kernel, &self.writer.loaded.state);
        let clock = kernel.clock().expect("the clock");
        let mut all = connection::live(state, &clock, &kernel.connections_v4(clock.now_tick));
        all.extend(connection::live(state, &clock, &kernel.connections_v6(clock.now_tick)));
        let (source, destination) = packet.ports().unzip();
        let (from, to) = ((packet.source, source), (packet.destination, destination));
        let ends = if direction == Direction::Ingress { (to, from) } else { (from, to) };
        let is_own = |one: &&connection::Connection| {
            let known = ((one.local.address, one.local.port), (one.remote.address, one.remote.port));
            one.protocol == packet.protocol && known == ends
        };
        all.iter().find(is_own).map(|one| Known { state: one.state(), was_reset: one.life.is_reset() })
    }

    fn stats(&self) -> InterfaceStats {
        self.writer.loaded.kernel.interface_stats(self.slot).expect("the counters")
    }
}
