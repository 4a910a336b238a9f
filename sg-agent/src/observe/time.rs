//! Kernel ticks as times.

use std::time::{Duration, SystemTime};

use crate::compile::Clock;

/// When the clock showed `tick`, which is not in the future.
pub fn when(clock: &Clock, tick: u64) -> SystemTime {
    let ago =
        Duration::from_secs_f64(clock.now_tick.saturating_sub(tick) as f64 / f64::from(clock.hz.max(1)));
    clock.now_wall.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Whole seconds in `ticks`, a begun one counted.
pub fn seconds_up(clock: &Clock, ticks: u64) -> u64 {
    ticks.div_ceil(u64::from(clock.hz.max(1)))
}

/// Whole seconds in `ticks`.
pub fn seconds_down(clock: &Clock, ticks: u64) -> u64 {
    ticks / u64::from(clock.hz.max(1))
}

/// RFC 3339, in UTC, to the second; `None` where no calendar reaches.
pub fn rfc3339(time: SystemTime) -> Option<String> {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    let time = jiff::Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?;
    Some(time.to_string())
}

/// RFC 3339, in UTC, to the millisecond; `None` where no calendar reaches.
pub fn rfc3339_millis(time: SystemTime) -> Option<String> {
    let millis = time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_millis();
    let time = jiff::Timestamp::from_millisecond(i64::try_from(millis).ok()?).ok()?;
    Some(format!("{time:.3}"))
}

/// How long ago, in the one or two largest units: `3s`, `4m10s`, `2d3h`.
pub fn span(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let mut rest = seconds;
    let parts = UNITS.map(|(size, unit)| {
        let count = rest / size;
        rest %= size;
        (count, unit)
    });
    let Some(first) = parts.iter().position(|(count, _)| *count > 0) else { return "0s".to_owned() };
    let shown = parts[first..].iter().take(2).filter(|(count, _)| *count > 0);
    shown.map(|(count, unit)| format!("{count}{unit}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_becomes_a_time() {
        let now_wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let clock = Clock { now_wall, now_tick: 5000, hz: 100 };
        assert_eq!(rfc3339(when(&clock, 4000)).as_deref(), Some("1970-01-12T13:46:30Z"));
        assert_eq!(when(&clock, 6000), now_wall);
        assert_eq!((seconds_up(&clock, 101), seconds_down(&clock, 199)), (2, 1));
    }

    #[test]
    fn spans_are_short() {
        for (seconds, text) in
            [(0, "0s"), (59, "59s"), (60, "1m"), (250, "4m10s"), (183_600, "2d3h"), (86_401, "1d")]
        {
            assert_eq!(span(seconds), text);
        }
    }
}
