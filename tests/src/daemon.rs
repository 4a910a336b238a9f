//! `sg-agent run` in a host's namespace, with a service manager that listens to what it says.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::{UnixDatagram, UnixStream},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::{
    agent::{Agent, binary},
    interrupt,
};

/// How long a start may take: the kernel verifies the programs, on a machine that does other things too.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// How often something is looked at that will change.
const PAUSE: Duration = Duration::from_millis(20);

/// A running daemon; killed on drop, which leaves what it has in force.
#[derive(Debug)]
pub struct Daemon<'a> {
    agent: &'a Agent,
    child: Child,
    manager: UnixDatagram,
}

impl<'a> Daemon<'a> {
    /// Starts the daemon of `agent` on the policy file that [`Self::write_config`] has written, and returns when it says
    /// that it is ready.
    ///
    /// # Panics
    /// If it ends before.
    #[track_caller]
    pub fn start(agent: &'a Agent) -> Self {
        let mut daemon = Self::spawn(agent, &[]);
        daemon.until("READY=1");
        daemon
    }

    /// Starts it with more arguments and returns at once.
    #[track_caller]
    pub fn spawn(agent: &'a Agent, arguments: &[&str]) -> Self {
        let path = agent.directory().join("notify");
        drop(fs::remove_file(&path));
        let manager = UnixDatagram::bind(&path).expect("a socket");
        manager.set_nonblocking(true).expect("a socket");
        let log = File::options().create(true).append(true).open(log(agent)).expect("a log");
        let mut command = Command::new(binary());
        command
            .arg("--state-dir")
            .arg(agent.state_dir())
            .args(["run", "--config"])
            .arg(config(agent))
            .arg("--keep-dir")
            .arg(keep_dir(agent))
            .args(arguments)
            .env("NOTIFY_SOCKET", &path)
            // Often: whoever does not listen for a second must not hold the daemon up.
            .env("WATCHDOG_USEC", "400000")
            .stderr(log)
            .stdout(Stdio::null());
        let start = || {
            interrupt::unblock();
            command.spawn()
        };
        let child = agent.host().enter(start).expect("the daemon");
        Self { agent, child, manager }
    }

    /// Waits until it tells the service manager so; returns everything that it has told until then.
    ///
    /// # Panics
    /// If it ends, or does not say it in a long time.
    #[track_caller]
    pub fn until(&mut self, words: &str) -> Vec<String> {
        let mut told = Vec::new();
        self.wait(&format!("it to say {words}"), |daemon| {
            told.extend(daemon.told());
            told.iter().any(|line: &String| line.starts_with(words)).then_some(())
        });
        told
    }

    /// What it has told the service manager since it was last asked.
    pub fn told(&self) -> Vec<String> {
        let mut buffer = [0; 4096];
        let mut told = Vec::new();
        while let Ok(length) = self.manager.recv(&mut buffer) {
            told.extend(String::from_utf8_lossy(&buffer[..length]).lines().map(str::to_owned));
        }
        told
    }

    /// Makes the service manager deaf: its socket takes no more until [`Self::told`] is called.
    pub fn deafen(&self) {
        let socket = UnixDatagram::unbound().expect("a socket");
        socket.connect(self.agent.directory().join("notify")).expect("the manager's socket");
        socket.set_nonblocking(true).expect("a socket");
        while socket.send(b"NOISE=1").is_ok() {}
    }

    /// Waits until `look` finds something.
    ///
    /// # Panics
    /// If the daemon ends, or that takes too long.
    #[track_caller]
    pub fn wait<T>(&mut self, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            let ended = self.child.try_wait().expect("the daemon's process");
            assert!(ended.is_none(), "waiting for {what}: {ended:?}: {}", self.log());
            assert!(Instant::now() < until, "waiting for {what}: {}", self.log());
            std::thread::sleep(PAUSE);
        }
    }

    /// Waits until the daemon's `reload` in `status` says so.
    #[track_caller]
    pub fn until_reload(&mut self, is: impl Fn(&Value) -> bool) -> Value {
        self.wait("a reload", |daemon| {
            let reload = daemon.ask(r#"{"status": {"json": true}}"#)["result"]["reload"].clone();
            is(&reload).then_some(reload)
        })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("the daemon's process");
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the daemon's process") {
                return status;
            }
            assert!(Instant::now() < until, "it does not end: {}", self.log());
            std::thread::sleep(PAUSE);
        }
    }

    /// Kills it as nobody can help.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.end();
    }

    /// What it has logged, and those before it.
    pub fn log(&self) -> String {
        fs::read_to_string(log(self.agent)).unwrap_or_default()
    }

    /// Its control socket.
    pub fn socket(&self) -> PathBuf {
        state(self.agent).join("control.sock")
    }

    /// A connection to it.
    #[track_caller]
    pub fn connect(&self) -> Client {
        let stream = UnixStream::connect(self.socket()).expect("the control socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        Client { reader: BufReader::new(stream) }
    }

    /// What it answers to a command, on a connection of its own.
    #[track_caller]
    pub fn ask(&self, command: &str) -> Value {
        self.connect().ask(command)
    }

    /// How many file descriptors it has open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("the daemon's process").count()
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A connection to the control socket.
#[derive(Debug)]
pub struct Client {
    reader: BufReader<UnixStream>,
}

impl Client {
    /// Sends bytes; false if the daemon does not take them.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.reader.get_mut().write_all(bytes).is_ok()
    }

    /// The next line; `None` at the end.
    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.reader.read_line(&mut line).ok().filter(|length| *length > 0).map(|_| line)
    }

    /// Sends a command and returns the response to it.
    #[track_caller]
    pub fn ask(&mut self, command: &str) -> Value {
        assert!(self.send(format!("{{\"version\": 1, \"command\": {command}}}\n").as_bytes()));
        let line = self.line().unwrap_or_else(|| panic!("no answer to {command}"));
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }
}

/// Where the policy file of the daemon of `agent` is.
pub fn config(agent: &Agent) -> PathBuf {
    agent.directory().join("etc/policy.yaml")
}

/// Writes it in place.
pub fn write_config(agent: &Agent, text: &str) {
    let path = config(agent);
    fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
    fs::write(path, text).expect("the policy file");
}

/// Where what outlives a reboot is.
pub fn keep_dir(agent: &Agent) -> PathBuf {
    agent.directory().join("keep")
}

/// Where what does not is.
pub fn state(agent: &Agent) -> PathBuf {
    agent.state_dir().join(format!("netns-{}", agent.host().inode()))
}

fn log(agent: &Agent) -> PathBuf {
    agent.directory().join("daemon.log")
}

/// Does to `agent` what a reboot does: links, tables and what is remembered beside them are gone.
#[track_caller]
pub fn reboot(agent: &Agent) {
    let run = agent.run(&["unload"]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    drop(fs::remove_dir_all(agent.state_dir()));
}
