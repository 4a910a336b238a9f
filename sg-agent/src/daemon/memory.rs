//! What outlives a reboot: the policy that is in force, as the text that it was read from and the bindings that `attach`
//! has made, and what the policy file said when it was last brought into force.
//!
//! A thread of its own writes it down, so that a slow disk holds up no change; of several states it writes the last.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::{
    dataplane::private,
    policy::{self, Policy, Text, model::Interface},
};

const FILE: &str = "policy.json";
/// The layout of the file; one of another is not read.
const FORMAT: u32 = 1;

/// What is remembered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Memory {
    format: u32,
    /// The policy file and those that it names, as they were when it was last brought into force.
    pub config: Arc<[Text]>,
    /// What is in force.
    pub in_force: InForce,
    /// What `attach` has bound beside it.
    attached: Vec<Interface>,
}

/// Where what is in force comes from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InForce {
    /// The policy file.
    Config,
    /// Another file.
    Texts(Arc<[Text]>),
    /// Nobody knows: it was brought into force while no daemon ran, or is what a rollback returned to.
    Policy(Arc<Policy>),
}

impl Memory {
    /// Remembers `policy`, which comes from `in_force`.
    pub fn new(config: Arc<[Text]>, in_force: InForce, policy: &Policy) -> Self {
        let attached = policy.interfaces.iter().filter(|entry| entry.attached).cloned().collect();
        Self { format: FORMAT, config, in_force, attached }
    }

    /// The policy that was in force.
    pub fn policy(&self) -> anyhow::Result<Arc<Policy>> {
        if let InForce::Policy(policy) = &self.in_force {
            return Ok(Arc::clone(policy));
        }
        let (_, policy) = self.source().context("what is remembered is no policy any more")?;
        Ok(Arc::new(self.with_attached(Arc::unwrap_or_clone(policy))))
    }

    /// The file that what is in force comes from, and what it says; `None` if nobody knows.
    pub fn source(&self) -> Option<(Arc<[Text]>, Arc<Policy>)> {
        let texts = match &self.in_force {
            InForce::Policy(_) => return None,
            InForce::Config => &self.config,
            InForce::Texts(texts) => texts,
        };
        Some((Arc::clone(texts), Arc::new(policy::load_texts(texts).policy?)))
    }

    /// `policy` with the bindings that `attach` has made beside it. Whether there are such devices does not matter: after
    /// a reboot they come later.
    pub fn with_attached(&self, mut policy: Policy) -> Policy {
        for entry in &self.attached {
            if !policy.interfaces.iter().any(|own| own.name == entry.name) {
                policy.interfaces.push(entry.clone());
            }
        }
        policy
    }
}

/// Reads what `directory` remembers; `None` if that is nothing, or nothing that can be read, which is logged.
pub fn read(directory: &Path) -> Option<Memory> {
    let path = directory.join(FILE);
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        read => read.context("reading it").map_err(|error| complain(&path, &error)).ok()?,
    };
    let memory = serde_json::from_slice::<Memory>(&bytes).context("it is damaged");
    let known = memory.and_then(|memory| {
        anyhow::ensure!(memory.format == FORMAT, "it is of another version");
        Ok(memory)
    });
    known.map_err(|error| complain(&path, &error)).ok()
}

fn complain(path: &Path, error: &anyhow::Error) {
    log::error!("{}: what was remembered is lost: {error:#}", path.display());
}

/// The way to the thread that writes. It ends when the last one is gone and everything is written.
#[derive(Clone, Debug)]
pub struct Keeper {
    queue: mpsc::Sender<(Memory, oneshot::Sender<Result<(), String>>)>,
}

impl Keeper {
    /// Starts the thread that writes to `directory`.
    pub fn spawn(directory: PathBuf) -> anyhow::Result<Self> {
        let (queue, work) = mpsc::channel();
        let write = move || write_all(&directory, &work);
        thread::Builder::new().name("memory".to_owned()).spawn(write).context("starting a thread")?;
        Ok(Self { queue })
    }

    /// Has `memory` written; the result tells when it is on disk, or why it is not.
    pub fn keep(&self, memory: Memory) -> oneshot::Receiver<Result<(), String>> {
        let (done, written) = oneshot::channel();
        // The thread ends after the last sender only.
        let _ = self.queue.send((memory, done));
        written
    }
}

fn write_all(directory: &Path, work: &mpsc::Receiver<(Memory, oneshot::Sender<Result<(), String>>)>) {
    let mut last = Vec::new();
    while let Ok((mut memory, done)) = work.recv() {
        let mut waiting = vec![done];
        while let Ok((later, done)) = work.try_recv() {
            memory = later;
            waiting.push(done);
        }
        let result = write(directory, &memory, &mut last).map_err(|error| {
            let path = directory.join(FILE);
            let fault =
                format!("{}: not remembered, a reboot would return to what was: {error:#}", path.display());
            log::error!("{fault}");
            fault
        });
        for done in waiting {
            let _ = done.send(result.clone());
        }
    }
}

/// Writes beside, flushes, renames: the file is whole, old or new. Nothing is written that is there already.
fn write(directory: &Path, memory: &Memory, last: &mut Vec<u8>) -> anyhow::Result<()> {
    let bytes = serde_json::to_vec(memory)?;
    let path = directory.join(FILE);
    if *last == bytes && path.exists() {
        return Ok(());
    }
    private::create_dir_all(directory)?;
    let unfinished = directory.join(format!("{FILE}.unfinished"));
    let mut file = private::create_file(&unfinished)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, &path)?;
    File::open(directory)?.sync_all()?;
    *last = bytes;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "version: 1\nsecurity_groups: {g: {rules: []}}\ninterfaces: [{name: tap0, role: guest, groups: [g]}]\n";

    fn texts(text: &str) -> Arc<[Text]> {
        Arc::new([Text { name: "p.yaml".to_owned(), text: text.into() }])
    }

    fn with_tap1() -> Policy {
        let mut policy = policy::load_texts(&texts(TEXT)).policy.unwrap();
        let entry = Interface { name: "tap1".to_owned(), attached: true, ..policy.interfaces[0].clone() };
        policy.interfaces.push(entry);
        policy
    }

    #[test]
    fn what_is_written_is_read_and_means_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let policy = with_tap1();
        assert!(read(directory.path()).is_none());
        for in_force in
            [InForce::Config, InForce::Texts(texts(TEXT)), InForce::Policy(Arc::new(policy.clone()))]
        {
            let memory = Memory::new(texts(TEXT), in_force, &policy);
            write(directory.path(), &memory, &mut Vec::new()).unwrap();
            assert_eq!(*read(directory.path()).unwrap().policy().unwrap(), policy);
        }
    }

    #[test]
    fn what_is_there_is_not_written_again() {
        let directory = tempfile::tempdir().unwrap();
        let memory = Memory::new(texts(TEXT), InForce::Config, &with_tap1());
        let mut last = Vec::new();
        write(directory.path(), &memory, &mut last).unwrap();
        let path = directory.path().join(FILE);
        fs::write(&path, "untouched").unwrap();
        write(directory.path(), &memory, &mut last).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"untouched");
        fs::remove_file(&path).unwrap();
        write(directory.path(), &memory, &mut last).unwrap();
        assert!(read(directory.path()).is_some());
    }

    #[test]
    fn what_cannot_be_read_is_nothing() {
        let directory = tempfile::tempdir().unwrap();
        for bad in ["", "{", r#"{"format": 2, "config": [], "in_force": "config", "attached": []}"#] {
            fs::write(directory.path().join(FILE), bad).unwrap();
            assert!(read(directory.path()).is_none(), "{bad}");
        }
    }

    #[test]
    fn who_cannot_write_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let blocked = directory.path().join("file");
        fs::write(&blocked, "").unwrap();
        let keeper = Keeper::spawn(blocked.join("below")).unwrap();
        let memory = Memory::new(texts(TEXT), InForce::Config, &with_tap1());
        let written = keeper.keep(memory).blocking_recv().unwrap();
        assert!(written.unwrap_err().contains("not remembered"));
    }
}
