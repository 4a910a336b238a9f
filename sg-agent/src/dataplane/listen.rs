//! Listening to the kernel side's events.
//!
//! The ring buffer has one reader: a lock on the directory of pins keeps a second one out. Events are told as long as the
//! reader says so again and again ([`Listener::renew`]); of one that was killed the kernel side hears no more after
//! [`LEASE`].

use std::{
    os::fd::{AsRawFd, RawFd},
    thread::available_parallelism,
    time::Duration,
};

use sg_common::events::{Audience, Event, Kind, Told, WINDOW_SHIFT};
use zerocopy::FromBytes as _;

use super::{
    environment,
    error::{Attempt as _, Error},
    kernel::Kernel,
    lock::Lock,
    maps::EventMaps,
    not_loaded,
    place::Place,
};

/// For how long events are told to a reader that does not renew.
pub const LEASE: Duration = Duration::from_secs(5);

/// What a reader wants to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Which kinds, as bits ([`Kind::bit`]).
    pub kinds: u32,
    /// Of the interface in this directory slot; 0 = of all.
    pub slot: u32,
    /// Every how many-th of a kind.
    pub sample: u32,
    /// At most so many of a kind in a second, on the whole host, if all its CPUs have as much to tell.
    pub per_second: u32,
}

impl Default for Wanted {
    fn default() -> Self {
        let kinds = Kind::ALL.into_iter().map(Kind::bit).sum();
        Self { kinds, slot: 0, sample: 1, per_second: 2000 }
    }
}

impl Wanted {
    /// As the kernel side reads it, at `hz` ticks per second on `cpus` CPUs.
    fn audience(&self, hz: u32, cpus: u32) -> Audience {
        let per_window = (u64::from(self.per_second) << WINDOW_SHIFT) / u64::from((hz * cpus).max(1));
        Audience {
            kinds: self.kinds,
            slot: self.slot,
            sample: self.sample,
            budget: u32::try_from(per_window.max(1)).unwrap_or(u32::MAX),
        }
    }
}

/// How much of a kind there was to tell, and how much was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// All.
    pub seen: u64,
    /// Of these.
    pub told: u64,
}

/// The one reader.
pub struct Listener {
    maps: EventMaps,
    kernel: Kernel,
    lock: Lock,
}

impl Listener {
    /// Begins to listen. What an earlier reader has left unread is forgotten.
    pub fn open(place: &Place, wanted: &Wanted) -> Result<Self, Error> {
        environment::check()?;
        let pins = place.pins();
        if !pins.is_dir() {
            return Err(not_loaded(place));
        }
        let lock = Lock::take_now(&pins, "listening already (events have one reader)")?;
        let mut listener = Self { maps: EventMaps::open(&pins)?, kernel: Kernel::open(&pins)?, lock };
        while listener.take().is_some() {}
        listener.want(wanted);
        listener.renew()?;
        Ok(listener)
    }

    /// Changes what is told.
    pub fn want(&self, wanted: &Wanted) {
        let cpus = available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(1));
        let words: [u64; 2] = zerocopy::transmute!(wanted.audience(self.kernel.control().hz, cpus));
        for (at, word) in words.into_iter().enumerate() {
            self.maps.audience.store(at, word);
        }
    }

    /// Goes on listening for [`LEASE`].
    pub fn renew(&self) -> Result<(), Error> {
        let clock = self.kernel.clock()?;
        self.kernel.listen_until(clock.now_tick + clock.ticks(LEASE));
        Ok(())
    }

    /// Whether the tables are still the ones that packets are judged by.
    pub fn is_current(&self) -> bool {
        self.lock.is_held()
    }

    /// The next event, if there is one.
    pub fn take(&mut self) -> Option<Event> {
        loop {
            let item = self.maps.events.next()?;
            if let Ok(event) = Event::read_from_bytes(&item) {
                return Some(event);
            }
        }
    }

    /// What there was to tell since the tables were made, at the index of its [`Kind`].
    pub fn counts(&self) -> Result<[Count; Kind::ALL.len()], Error> {
        let by_cpu = self.maps.told.get(&0, 0).attempt(|| "reading the counts of events".to_owned())?;
        let mut sums = [Count::default(); Kind::ALL.len()];
        for Told(kinds) in by_cpu.iter() {
            for (sum, kind) in sums.iter_mut().zip(kinds) {
                sum.seen += kind.seen;
                sum.told += kind.told;
            }
        }
        Ok(sums)
    }

    /// The tables.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        self.maps.events.as_raw_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.kernel.listen_until(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_becomes_a_budget() {
        let budget =
            |per_second, hz, cpus| Wanted { per_second, ..Wanted::default() }.audience(hz, cpus).budget;
        assert_eq!(budget(1000, 1000, 1), 256);
        assert_eq!(budget(1000, 250, 2), 512);
        assert_eq!((budget(1, 1000, 64), budget(u32::MAX, 100, 1)), (1, u32::MAX));
    }
}
