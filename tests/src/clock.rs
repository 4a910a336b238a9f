//! The clock of a host's dataplane, which tests move forward instead of waiting.

use std::time::Duration;

use aya::maps::{Array, Map, MapData};
use sg_common::control::Control;

use crate::{netns::Netns, progrun::pins};

/// The clock.
pub struct Clock {
    control: Array<MapData, Control>,
}

impl Clock {
    /// The clock of what the agent of `host` loaded.
    ///
    /// # Panics
    /// If it loaded nothing.
    #[track_caller]
    pub fn of(host: &Netns) -> Self {
        let path = pins(host).join("CONTROL");
        let map = MapData::from_pin(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { control: Array::try_from(Map::Array(map)).expect("the control map") }
    }

    /// Lets time pass.
    #[track_caller]
    pub fn advance(&mut self, time: Duration) {
        let mut control = self.control.get(&0, 0).expect("the control element");
        control.clock_offset += (time.as_nanos() * u128::from(control.hz) / 1_000_000_000) as u64;
        self.control.set(0, control, 0).expect("setting the clock");
    }

    /// Lets so many seconds pass.
    #[track_caller]
    pub fn advance_seconds(&mut self, seconds: u64) {
        self.advance(Duration::from_secs(seconds));
    }
}
