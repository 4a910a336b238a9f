//! Ctrl-C: remembered when it comes, acted upon at the next step, so that everything is put back in order.

use std::{
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use nix::sys::signal::{SigSet, Signal};

static STOP: AtomicBool = AtomicBool::new(false);

/// The program was told to stop.
#[derive(Debug)]
pub struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Starts to watch for the signals that end a program. Call it before any other thread is started: those inherit that
/// the signals do not end them.
pub fn watch() {
    let signals = signals();
    if signals.thread_block().is_ok() {
        thread::spawn(move || {
            while signals.wait().is_ok() {
                STOP.store(true, Ordering::Relaxed);
            }
        });
    }
}

/// Lets the signals through to whatever the calling thread starts.
pub fn unblock() {
    // Where they are not blocked nothing changes.
    let _ = signals().thread_unblock();
}

fn signals() -> SigSet {
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect()
}

/// The exit status of a program that came to this: 1 if something it looked for was not well, 2 if it could not look,
/// 130 if a signal has ended it. What went wrong is said.
pub fn exit(outcome: anyhow::Result<bool>) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) if error.is::<Interrupted>() => {
            eprintln!("{error}; nothing stays behind");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// An error once a signal has come.
pub fn check() -> Result<(), Interrupted> {
    if STOP.load(Ordering::Relaxed) { Err(Interrupted) } else { Ok(()) }
}
