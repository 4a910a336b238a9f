//! Captures through the loaded programs and the model of the specification, in both roles, at both receive hooks, under
//! a few policies, with the clock of the capture: every verdict, reason and counter is the same in both.
//!
//! The sender of a capture's first frame is taken for the protected side. Frames shorter than Ethernet's minimum are
//! padded to it, as a NIC does; the kernel's test run takes none longer than a page.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use sg_agent::policy::model::Direction;
use tempfile::TempDir;

use crate::{
    agent::Agent,
    interrupt,
    netns::Netns,
    oracle,
    progrun::Hook,
    sequence::{Host, Timed},
};

pub mod capture;
mod policy;
mod report;

pub use capture::{Capture, Frame};
pub use policy::Choice;
pub use report::Tally;

/// What to replay.
#[derive(clap::Parser, Debug)]
#[command(name = "sg-replay", about = "Replays captures through the loaded programs and the model")]
pub struct Options {
    /// Captures (pcap, pcapng), or directories that hold some at any depth
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// A policy file, whose interfaces take part, in place of: everything open, a web server, everything closed
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

/// Replays and prints; whether there was no difference.
///
/// # Errors
/// If there is nothing to replay, or a signal has come.
pub fn run(options: &Options) -> Result<bool> {
    let files = files(&options.paths)?;
    ensure!(!files.is_empty(), "no captures there");
    let choices = match &options.policy {
        Some(path) => vec![Choice::file(path)?],
        None => Choice::built_in(),
    };
    let tallies = replay(&files, &choices)?;
    print!("{}", report::table(&tallies));
    Ok(tallies.iter().all(|tally| tally.differences.is_empty()))
}

/// Replays captures under each policy.
///
/// # Errors
/// If a signal has come.
///
/// # Panics
/// If the dataplane cannot be loaded.
pub fn replay(files: &[PathBuf], choices: &[Choice]) -> Result<Vec<Tally>> {
    let mut captures: Vec<(Tally, Capture)> = files.iter().map(|path| Tally::open(path)).collect();
    for choice in choices {
        let namespace = Netns::new();
        // Unloads what is loaded here.
        let agent = Agent::new(&namespace);
        let state = TempDir::new().context("a temporary directory")?;
        namespace.enter(|| under(choice, &mut captures, &namespace, state.path()))?;
        drop(agent);
    }
    Ok(captures.into_iter().map(|(tally, _)| tally).collect())
}

fn under(choice: &Choice, captures: &mut [(Tally, Capture)], namespace: &Netns, state: &Path) -> Result<()> {
    let text = choice.text(&Capture::default());
    let bound = oracle::policy(&text).interfaces;
    let names: Vec<&str> = bound.iter().map(|interface| interface.name.as_str()).collect();
    let mut host = Host::with_devices(namespace, state, &text, &names);
    for (tally, capture) in captures {
        interrupt::check()?;
        host.apply(&choice.text(capture));
        let frames = timed(capture);
        for hook in [Hook::Xdp, Hook::TcxIngress] {
            host.receive_at(hook);
            for name in &names {
                let place = format!("{}, {name}, {hook:?}", choice.name());
                tally.add(&place, &frames, host.replay(name, &frames));
            }
        }
    }
    Ok(())
}

/// The frames of a capture as they go through an interface, with time since the first.
fn timed(capture: &Capture) -> Vec<Timed<'_>> {
    let start = capture.frames.first().map(|frame| frame.time).unwrap_or_default();
    let local = capture.frames.first().and_then(Frame::sender);
    let direction = |frame: &Frame| match frame.sender() == local {
        true => Direction::Egress,
        false => Direction::Ingress,
    };
    let frames = capture.frames.iter().map(|frame| Timed {
        time: frame.time.saturating_sub(start),
        direction: direction(frame),
        bytes: &frame.bytes,
    });
    frames.collect()
}

/// The files, and those in the directories, in order.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        if !path.is_dir() {
            found.push(path.clone());
            continue;
        }
        let entries = fs::read_dir(path).with_context(|| path.display().to_string())?;
        let mut inside: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        inside.retain(|path| path.is_dir() || is_capture(path));
        inside.sort();
        found.extend(files(&inside)?);
    }
    Ok(found)
}

fn is_capture(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| ["pcap", "pcapng", "cap", "trace"].iter().any(|known| extension == *known))
}
