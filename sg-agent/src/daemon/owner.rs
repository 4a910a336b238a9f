//! The thread that holds the tables open, and with them the lock that keeps other writers out. Others send it work:
//! functions of the [`Owner`], done one after the other; whoever waits for an answer and goes away holds nobody up.

use std::{collections::BTreeSet, sync::Arc, thread::JoinHandle, time::Instant};

use anyhow::Context as _;
use tokio::sync::{mpsc, oneshot};

use super::{
    memory::{InForce, Keeper, Memory},
    sweep::Sweep,
};
use crate::{
    cli::{Answer, apply},
    dataplane::{Error, Outcome, Writer, inherit, reconcile::Reconciled},
    policy::{Policy, Text},
};

/// Work that may wait; whoever has more waits in front of the queue.
const QUEUE: usize = 64;

/// What is in force, and everything that goes with changing it.
pub struct Owner {
    /// What is in force, for writing.
    pub writer: Writer,
    /// The sweep of expired connections.
    pub sweep: Sweep,
    /// What the policy file said when it was last brought into force.
    config: Arc<[Text]>,
    /// A file that was brought into force, and what it says.
    source: Option<(Arc<[Text]>, Arc<Policy>)>,
    keeper: Keeper,
    /// When a client's file was last brought into force.
    applied: Option<Instant>,
    /// A client has had the policy file applied since the daemon has read it.
    is_unread: bool,
    /// It has been told to end.
    is_over: bool,
}

/// Tells when what is in force is remembered, or why it is not.
pub type Remembered = oneshot::Receiver<Result<(), String>>;

type Work = Box<dyn FnOnce(&mut Owner) + Send>;

/// The way to the owner's thread. The thread ends when the last one is gone.
#[derive(Clone, Debug)]
pub struct Handle {
    queue: mpsc::Sender<Work>,
}

/// The owner's thread has ended.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the thread that holds the tables has ended")]
pub struct Stopped;

/// Starts the thread. It ends by itself when there is nothing left to own.
pub fn spawn(mut owner: Owner) -> anyhow::Result<(Handle, JoinHandle<()>)> {
    let (queue, mut work) = mpsc::channel::<Work>(QUEUE);
    let serve = move || {
        while let Some(work) = work.blocking_recv() {
            owner.catch_up();
            work(&mut owner);
            if owner.is_over {
                return;
            }
            if !owner.writer.is_loaded() {
                log::error!("nothing is loaded any more: the first policy was taken back");
                return;
            }
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

impl Handle {
    /// Has the owner end when it has done what was asked of it before. Clients that are still there are not waited for.
    pub async fn end(&self) {
        // One that has ended already is fine.
        let _ = self.with(|owner| owner.is_over = true).await;
    }
}

impl Owner {
    /// Owns what `writer` has in force.
    pub fn new(writer: Writer, memory: Option<&Memory>, keeper: Keeper) -> Self {
        Self {
            writer,
            sweep: Sweep::default(),
            config: memory.map(|memory| Arc::clone(&memory.config)).unwrap_or_default(),
            source: memory.and_then(Memory::source),
            keeper,
            applied: None,
            is_unread: false,
            is_over: false,
        }
    }

    /// Takes back for good a change that was not confirmed in time.
    pub fn catch_up(&mut self) {
        if let Err(error) = self.writer.catch_up() {
            log::error!("a change that was not confirmed in time: {:#}", anyhow::Error::new(error));
        }
    }

    /// Brings the policy in force onto the devices that there are now, knowing that those with the indexes `gone` went.
    pub fn reconcile(&mut self, gone: &BTreeSet<u32>) {
        let done = self.writer.reconcile_without(gone);
        self.settle("following the devices", done);
    }

    /// Compares what is in force with what should be, and repairs it.
    pub fn verify(&mut self) {
        let done = self.writer.verify();
        self.settle("comparing what is in force with what should be", done);
    }

    fn settle(&mut self, what: &str, done: Result<Reconciled, Error>) {
        match done {
            Ok(done) if done.is_empty() => {}
            Ok(Reconciled { bound, released, generation, .. }) => {
                log::info!("generation {generation}: bound {bound:?}, released {released:?}");
                drop(self.remember());
            }
            Err(error) => log::error!("{what}: {:#}", anyhow::Error::new(error)),
        }
    }

    /// Frees a few expired connections.
    pub fn sweep(&mut self) {
        if let Err(error) = self.sweep.step(&self.writer.loaded.kernel) {
            log::error!("sweeping expired connections: {:#}", anyhow::Error::new(error));
        }
    }

    /// Does what a client asks for that changes what is in force.
    pub fn change(
        &mut self,
        verb: impl FnOnce(&mut Writer) -> anyhow::Result<Answer>,
    ) -> anyhow::Result<(Answer, Remembered)> {
        let answer = verb(&mut self.writer)?;
        Ok((answer, self.remember()))
    }

    /// Brings a client's policy file into force. `own` is that file as the daemon's, if it is: then it is noted as if the
    /// daemon had read it, and what it said before is another file, should it say that again.
    pub fn apply(
        &mut self,
        verb: &apply::Apply,
        ready: apply::Ready,
        own: Option<Arc<[Text]>>,
    ) -> anyhow::Result<(Answer, Remembered)> {
        self.writer.check_settings(&ready.policy().settings)?;
        if let Some(texts) = &own {
            self.writer.note_config(texts)?;
        }
        let policy = Arc::clone(ready.policy());
        let texts = own.clone().unwrap_or_else(|| ready.texts().into());
        let answer = verb.bring(&mut self.writer, ready)?;
        self.applied = Some(Instant::now());
        if let Some(texts) = own {
            (self.config, self.is_unread) = (texts, true);
        }
        self.source = Some((texts, policy));
        Ok((answer, self.remember()))
    }

    /// Whether the policy file that the daemon has read last is not that which was applied last.
    pub fn is_unread(&self) -> bool {
        self.is_unread
    }

    /// The policy file has been read.
    pub fn note_read(&mut self) {
        self.is_unread = false;
    }

    /// Whether a client's file was brought into force since then.
    pub fn has_applied_since(&self, then: Instant) -> bool {
        self.applied.is_some_and(|applied| applied > then)
    }

    /// Brings the policy file, which says `policy` in `texts`, into force.
    pub fn apply_config(&mut self, policy: &Arc<Policy>, texts: &Arc<[Text]>) -> Result<Outcome, Error> {
        self.writer.check_settings(&policy.settings)?;
        self.writer.note_config(texts)?;
        let outcome = self.writer.apply_file(policy, None)?;
        self.loaded_from(policy, texts);
        Ok(outcome)
    }

    /// The policy file has been brought into force.
    pub fn loaded_from(&mut self, policy: &Arc<Policy>, texts: &Arc<[Text]>) {
        self.config = Arc::clone(texts);
        self.source = Some((Arc::clone(texts), Arc::clone(policy)));
        drop(self.remember());
    }

    /// Has what is in force remembered. What is on trial is not: after a reboot it is not confirmed any more.
    pub fn remember(&self) -> Remembered {
        if self.writer.is_on_trial() || !self.writer.is_loaded() {
            let (done, remembered) = oneshot::channel();
            let _ = done.send(Ok(()));
            return remembered;
        }
        let policy = self.writer.loaded.state.policy();
        let in_force = match &self.source {
            Some((texts, says)) if inherit::same_file(says, policy) && *texts == self.config => {
                InForce::Config
            }
            Some((texts, says)) if inherit::same_file(says, policy) => InForce::Texts(Arc::clone(texts)),
            _ => InForce::Policy(Arc::clone(policy)),
        };
        self.keeper.keep(Memory::new(Arc::clone(&self.config), in_force, policy))
    }
}
