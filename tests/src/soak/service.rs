//! The daemon of one host, which dies and comes back.

use std::{
    fs,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use nix::sys::signal::Signal;
use sg_agent::dataplane::Loaded;

use super::Census;
use crate::{
    agent::Agent,
    daemon::{self, Daemon},
};

/// A daemon on a host, alive or not. Killed on drop.
#[derive(Debug)]
pub struct Service<'a> {
    agent: &'a Agent,
    daemon: Mutex<Option<Daemon<'a>>>,
}

impl<'a> Service<'a> {
    /// Starts it on the host of `agent` with `text` as its file; returns when that is in force.
    ///
    /// # Panics
    /// If it is not ready in time.
    pub fn start(agent: &'a Agent, text: &str) -> Self {
        let service = Self { agent, daemon: Mutex::default() };
        service.write(text);
        service.start_anew();
        service
    }

    /// The command line on the same host.
    pub fn agent(&self) -> &Agent {
        self.agent
    }

    /// Replaces the file, as an editor does.
    pub fn write(&self, text: &str) {
        let path = daemon::config(self.agent);
        let new = path.with_extension("new");
        let directory = path.parent().expect("the file is in a directory");
        let written = fs::create_dir_all(directory).and_then(|()| fs::write(&new, text));
        written.and_then(|()| fs::rename(&new, &path)).expect("writing the policy file");
    }

    /// Replaces the file and has the command line apply it; returns when it is in force.
    ///
    /// # Panics
    /// If it is refused.
    pub fn put(&self, text: &str) {
        self.write(text);
        let run = self.agent.run(&["apply", &daemon::config(self.agent).to_string_lossy()]);
        let log = self.daemon().as_ref().map(|daemon| tail(&daemon.log()));
        assert_eq!(run.status, 0, "sg-agent apply: {}{}\n{text}\n{log:?}", run.stdout, run.stderr);
    }

    /// What is in force, for the thread that is on the host.
    ///
    /// # Panics
    /// If nothing is.
    pub fn loaded(&self) -> Loaded {
        Loaded::open(&self.agent.options()).expect("a policy in force")
    }

    /// Starts it, if it is not alive, and returns when it is ready.
    ///
    /// # Panics
    /// If it is not ready in time.
    pub fn start_anew(&self) {
        self.daemon().get_or_insert_with(|| Daemon::start(self.agent));
    }

    /// Ends it with SIGKILL, wherever it is just now.
    pub fn kill(&self) {
        if let Some(mut daemon) = self.daemon().take() {
            daemon.kill();
        }
    }

    /// Ends it with SIGTERM.
    ///
    /// # Panics
    /// If it does not end in time, or not well.
    pub fn terminate(&self) {
        let Some(mut daemon) = self.daemon().take() else { return };
        daemon.signal(Signal::SIGTERM);
        let status = daemon.end();
        assert!(status.success(), "the daemon ended with {status}: {}", tail(&daemon.log()));
    }

    /// Tells it to read its file again, if it is alive.
    pub fn reload(&self) {
        if let Some(daemon) = self.daemon().as_ref() {
            daemon.signal(Signal::SIGHUP);
        }
    }

    /// What it holds.
    ///
    /// # Panics
    /// If it is not alive.
    pub fn census(&self) -> Census {
        let process = self.daemon().as_ref().map(Daemon::pid).expect("a daemon that is alive");
        Census::of_service(self.agent.host(), process, &self.agent.state_dir())
    }

    /// Where it listens, if it is alive.
    pub fn socket(&self) -> Option<PathBuf> {
        self.daemon().as_ref().map(Daemon::socket)
    }

    fn daemon(&self) -> MutexGuard<'_, Option<Daemon<'a>>> {
        self.daemon.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last lines.
fn tail(text: &str) -> String {
    const LINES: usize = 30;
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
