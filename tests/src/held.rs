//! An agent that stays: its writer is held open in this process, with the state of what is in force in memory.

use std::sync::Arc;

use sg_agent::{
    dataplane::{Options, Outcome, Writer, unload},
    policy::Policy,
};
use tempfile::TempDir;

use crate::{netns::Netns, oracle};

/// The writer of one host. What it loaded is unloaded on drop.
pub struct Held {
    /// The host.
    pub host: Netns,
    /// Where its agent keeps things.
    pub options: Options,
    /// The writer.
    pub writer: Option<Writer>,
    _files: TempDir,
}

impl Held {
    /// Makes the tables on `host` and brings `policy` into force.
    ///
    /// # Panics
    /// If the agent refuses it.
    #[track_caller]
    pub fn new(host: &Netns, policy: &Arc<Policy>) -> Self {
        let files = TempDir::new().expect("a temporary directory");
        let options = Options { bpffs: "/sys/fs/bpf".into(), state_dir: files.path().join("state") };
        let opened = host.enter(|| {
            let mut writer = Writer::open(&options, Some(&policy.settings))?;
            writer.apply(policy)?;
            Ok(writer)
        });
        let opened: Result<Writer, sg_agent::dataplane::Error> = opened;
        let writer = opened.unwrap_or_else(|error| panic!("{error}"));
        Self { host: host.clone(), options, writer: Some(writer), _files: files }
    }

    /// Does something with the writer, in the host.
    #[track_caller]
    pub fn with<T: Send>(&mut self, work: impl FnOnce(&mut Writer) -> T + Send) -> T {
        let writer = self.writer.as_mut().expect("the writer");
        self.host.enter(|| work(writer))
    }

    /// Brings another policy into force.
    ///
    /// # Panics
    /// If it is refused.
    #[track_caller]
    pub fn apply(&mut self, policy: &Arc<Policy>) -> Outcome {
        self.with(|writer| writer.apply(policy)).unwrap_or_else(|error| panic!("{error}"))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.writer.take());
        let unloaded = self.host.enter(|| unload(&self.options).map_err(|error| error.to_string()));
        if let Err(error) = unloaded {
            eprintln!("unloading: {error}");
        }
    }
}

/// The policy in `text`, shared.
///
/// # Panics
/// If there is a fault in it.
#[track_caller]
pub fn policy(text: &str) -> Arc<Policy> {
    Arc::new(oracle::policy(text))
}
