//! The thread that holds the tables open, and with them the lock that keeps other writers out. Others send it work:
//! functions of the [`Owner`], done one after the other; whoever waits for an answer and goes away holds nobody up.

use std::thread::JoinHandle;

use anyhow::Context as _;
use tokio::sync::{mpsc, oneshot};

use crate::{
    cli::{Answer, apply},
    dataplane::{Error, Outcome, Writer},
};

/// Work that may wait; whoever has more waits in front of the queue.
const QUEUE: usize = 64;

/// What is in force, and everything that goes with changing it.
pub struct Owner {
    /// What is in force, for writing.
    pub writer: Writer,
}

type Work = Box<dyn FnOnce(&mut Owner) + Send>;

/// The way to the owner's thread. The thread ends when the last one is gone.
#[derive(Clone, Debug)]
pub struct Handle {
    queue: mpsc::Sender<Work>,
}

/// The owner's thread has ended.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the thread that holds the tables has failed")]
pub struct Stopped;

/// Starts the thread.
pub fn spawn(mut owner: Owner) -> anyhow::Result<(Handle, JoinHandle<()>)> {
    let (queue, mut work) = mpsc::channel::<Work>(QUEUE);
    let serve = move || {
        while let Some(work) = work.blocking_recv() {
            owner.catch_up();
            work(&mut owner);
        }
    };
    let thread = std::thread::Builder::new().name("owner".to_owned()).spawn(serve);
    Ok((Handle { queue }, thread.context("starting a thread")?))
}

impl Handle {
    /// Has the owner do `work`, after what was asked of it before, and returns what came of it.
    pub async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Owner) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        let (answer, answered) = oneshot::channel();
        let work = Box::new(move |owner: &mut Owner| {
            // Whoever asked may be gone.
            let _ = answer.send(work(owner));
        });
        self.queue.send(work).await.map_err(|_| Stopped)?;
        answered.await.map_err(|_| Stopped)
    }
}

impl Owner {
    /// Takes back for good a change that was not confirmed in time.
    pub fn catch_up(&mut self) {
        if let Err(error) = self.writer.catch_up() {
            log::error!("a change that was not confirmed in time: {:#}", anyhow::Error::new(error));
        }
    }

    /// Does what a client asks for that changes what is in force.
    pub fn change(
        &mut self,
        verb: impl FnOnce(&mut Writer) -> anyhow::Result<Answer>,
    ) -> anyhow::Result<Answer> {
        verb(&mut self.writer)
    }

    /// Brings a client's policy file into force.
    pub fn apply(&mut self, verb: &apply::Apply, ready: apply::Ready) -> anyhow::Result<Answer> {
        self.writer.check_settings(&ready.policy().settings)?;
        verb.bring(&mut self.writer, ready)
    }

    /// Brings the daemon's own policy file into force.
    pub fn apply_config(&mut self, policy: &std::sync::Arc<crate::policy::Policy>) -> Result<Outcome, Error> {
        self.writer.check_settings(&policy.settings)?;
        self.writer.apply_file(policy, None)
    }
}
