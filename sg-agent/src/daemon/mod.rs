//! `sg-agent run`: keeps a policy file in force, for as long as the host runs.
//!
//! One thread, the [`owner`], holds the tables open and changes them; what is asked of it stands in a queue. Everything
//! else (clients, signals, files, devices) is asynchronous and never waited for by it.
//!
//! | module | does |
//! |---|---|
//! | [`owner`] | the thread that holds the tables, and its queue |
//! | [`start`] | what is in force once the daemon runs |
//! | [`reload`] | the policy file, read again; what came of it |
//! | [`watch`] | says when a file that the policy was read from changes |
//! | [`socket`], [`session`] | clients, within bounds |
//! | [`protocol`] | what a line on the socket says |
//! | [`dispatch`] | who does what a client asks |
//! | [`notify`] | tells the service manager |

pub mod dispatch;
pub mod notify;
pub mod owner;
pub mod protocol;
pub mod reload;
pub mod session;
pub mod socket;
pub mod start;
pub mod watch;

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{Semaphore, watch as latest},
    time::{MissedTickBehavior, interval},
};

use crate::dataplane::{Only, Options};
use owner::Handle;
use reload::Reload;
use watch::Watch;

/// Clients for whom is read what is in force; as many threads are left to read files.
const READERS: usize = 4;
/// How often the owner looks whether the time to confirm a change is over.
const TRIAL_CHECK: Duration = Duration::from_millis(500);

/// What the parts of the daemon share.
#[derive(Debug)]
pub struct Daemon {
    /// Where things live.
    pub options: Options,
    /// The policy file.
    pub config: PathBuf,
    /// The thread that holds the tables.
    pub owner: Handle,
    /// What last came of the policy file.
    pub reload: latest::Sender<Reload>,
    /// Who reads what is in force at the moment.
    readers: Semaphore,
}

/// Runs the daemon until it is told to end; what it has brought into force stays.
pub fn run(options: Options, config: PathBuf, socket: PathBuf) -> anyhow::Result<()> {
    let started = start::start(&options, &config, &socket)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(2 * READERS)
        .build()
        .context("starting the runtime")?;
    let done = runtime.block_on(live(options, config, started));
    notify::stopping();
    // The socket goes first: who finds none does the work itself.
    let _ = std::fs::remove_file(&socket);
    // A client that is still read for is not waited for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    done.map(drop)
}

async fn live(options: Options, config: PathBuf, started: start::Started) -> anyhow::Result<Only> {
    let (owner, thread) = owner::spawn(started.owner)?;
    let daemon = Arc::new(Daemon {
        options,
        config,
        owner,
        reload: latest::Sender::new(started.reload),
        readers: Semaphore::new(READERS),
    });
    let mut watch = Watch::new().context("watching files")?;
    watch.follow(&started.read.texts, started.read.at);
    let listener = tokio::net::UnixListener::from_std(started.listener).context("listening")?;
    let clients = tokio::spawn(socket::accept(listener, Arc::clone(&daemon)));
    let watchdog = tokio::spawn(notify::watchdog(daemon.owner.clone()));
    notify::ready(&daemon.reload.borrow());
    let done = follow(&daemon, &mut watch).await;
    clients.abort();
    watchdog.abort();
    drop(daemon);
    // What the owner has begun it finishes: a change is whole, or was not made.
    let finished = tokio::task::spawn_blocking(move || thread.join()).await;
    done?;
    finished.ok().and_then(Result::ok).context("the thread that holds the tables has failed")?;
    Ok(started.only)
}

/// Does what the host asks for until a signal says that it is enough.
async fn follow(daemon: &Arc<Daemon>, watch: &mut Watch) -> anyhow::Result<()> {
    let on = |kind| signal(kind).context("catching a signal");
    let [mut hangup, mut terminate, mut interrupt]: [Signal; 3] =
        [on(SignalKind::hangup())?, on(SignalKind::terminate())?, on(SignalKind::interrupt())?];
    let mut trial = interval(TRIAL_CHECK);
    trial.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hangup.recv() => reload::by_signal(daemon, watch).await?,
            () = watch.changed() => reload::by_change(daemon, watch).await?,
            _ = trial.tick() => daemon.owner.with(|owner| owner.catch_up()).await?,
        }
    }
}
