//! The daemon of one host: started, told, killed, watched.

use std::{
    fs::{self, File},
    os::unix::{net::UnixDatagram, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sg_agent::dataplane::Loaded;
use tempfile::TempDir;

use super::Census;
use crate::{
    agent::{self, Agent},
    netns::Netns,
};

/// Within so long a daemon that was started has its policy in force, and one that was told to has ended.
const READY: Duration = Duration::from_secs(30);

/// A daemon on a host, with the command line beside it. Killed and unloaded on drop.
#[derive(Debug)]
pub struct Service {
    host: Netns,
    agent: Agent,
    files: TempDir,
    process: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    /// Where it says how it is (sd_notify(3)).
    words: UnixDatagram,
}

impl Service {
    /// Starts it on `host` with `text` as its file; returns when that is in force.
    ///
    /// # Panics
    /// If it is not ready in time.
    pub fn start(host: &Netns, text: &str) -> Self {
        let service = Self {
            host: host.clone(),
            agent: Agent::new(host),
            files: TempDir::new().expect("a temporary directory"),
            process: Mutex::default(),
        };
        service.write(text);
        service.start_anew();
        service
    }

    /// The command line on the same host.
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// Replaces the file, as an editor does.
    pub fn write(&self, text: &str) {
        let new = self.files.path().join("new");
        fs::write(&new, text)
            .and_then(|()| fs::rename(&new, self.config()))
            .expect("writing the policy file");
    }

    /// Replaces the file and has the command line apply it; returns when it is in force.
    ///
    /// # Panics
    /// If it is refused.
    pub fn put(&self, text: &str) {
        self.write(text);
        let run = self.agent.run(&["apply", &self.config().to_string_lossy()]);
        assert_eq!(run.status, 0, "sg-agent apply: {}{}: {text}", run.stdout, run.stderr);
    }

    /// What is in force, for the thread that is on the host.
    ///
    /// # Panics
    /// If nothing is.
    pub fn loaded(&self) -> Loaded {
        Loaded::open(&self.agent.options()).expect("a policy in force")
    }

    /// Its file.
    pub fn config(&self) -> PathBuf {
        self.files.path().join("policy.yaml")
    }

    /// Starts it, if it is not alive, and returns when it is ready.
    ///
    /// # Panics
    /// If it is not ready in time.
    pub fn start_anew(&self) {
        let mut process = self.process();
        if process.is_none() {
            let running = process.insert(self.spawn());
            running.wait_until_ready(&self.log());
        }
    }

    /// Ends it with SIGKILL, wherever it is just now.
    pub fn kill(&self) {
        if let Some(Running { mut child, .. }) = self.process().take() {
            child.kill().and_then(|()| child.wait()).expect("a process that is killed");
        }
    }

    /// Ends it with SIGTERM.
    ///
    /// # Panics
    /// If it does not end in time, or not well.
    pub fn terminate(&self) {
        let Some(Running { mut child, .. }) = self.process().take() else { return };
        kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).expect("a signal");
        let end = Instant::now() + READY;
        loop {
            match child.try_wait().expect("waiting for the daemon") {
                Some(status) if status.success() => return,
                Some(status) => panic!("the daemon ended with {status}: {}", self.log()),
                None if Instant::now() > end => panic!("the daemon does not end: {}", self.log()),
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// Tells it to read its file again; whether there is one to tell.
    pub fn reload(&self) -> bool {
        let process = self.process();
        let id = process.as_ref().map(|running| Pid::from_raw(running.child.id() as i32));
        id.is_some_and(|id| kill(id, Signal::SIGHUP).is_ok())
    }

    /// What it holds.
    ///
    /// # Panics
    /// If it is not alive.
    pub fn census(&self) -> Census {
        let id = self.process().as_ref().map(|running| running.child.id()).expect("a daemon that is alive");
        Census::of_service(&self.host, id, &self.agent.state_dir())
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.agent.state_dir().join("control.sock")
    }

    fn spawn(&self) -> Running {
        let path = self.files.path().join("notify");
        drop(fs::remove_file(&path));
        let words = UnixDatagram::bind(&path).expect("a socket to be told on");
        words.set_read_timeout(Some(READY)).expect("a time limit");
        let log =
            File::options().create(true).append(true).open(self.files.path().join("log")).expect("a log");
        let mut command = Command::new(agent::binary());
        command.arg("--state-dir").arg(self.agent.state_dir()).arg("run").arg("--config").arg(self.config());
        command.env("NOTIFY_SOCKET", &path).env("STATE_DIRECTORY", self.lasting());
        command.stdout(log.try_clone().expect("a log")).stderr(log).process_group(0);
        let child = self.host.enter(|| command.spawn()).expect("starting the daemon");
        Running { child, words }
    }

    fn lasting(&self) -> PathBuf {
        self.files.path().join("lasting")
    }

    /// The last of what it said.
    fn log(&self) -> String {
        tail(&self.files.path().join("log"))
    }

    fn process(&self) -> MutexGuard<'_, Option<Running>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Running {
    #[track_caller]
    fn wait_until_ready(&mut self, log: &str) {
        let mut buffer = [0; 4096];
        loop {
            let length =
                self.words.recv(&mut buffer).unwrap_or_else(|error| panic!("not ready: {error}: {log}"));
            if buffer[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
                return;
            }
        }
    }
}

fn tail(path: &Path) -> String {
    const LINES: usize = 30;
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
