//! What the service manager is told: sd_notify(3).

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};

use super::{owner::Handle, reload::Reload};

fn notify(states: &[NotifyState<'_>]) {
    // Without a service manager there is nobody to tell.
    if let Err(error) = sd_notify::notify(states) {
        log::debug!("the service manager was not told: {error}");
    }
}

/// A policy is in force: that of the file, or the last good one.
pub fn ready(reload: &Reload) {
    notify(&[NotifyState::Ready, NotifyState::Status(&reload.to_string())]);
}

/// The file is read again; [`ready`] follows.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now, NotifyState::Status("reading the policy file")]),
        Err(error) => log::debug!("the monotonic clock: {error}"),
    }
}

/// The daemon ends; what is in force stays.
pub fn stopping() {
    notify(&[NotifyState::Stopping, NotifyState::Status("filtering goes on without the daemon")]);
}

/// Feeds the service manager's watchdog, where there is one. It is the owner itself that does, between two pieces of
/// work: one that is stuck feeds nobody, nor does a runtime that does not ask it to.
pub async fn watchdog(owner: Handle) {
    let Some(longest) = sd_notify::watchdog_enabled() else { return };
    let mut often = interval((longest / 4).max(Duration::from_millis(1)));
    often.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        often.tick().await;
        if owner.with(|_| notify(&[NotifyState::Watchdog])).await.is_err() {
            return;
        }
    }
}
