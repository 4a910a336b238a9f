//! A running `sg-agent monitor`.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sg_agent::events::{Event, Missed, Told};

use crate::{agent, life::Plane};

/// How long something is waited for that must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A monitor of what happens on a host, ended on drop.
pub struct Monitor {
    child: Child,
    lines: Receiver<String>,
    /// What it was told that it does not show, so far.
    pub missed: Missed,
}

impl Monitor {
    /// Starts one with `--json` and these options, and waits until it is heard.
    ///
    /// # Panics
    /// If it ends.
    #[track_caller]
    pub fn start(plane: &Plane, options: &[&str]) -> Self {
        let mut command = Command::new(agent::binary());
        command.arg("--state-dir").arg(plane.agent.state_dir()).args(["monitor", "--json"]).args(options);
        command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = plane.host.enter(|| command.spawn()).expect("starting the agent");
        let output = child.stdout.take().expect("a pipe");
        let (sender, lines) = channel();
        thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            lines.take_while(|line| sender.send(line.clone()).is_ok()).for_each(drop);
        });
        let mut monitor = Self { child, lines, missed: Missed::default() };
        monitor.is_heard(plane);
        monitor
    }

    /// Waits until the kernel side tells it what happens now: it does not just after the clock was moved.
    #[track_caller]
    pub fn is_heard(&mut self, plane: &Plane) {
        let start = Instant::now();
        while !is_heard_for(plane, Duration::from_secs(2)) {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("the monitor ended with {status}: {}", self.complaint());
            }
            assert!(start.elapsed() < PATIENCE, "the monitor is not heard");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The next event; what was not shown is added up.
    #[track_caller]
    pub fn event(&mut self) -> Event {
        loop {
            match self.told(PATIENCE) {
                Some(Told::Event(event)) => return *event,
                Some(Told::Missed(missed)) => self.missed = self.missed.and(missed),
                None => panic!("no event came"),
            }
        }
    }

    /// What comes next within `time`.
    #[track_caller]
    pub fn told(&mut self, time: Duration) -> Option<Told> {
        match self.lines.recv_timeout(time) {
            Ok(line) => Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => panic!("the monitor ended: {}", self.complaint()),
        }
    }

    /// Sends it a signal and waits for its end; its exit status, -1 if the signal ended it.
    #[track_caller]
    pub fn end(mut self, signal: Signal) -> i32 {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("a signal");
        self.child.wait().expect("its end").code().unwrap_or(-1)
    }

    fn complaint(&mut self) -> String {
        let mut text = String::new();
        if let Some(stderr) = &mut self.child.stderr {
            let _ = stderr.read_to_string(&mut text);
        }
        text
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether somebody listens, and will for `time`.
#[track_caller]
pub fn is_heard_for(plane: &Plane, time: Duration) -> bool {
    let kernel = &plane.counters.loaded.kernel;
    let clock = kernel.clock().expect("the clock");
    kernel.control().is_heard(clock.now_tick + clock.ticks(time))
}
