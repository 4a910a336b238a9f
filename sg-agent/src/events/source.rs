//! Reads the kernel side's events.

use std::time::Duration;

use sg_common::events::{Event as Record, Kind};
use tokio::{
    io::unix::AsyncFd,
    time::{Interval, MissedTickBehavior, interval},
};

use super::{
    event::{Event, Missed, Told},
    naming::Naming,
};
use crate::{
    compile::{Clock, State},
    dataplane::{
        Error, Loaded, Place, interfaces,
        listen::{Count, Listener, Wanted},
    },
};

/// How often the source does what has to be done again and again.
const BEAT: Duration = Duration::from_secs(1);

/// Whether the source has to sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sweeps {
    /// Nobody else does: connections are seen to end when they are swept.
    Itself,
    /// The daemon does.
    Elsewhere,
}

/// The one reader of the kernel side's events. It has to be asked for the next one at least once a second: otherwise the
/// kernel side takes it for dead and tells no more.
pub struct Source {
    listener: AsyncFd<Listener>,
    place: Place,
    loaded: Loaded,
    before: Option<State>,
    clock: Clock,
    beat: Interval,
    wanted: Wanted,
    interface: Option<String>,
    unreported: Unreported,
    sweeps: Sweeps,
}

impl Source {
    /// Begins to listen in this network namespace: to what is `wanted`, on one `interface` or on all. To be called where
    /// tokio runs, with I/O and time.
    pub fn open(
        place: Place,
        wanted: Wanted,
        interface: Option<String>,
        sweeps: Sweeps,
    ) -> Result<Self, Error> {
        let loaded = Loaded::at(&place)?;
        let listener = Listener::open(&place, &on(&loaded, wanted, interface.as_deref()))?;
        let clock = loaded.kernel.clock()?;
        let unreported = Unreported::new(listener.counts()?);
        #[expect(
            deprecated,
            reason = "its successor is unsafe; a listener keeps its descriptor until it is dropped"
        )]
        let listener = AsyncFd::new(listener)
            .map_err(|error| Error::Environment(format!("waiting for events: {error}")))?;
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let before = None;
        Ok(Self { listener, place, loaded, before, clock, beat, wanted, interface, unreported, sweeps })
    }

    /// The next thing there is to tell. Fails when what was loaded is gone. May be dropped and called again.
    pub async fn next(&mut self) -> Result<Told, Error> {
        loop {
            tokio::select! {
                biased;
                _ = self.beat.tick() => {
                    let missed = self.go_on()?;
                    if missed.total() > 0 {
                        return Ok(Told::Missed(missed));
                    }
                }
                ready = self.listener.readable_mut() => {
                    let mut ready = ready
                        .map_err(|error| Error::Environment(format!("waiting for events: {error}")))?;
                    let Some(record) = ready.get_inner_mut().take() else {
                        ready.clear_ready();
                        continue;
                    };
                    if let Some(event) = self.named(&record)? {
                        return Ok(Told::Event(Box::new(event)));
                    }
                }
            }
        }
    }

    /// Renews, sweeps, learns what is in force; tells what was not told since the last time.
    fn go_on(&mut self) -> Result<Missed, Error> {
        let listener = self.listener.get_ref();
        if !listener.is_current() {
            return Err(Error::NotLoaded);
        }
        listener.renew()?;
        if self.sweeps == Sweeps::Itself {
            listener.kernel().sweep_all()?;
        }
        self.clock = listener.kernel().clock()?;
        let missed = self.unreported.since(listener.counts()?);
        if !self.loaded.is_current()? {
            self.learn()?;
        }
        Ok(missed)
    }

    /// Learns what is in force; the interface may have another slot by now.
    fn learn(&mut self) -> Result<(), Error> {
        let loaded = Loaded::at(&self.place)?;
        self.before = Some(std::mem::replace(&mut self.loaded, loaded).state);
        self.listener.get_ref().want(&on(&self.loaded, self.wanted, self.interface.as_deref()));
        Ok(())
    }

    fn named(&mut self, record: &Record) -> Result<Option<Event>, Error> {
        if (record.generation.wrapping_sub(self.loaded.state.generation()) as i32) > 0 {
            self.learn()?;
        }
        let naming = Naming {
            state: &self.loaded.state,
            before: self.before.as_ref(),
            clock: &self.clock,
            device: &interfaces::name,
        };
        Ok(naming.event(record))
    }
}

/// `wanted`, of `interface` only. Nothing is told of one that nothing is in force on.
fn on(loaded: &Loaded, wanted: Wanted, interface: Option<&str>) -> Wanted {
    const NONE: u32 = u32::MAX;
    let slot = |name| loaded.state.interfaces().get(name).map_or(NONE, |bound| bound.slot);
    Wanted { slot: interface.map_or(0, slot), ..wanted }
}

/// What was not told, and how much of that was reported.
struct Unreported {
    reported: [u64; Kind::ALL.len()],
}

impl Unreported {
    /// Nothing of what was not told so far is of interest.
    fn new(counts: [Count; Kind::ALL.len()]) -> Self {
        Self { reported: counts.map(untold) }
    }

    /// How much more there is by now. What is on its way just then is reported as well, and made up for the next time.
    fn since(&mut self, counts: [Count; Kind::ALL.len()]) -> Missed {
        let mut more = [0; Kind::ALL.len()];
        for ((more, reported), untold) in more.iter_mut().zip(&mut self.reported).zip(counts.map(untold)) {
            *more = untold.saturating_sub(*reported);
            *reported += *more;
        }
        Missed {
            dropped_not_shown: more[Kind::Dropped as usize],
            opened_not_shown: more[Kind::Opened as usize],
            closed_not_shown: more[Kind::Closed as usize],
            audited_not_shown: more[Kind::Audited as usize],
        }
    }
}

const fn untold(count: Count) -> u64 {
    count.seen.saturating_sub(count.told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_told_is_reported_once() {
        let at = |seen, told| Count { seen, told };
        let mut unreported = Unreported::new([at(10, 5), at(1, 1), at(0, 0), at(7, 0)]);
        let dropped = |seen, told| [at(seen, told), at(1, 1), at(0, 0), at(7, 0)];
        let mut reported = |seen, told| unreported.since(dropped(seen, told)).dropped_not_shown;
        assert_eq!(reported(110, 15), 90);
        // One is on its way.
        assert_eq!((reported(111, 15), reported(111, 16), reported(121, 16)), (1, 0, 9));
        let audited = unreported.since([at(121, 16), at(1, 1), at(0, 0), at(9, 1)]);
        assert_eq!(audited, Missed { audited_not_shown: 1, ..Missed::default() });
    }
}
