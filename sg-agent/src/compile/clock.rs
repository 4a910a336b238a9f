//! Wall time and kernel ticks, read at one moment.

use std::time::{Duration, SystemTime};

/// The two clocks at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Wall time.
    pub now_wall: SystemTime,
    /// The kernel side's tick count.
    pub now_tick: u64,
    /// Ticks per second.
    pub hz: u32,
}

impl Clock {
    /// The first tick that is not before `time`.
    pub fn tick(&self, time: SystemTime) -> u64 {
        match time.duration_since(self.now_wall) {
            Ok(ahead) => self.now_tick.saturating_add(self.ticks(ahead)),
            Err(behind) => self.now_tick.saturating_sub(self.ticks(behind.duration())),
        }
    }

    /// `duration` in ticks, rounded up.
    pub fn ticks(&self, duration: Duration) -> u64 {
        let ticks = (duration.as_nanos() * u128::from(self.hz)).div_ceil(1_000_000_000);
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }

    /// `duration` in ticks for a 32-bit field: what is longer than it can say becomes its largest value.
    pub fn ticks32(&self, duration: Duration) -> u32 {
        u32::try_from(self.ticks(duration)).unwrap_or(u32::MAX)
    }

    /// `tick`, or `before` if that was said of the same time earlier and differs by less than a second: two readings
    /// of two clocks never agree to the tick.
    pub fn steady(&self, tick: u64, before: Option<u64>) -> u64 {
        before.filter(|before| before.abs_diff(tick) < u64::from(self.hz)).unwrap_or(tick)
    }
}
