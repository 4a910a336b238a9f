//! The tables and programs of one network namespace.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use aya::maps::IterableMap as _;
use sg_common::{
    conntrack::{Entry, Key4, Key6, Kind, Life, TableUse},
    control::{Control, Settings},
    events::End,
    heap::{Line, LineIndex},
    probe::{ProbeReply, ProbeRequest},
    stats::{DirectionStats, InterfaceStats, RuleCounter},
    sweep::{MAX_BUCKETS, SweepReply, SweepRequest},
};
use zerocopy::{FromBytes, IntoBytes as _};

use super::{
    error::{Attempt as _, Error},
    load::Sizes,
    maps::Maps,
    memory::Memory,
    programs::Programs,
};
use crate::compile::Clock;

/// Ethernet frame that a question without a packet carries: the shortest there is.
const NO_FRAME: [u8; 60] = [0; 60];

/// The opened tables and programs.
pub struct Kernel {
    pub(super) maps: Maps,
    pub(super) programs: Programs,
    /// Where it is pinned, and the inode of that directory.
    directory: (PathBuf, Option<u64>),
}

/// Index of a word of [`Control`].
mod word {
    pub const WORD: usize = 0;
    pub const SEED: usize = 1;
    pub const CLOCK_OFFSET: usize = 2;
    /// That of `listening`, which shares it with `interfaces`.
    pub const LISTENING: usize = 5;
    pub const DEADLINE: usize = 6;
    pub const FALLBACK: usize = 7;
}

/// Live and expired entries of a connection table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableAges {
    /// Live ones.
    pub live: u64,
    /// Ticks since the oldest one expired that still has its slot; 0 if there is none.
    pub oldest_expired: u64,
}

impl TableAges {
    fn of(entries: impl Iterator<Item = Life>, now: u64) -> Self {
        entries.filter(|life| life.kind() == Kind::Live).fold(Self::default(), |ages, life| {
            match now.checked_sub(life.expires()) {
                None => Self { live: ages.live + 1, ..ages },
                Some(ago) => Self { oldest_expired: ages.oldest_expired.max(ago), ..ages },
            }
        })
    }
}

impl Kernel {
    /// What is pinned in `directory`.
    pub(super) fn open(directory: &Path) -> Result<Self, Error> {
        let maps = Maps::open(directory)?;
        let programs = Programs::open(directory)?;
        Ok(Self { maps, programs, directory: (directory.to_owned(), inode(directory)) })
    }

    /// Whether it is still what is pinned there: it is not after `unload`.
    pub fn is_pinned(&self) -> bool {
        let (directory, known) = &self.directory;
        known.is_some() && inode(directory) == *known
    }

    /// The control line.
    pub fn control(&self) -> Control {
        let words: [u64; 8] = std::array::from_fn(|at| self.maps.control.load(at));
        zerocopy::transmute!(words)
    }

    /// The control word that packets are judged by.
    pub(super) fn word_in_force(&self) -> Result<u64, Error> {
        let control = self.control();
        // Asking for the time costs a run of a program.
        let now = if control.deadline == 0 { 0 } else { self.now()?.0 };
        Ok(control.in_force(now))
    }

    /// The generation in force.
    pub fn generation(&self) -> Result<u32, Error> {
        Ok(Control::generation(self.word_in_force()?))
    }

    /// From tick `deadline` on, `fallback` is the control word, whatever becomes of this process.
    pub(super) fn arm(&self, deadline: u64, fallback: u64) {
        self.maps.control.store(word::FALLBACK, fallback);
        self.maps.control.store(word::DEADLINE, deadline);
    }

    /// The control word stands for itself again.
    pub(super) fn disarm(&self) {
        self.maps.control.store(word::DEADLINE, 0);
    }

    /// Lets events be told until tick `until`; 0 = not any more.
    pub(super) fn listen_until(&self, until: u64) {
        let listening = if until == 0 { 0 } else { Control::listening_until(until) };
        let words: [u64; 8] = zerocopy::transmute!(Control { listening, ..self.control() });
        self.maps.control.store(word::LISTENING, words[word::LISTENING]);
    }

    /// Sets everything of the control line but the control word and the clock.
    pub(super) fn set_control(&self, control: &Control) {
        let words: [u64; 8] = zerocopy::transmute!(*control);
        for (at, value) in words.into_iter().enumerate().skip(word::SEED) {
            self.maps.control.store(at, value);
        }
    }

    /// Brings `generation` of `half` into force, with one store.
    pub(super) fn switch(&self, generation: u32, half: u32) {
        self.maps.control.store(word::WORD, Control::word_of(generation, half));
    }

    /// Moves the kernel side's clock `ticks` ahead of the kernel's; for tests.
    pub fn set_clock_offset(&self, ticks: u64) {
        self.maps.control.store(word::CLOCK_OFFSET, ticks);
    }

    /// Settings in force.
    pub fn settings(&self) -> Result<Settings, Error> {
        let half = Control::half(self.word_in_force()?);
        Ok(self.maps.settings.get(half as usize))
    }

    /// The kernel side's clock and ours.
    pub fn clock(&self) -> Result<Clock, Error> {
        let (now_tick, _) = self.now()?;
        Ok(Clock { now_wall: SystemTime::now(), now_tick, hz: self.control().hz })
    }

    /// The kernel side's clock, and the monotonic one at that moment.
    pub(super) fn now(&self) -> Result<(u64, Duration), Error> {
        let reply = self.probe(&ProbeRequest::default(), &NO_FRAME)?;
        Ok((reply.now, Duration::from_nanos(reply.monotonic)))
    }

    /// What would become of `frame`, an Ethernet frame. No trace is left.
    pub fn probe(&self, request: &ProbeRequest, frame: &[u8]) -> Result<ProbeReply, Error> {
        self.programs.probe(request, frame)
    }

    /// Counters of the interface in `slot`, all CPUs together. Slot 0: packets on interfaces that are not known.
    pub fn interface_stats(&self, slot: u32) -> Result<InterfaceStats, Error> {
        let by_cpu = self.maps.stats.get(&slot, 0).attempt(|| "reading the counters".to_owned())?;
        let mut sum = InterfaceStats::default();
        for one in by_cpu.iter() {
            for (sum, one) in sum.0.iter_mut().zip(&one.0) {
                add(sum, one);
            }
        }
        Ok(sum)
    }

    /// Rule counters, all CPUs together, since they were last zeroed; see
    /// [`Loaded::rule_counters`](super::Loaded::rule_counters).
    pub fn rule_counters(&self, range: std::ops::Range<u32>) -> Result<Vec<RuleCounter>, Error> {
        Ok(range.map(|at| self.rule_counter(at)).collect())
    }

    /// One of them.
    pub(super) fn rule_counter(&self, at: u32) -> RuleCounter {
        let mut sum = RuleCounter::default();
        for one in self.of_every_cpu(at).map(|at| self.maps.rule_counters.get(at)) {
            sum.packets += one.packets;
            sum.bytes += one.bytes;
            sum.last_hit = sum.last_hit.max(one.last_hit);
        }
        sum
    }

    /// Slots of the connection and fragment tables in use by the interface in `slot` (0: by all), expired ones that
    /// nobody has needed yet included.
    pub fn table_use(&self, slot: u32) -> Result<TableUse, Error> {
        self.maps.table_use.get(&slot, 0).attempt(|| "reading the fill of the tables".to_owned())
    }

    /// IPv4 connections that are live at tick `now`, each with its slot in the table.
    pub fn connections_v4(&self, now: u64) -> Vec<(u32, Entry<Key4>)> {
        live(&self.maps.ct4, now, |entry: &Entry<Key4>| entry.life)
    }

    /// IPv6 connections that are live at tick `now`, each with its slot in the table.
    pub fn connections_v6(&self, now: u64) -> Vec<(u32, Entry<Key6>)> {
        live(&self.maps.ct6, now, |entry: &Entry<Key6>| entry.life)
    }

    /// How many connections are live at tick `now`.
    pub fn count_connections(&self, now: u64) -> u64 {
        self.table_ages(now).iter().map(|ages| ages.live).sum()
    }

    /// What the IPv4 and IPv6 connection tables hold at tick `now`.
    pub fn table_ages(&self, now: u64) -> [TableAges; 2] {
        let of = |table: &Memory, entry: usize| {
            let words = (0..table.words()).step_by(entry / size_of::<u64>());
            TableAges::of(words.map(|at| Life(table.load(at))), now)
        };
        [of(&self.maps.ct4, size_of::<Entry<Key4>>()), of(&self.maps.ct6, size_of::<Entry<Key6>>())]
    }

    /// Ends the entry in `slot` of `table` (see [`sg_common::control::table`]) if its life word is still `life`;
    /// tells whether it was. `end` is what listeners are told.
    pub fn evict(&self, table: usize, slot: u32, life: Life, end: End) -> Result<bool, Error> {
        let request = SweepRequest {
            table: table as u32,
            first: slot,
            evict: end as u32,
            life: life.0,
            ..SweepRequest::default()
        };
        Ok(self.programs.sweep(&request)?.freed > 0)
    }

    /// Frees the expired slots of `buckets` buckets of `table`, from `first` on; at most [`MAX_BUCKETS`].
    pub fn sweep(&self, table: u32, first: u32, buckets: u32) -> Result<SweepReply, Error> {
        self.programs.sweep(&SweepRequest { table, first, buckets, ..SweepRequest::default() })
    }

    /// Frees the expired slots of all tables: how many were freed, and how many entries are live.
    pub fn sweep_all(&self) -> Result<(u64, u64), Error> {
        let (mut freed, mut live) = (0, 0);
        for (table, buckets) in self.control().buckets.into_iter().enumerate() {
            for first in (0..buckets).step_by(MAX_BUCKETS as usize) {
                let buckets = MAX_BUCKETS.min(buckets - first);
                let SweepReply { freed: some, live: left, .. } = self.sweep(table as u32, first, buckets)?;
                freed += u64::from(some);
                live += u64::from(left);
            }
        }
        Ok((freed, live))
    }

    /// Lines of the heap.
    pub(super) fn lines(&self, range: std::ops::Range<LineIndex>) -> Vec<Line> {
        range.map(|line| self.maps.heap.get(line as usize)).collect()
    }

    /// Sizes of the tables.
    pub fn sizes(&self) -> Result<Sizes, Error> {
        let Control { buckets, interfaces, .. } = self.control();
        let members = self.maps.members.map().info().attempt(|| "reading the size of a table".to_owned())?;
        Ok(Sizes {
            buckets,
            interfaces,
            lines: self.maps.heap.len() as u32,
            rule_counters: (self.maps.rule_counters.len() / self.maps.cpus) as u32,
            members: members.max_entries(),
        })
    }
}

fn inode(path: &Path) -> Option<u64> {
    std::fs::metadata(path).map(|found| found.ino()).ok()
}

fn add(sum: &mut DirectionStats, one: &DirectionStats) {
    sum.allowed += one.allowed;
    sum.allowed_bytes += one.allowed_bytes;
    sum.audited += one.audited;
    sum.opened += one.opened;
    for (sum, one) in sum.dropped.iter_mut().zip(&one.dropped) {
        *sum += one;
    }
}

/// The entries of `table` that are live at `now` and did not change hands while they were read.
fn live<E: FromBytes>(table: &Memory, now: u64, life_of: impl Fn(&E) -> u64) -> Vec<(u32, E)> {
    let words = size_of::<E>() / size_of::<u64>();
    let mut buffer = vec![0u64; words];
    let mut found = Vec::new();
    for first in (0..table.words()).step_by(words) {
        if !Life(table.load(first)).is_live_at(now) {
            continue;
        }
        for (offset, word) in buffer.iter_mut().enumerate() {
            *word = table.load(first + offset);
        }
        let Ok(entry) = E::read_from_bytes(buffer.as_bytes()) else { continue };
        let is_same = Life(life_of(&entry)).free() == Life(table.load(first)).free();
        if is_same && Life(life_of(&entry)).is_live_at(now) {
            found.push(((first / words) as u32, entry));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use sg_common::conntrack::State;

    use super::*;

    #[test]
    fn expired_entries_are_told_from_live_ones() {
        let until = |tick| Life::live(Life(0), State::OneWay, false, tick);
        let entries = [until(101), until(100), until(70), until(5000), until(3).free(), Life(0)];
        let ages = TableAges::of(entries.into_iter(), 100);
        assert_eq!(ages, TableAges { live: 2, oldest_expired: 30 });
    }
}
