//! What the service manager is told: sd_notify(3).
//!
//! A thread of its own tells it: a manager that does not listen (it starts anew, it is stuck) fills its socket, and then
//! whoever tells it something waits. Neither the owner of the tables nor the runtime may.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};

use super::{owner::Handle, reload::Reload};

/// How long the manager may take to hear that the daemon ends.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What there is to tell.
enum Words {
    Ready(String),
    Reloading,
    Watchdog,
    /// And who wants to know that it was told.
    Stopping(Sender<()>),
}

/// The way to the thread.
static QUEUE: OnceLock<Option<Sender<Words>>> = OnceLock::new();
/// Whether the watchdog is to be fed already: a manager that wakes up is not fed for the time it slept.
static FED: AtomicBool = AtomicBool::new(false);

fn tell(words: Words) {
    let queue = QUEUE.get_or_init(|| {
        let (queue, words) = channel();
        let started = thread::Builder::new().name("notify".to_owned()).spawn(move || pass_on(&words));
        started.inspect_err(|error| log::error!("no thread to tell the service manager: {error}")).ok()?;
        Some(queue)
    });
    if let Some(queue) = queue {
        // The thread ends with the process.
        let _ = queue.send(words);
    }
}

fn pass_on(queue: &Receiver<Words>) {
    for words in queue {
        match words {
            Words::Ready(status) => notify(&[NotifyState::Ready, NotifyState::Status(&status)]),
            Words::Reloading => match NotifyState::monotonic_usec_now() {
                Ok(now) => {
                    notify(&[NotifyState::Reloading, now, NotifyState::Status("reading the policy file")]);
                }
                Err(error) => log::debug!("the monotonic clock: {error}"),
            },
            Words::Watchdog => {
                FED.store(false, Ordering::Relaxed);
                notify(&[NotifyState::Watchdog]);
            }
            Words::Stopping(told) => {
                notify(&[NotifyState::Stopping, NotifyState::Status("filtering goes on without the daemon")]);
                let _ = told.send(());
            }
        }
    }
}

fn notify(states: &[NotifyState<'_>]) {
    // Without a service manager there is nobody to tell.
    if let Err(error) = sd_notify::notify(states) {
        log::debug!("the service manager was not told: {error}");
    }
}

/// A policy is in force: that of the file, or the last good one.
pub fn ready(reload: &Reload) {
    tell(Words::Ready(reload.to_string()));
}

/// The file is read again; [`ready`] follows.
pub fn reloading() {
    tell(Words::Reloading);
}

/// The daemon ends; what is in force stays. Returns when that was told, or nobody listens.
pub fn stopping() {
    let (told, done) = channel();
    tell(Words::Stopping(told));
    let _ = done.recv_timeout(LAST_WORDS);
}

/// Feeds the service manager's watchdog, where there is one. It is the owner itself that does, between two pieces of
/// work: one that is stuck feeds nobody, nor does a runtime that does not ask it to.
pub async fn watchdog(owner: Handle) {
    let Some(longest) = sd_notify::watchdog_enabled() else { return };
    let mut often = interval((longest / 4).max(Duration::from_millis(1)));
    often.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let feed = |_: &mut super::owner::Owner| {
        if !FED.swap(true, Ordering::Relaxed) {
            tell(Words::Watchdog);
        }
    };
    loop {
        often.tick().await;
        if owner.with(feed).await.is_err() {
            return;
        }
    }
}
