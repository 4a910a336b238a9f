//! The policy file, read again: on SIGHUP, and when it changes.

use std::{
    fmt, fs,
    iter::once,
    path::Path,
    sync::Arc,
    time::{Instant, SystemTime},
};

use serde::Serialize;

use super::{
    Daemon, notify,
    owner::{Owner, Stopped},
    watch::Watch,
};
use crate::{
    dataplane,
    observe::time,
    policy::{self, Policy, Text, render},
};

/// What came of reading the policy file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reload {
    /// Whether what it says is in force.
    pub ok: bool,
    /// When it was read, RFC 3339.
    pub when: Option<String>,
    /// The file.
    pub file: String,
    /// The generation in force after that.
    pub generation: u32,
    /// Why it is not in force what it says: all faults, or what the kernel refused.
    pub error: Option<String>,
    /// How often it was read since the daemon has started.
    pub reloads: u64,
    /// How often that failed.
    pub failures: u64,
    /// What it was read from.
    #[serde(skip)]
    pub texts: Arc<[Text]>,
    /// When it was last looked at, if only to see that it says what it said.
    #[serde(skip)]
    pub looked: SystemTime,
    /// When it was last read and is in force since.
    #[serde(skip)]
    pub succeeded: Option<SystemTime>,
}

/// A policy file that was read.
#[derive(Debug)]
pub struct Read {
    /// What it says; the error has all faults.
    pub policy: Result<Arc<Policy>, String>,
    /// What it was read from, faulty or not.
    pub texts: Arc<[Text]>,
    /// When reading began.
    pub at: SystemTime,
    /// The same, by a clock that nobody sets.
    pub began: Instant,
}

/// Reads the policy file at `path`. Interfaces that are not there are no fault: they come later.
pub fn read(path: &Path) -> Read {
    let (at, began) = (SystemTime::now(), Instant::now());
    let mut file = policy::load(path);
    let words = render::human(&file.diagnostics, &file.sources, false);
    let policy = match file.policy.take() {
        Some(policy) => {
            if !words.is_empty() {
                log::warn!("{}", words.trim_end());
            }
            Ok(Arc::new(policy))
        }
        None => Err(words.trim_end().to_owned()),
    };
    Read { policy, texts: file.sources.texts().into(), at, began }
}

impl Reload {
    /// What came of `read`: a change of policy, or why there was none. `before` is what came of it the last time.
    pub fn new(
        path: &Path,
        read: &Read,
        done: &Result<(), String>,
        generation: u32,
        before: Option<&Self>,
    ) -> Self {
        let [reloads, failures] = before.map_or([0; 2], |before| [before.reloads, before.failures]);
        Self {
            ok: done.is_ok(),
            when: time::rfc3339(read.at),
            file: render::printable(&path.display().to_string()),
            generation,
            error: done.as_ref().err().cloned(),
            reloads: reloads + 1,
            failures: failures + u64::from(done.is_err()),
            texts: Arc::clone(&read.texts),
            looked: read.at,
            succeeded: done.as_ref().map_or_else(|_| before?.succeeded, |_| Some(read.at)),
        }
    }

    /// Says it in the log, loudly if the file is not in force.
    pub fn log(&self) {
        match &self.error {
            None => log::info!("{self}"),
            Some(error) => log::error!("{self}\n{error}"),
        }
    }
}

impl fmt::Display for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ok, file, generation, .. } = self;
        let when = self.when.as_deref().unwrap_or_default();
        match ok {
            true => write!(f, "policy file {file}, read {when}: in force, generation {generation}"),
            false => {
                write!(f, "policy file {file}, read {when}: REFUSED, generation {generation} stays in force")
            }
        }
    }
}

/// A client's file as the policy file at `config`, if that says the same.
pub fn as_config(config: &Path, texts: &[Text]) -> Option<Arc<[Text]>> {
    let (main, named) = texts.split_first()?;
    let says = fs::read_to_string(config).ok()?;
    let main = Text { name: config.display().to_string(), text: Arc::clone(&main.text) };
    (says == *main.text).then(|| once(main).chain(named.iter().cloned()).collect())
}

/// An error with all its causes in a line.
fn in_words(error: dataplane::Error) -> String {
    format!("{:#}", anyhow::Error::new(error))
}

/// Reads the file again because somebody wants it.
pub async fn by_signal(daemon: &Arc<Daemon>, watch: &mut Watch) -> Result<(), Stopped> {
    log::info!("SIGHUP: reading {}", daemon.config.display());
    notify::reloading();
    let read = read_in_background(daemon).await;
    apply(daemon, watch, read).await
}

/// Reads the file again because it has changed; nothing happens if it says what it said, and no client has had it applied
/// since, when it may have said something else.
pub async fn by_change(daemon: &Arc<Daemon>, watch: &mut Watch) -> Result<(), Stopped> {
    let read = read_in_background(daemon).await;
    let is_same =
        !daemon.owner.with(|owner| owner.is_unread()).await? && daemon.reload.borrow().texts == read.texts;
    // What could not be read has no text; why it could not may be another reason.
    if is_same && !read.texts.iter().any(|text| text.text.is_empty()) {
        watch.follow(&read.texts, read.at);
        daemon.reload.send_modify(|reload| reload.looked = read.at);
        return Ok(());
    }
    notify::reloading();
    apply(daemon, watch, read).await
}

async fn read_in_background(daemon: &Arc<Daemon>) -> Read {
    let path = daemon.config.clone();
    let nothing = |error: tokio::task::JoinError| Read {
        policy: Err(error.to_string()),
        texts: Arc::new([]),
        at: SystemTime::now(),
        began: Instant::now(),
    };
    tokio::task::spawn_blocking(move || read(&path)).await.unwrap_or_else(nothing)
}

/// Applies the file again that had to wait for the end of a trial.
pub async fn after_trial(daemon: &Arc<Daemon>, watch: &mut Watch) -> Result<(), Stopped> {
    log::info!("the trial is over: reading {}", daemon.config.display());
    notify::reloading();
    let read = read_in_background(daemon).await;
    apply(daemon, watch, read).await
}

async fn apply(daemon: &Arc<Daemon>, watch: &mut Watch, mut read: Read) -> Result<(), Stopped> {
    let (done, generation) = loop {
        watch.follow(&read.texts, read.at);
        let (policy, texts, began) = (read.policy.clone(), Arc::clone(&read.texts), read.began);
        let bring = move |owner: &mut Owner| {
            // What a client has applied since is newer than what was read, and the file may be as well.
            if owner.has_applied_since(began) {
                return None;
            }
            owner.note_read();
            let done =
                policy.and_then(|policy| owner.apply_config(&policy, &texts).map_err(in_words)).map(drop);
            Some((done, owner.writer.loaded.state.generation()))
        };
        match daemon.owner.with(bring).await? {
            Some(done) => break done,
            None => read = read_in_background(daemon).await,
        }
    };
    let reload = Reload::new(&daemon.config, &read, &done, generation, Some(&daemon.reload.borrow()));
    reload.log();
    notify::ready(&reload);
    daemon.reload.send_replace(reload);
    Ok(())
}
