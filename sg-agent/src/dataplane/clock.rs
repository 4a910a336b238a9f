//! How fast the kernel ticks.
//!
//! The tick count starts five minutes before it wraps 32 bits (`INITIAL_JIFFIES` of linux/jiffies.h), which depends on
//! the rate. So a reading of the tick count and of the monotonic clock at one moment gives the rate away.

use std::time::Duration;

/// Rates that kernels are built with.
const RATES: [u32; 10] = [100, 128, 200, 250, 256, 300, 500, 512, 1000, 1024];
/// How far the two clocks may differ: ticks are counted, time is adjusted.
const TOLERANCE: Duration = Duration::from_secs(1);

/// The rate at which the tick count is `ticks` when the monotonic clock shows `uptime`; `None` if none fits, or several
/// do: five minutes after the start the tick count is the same at every rate.
pub fn rate_at_boot(ticks: u64, uptime: Duration) -> Option<u32> {
    let off = |hz: u32| {
        let since_boot = ticks.checked_sub((1 << 32) - 300 * u64::from(hz))?;
        Some(Duration::from_secs_f64(since_boot as f64 / f64::from(hz)).abs_diff(uptime))
    };
    let mut fitting = RATES.into_iter().filter(|&hz| off(hz).is_some_and(|off| off < TOLERANCE));
    fitting.next().filter(|_| fitting.next().is_none())
}

/// The rate at which `ticks` go by in `time`, which should be tens of milliseconds at least.
pub fn rate_between(ticks: u64, time: Duration) -> Option<u32> {
    let measured = ticks as f64 / time.as_secs_f64();
    let off = |hz: u32| ((f64::from(hz) - measured).abs() * 1000.0) as u64;
    let nearest = RATES.into_iter().min_by_key(|&hz| off(hz))?;
    (off(nearest) < u64::from(nearest) * 1000 / 10).then_some(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_read_off_the_tick_count() {
        for hz in RATES {
            for seconds in [1, 200, 400, 86_400 * 400] {
                let ticks = (1u64 << 32) - 300 * u64::from(hz) + u64::from(hz) * seconds;
                let uptime = Duration::from_secs(seconds) + Duration::from_millis(120);
                assert_eq!(rate_at_boot(ticks, uptime), Some(hz), "{hz} Hz after {seconds} s");
            }
        }
    }

    #[test]
    fn a_tick_count_that_fits_no_rate_or_several_gives_none() {
        assert_eq!(rate_at_boot(1 << 32, Duration::from_secs(300)), None);
        assert_eq!(rate_at_boot(12, Duration::from_secs(5)), None);
        assert_eq!(rate_at_boot((1 << 32) + 5_000_000, Duration::from_secs(7)), None);
    }

    #[test]
    fn the_rate_is_measured_too() {
        assert_eq!(rate_between(26, Duration::from_millis(103)), Some(250));
        assert_eq!(rate_between(200, Duration::from_millis(200)), Some(1000));
        assert_eq!(rate_between(1, Duration::from_secs(1)), None);
    }
}
