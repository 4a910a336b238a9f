//! The settings that the kernel side reads.

use std::time::Duration;

use sg_common::{
    control::{self, setting},
    limits::FRAGMENT_SECONDS,
};

use super::clock::Clock;
use crate::policy::{
    Policy,
    model::{self, TcpPickup},
};

/// Settings in kernel terms.
pub fn settings(policy: &Policy, clock: &Clock) -> control::Settings {
    let model::Settings { timeouts, conntrack, limits, .. } = &policy.settings;
    let ticks = |duration| clock.ticks32(duration);
    control::Settings {
        timeouts: control::Timeouts {
            established: ticks(timeouts.tcp_established),
            fin_wait: ticks(timeouts.tcp_fin_wait),
            icmp: ticks(timeouts.icmp),
            bidirectional: ticks(timeouts.bidirectional),
            unidirectional: ticks(timeouts.unidirectional),
            fragment: ticks(Duration::from_secs(FRAGMENT_SECONDS)),
        },
        max_entries: conntrack.max_entries,
        max_per_interface: conntrack.max_per_interface,
        max_fragments: limits.fragments,
        max_fragments_per_interface: (limits.fragments / 8).max(1),
        flags: if conntrack.tcp_pickup == TcpPickup::Loose { setting::TCP_LOOSE } else { 0 },
        ..control::Settings::default()
    }
}
