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
//! | [`devices`] | says when the host's devices change |
//! | [`watch`] | says when a file that the policy was read from changes |
//! | [`socket`], [`session`] | clients, within bounds |
//! | [`stream`] | a client that is told what happens |
//! | [`memory`] | what outlives a reboot |
//! | [`sweep`] | frees expired connections |
//! | [`protocol`] | what a line on the socket says |
//! | [`dispatch`] | who does what a client asks |
//! | [`notify`] | tells the service manager |
//! | [`exporter`] | tells Prometheus |

pub mod devices;
pub mod dispatch;
pub mod exporter;
pub mod memory;
pub mod notify;
pub mod owner;
pub mod protocol;
pub mod reload;
pub mod session;
pub mod socket;
pub mod start;
pub mod stream;
pub mod sweep;
pub mod watch;

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{Semaphore, watch as latest},
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

use crate::{
    dataplane::{Only, Options},
    events::{Hub, source::Sweeps},
};
use devices::Devices;
use owner::{Handle, Owner};
use reload::Reload;
use watch::Watch;

/// Clients for whom is read what is in force; as many threads are left to read files.
const READERS: usize = 4;
/// How often the owner looks whether the time to confirm a change is over.
const TRIAL_CHECK: Duration = Duration::from_millis(500);
/// How often what is in force is compared with what should be.
const VERIFY: Duration = Duration::from_secs(1);

/// What the parts of the daemon share.
#[derive(Debug)]
pub struct Daemon {
    /// Where things live.
    pub options: Options,
    /// The policy file.
    pub config: PathBuf,
    /// The thread that holds the tables.
    pub owner: Handle,
    /// Tells clients what happens.
    pub events: Arc<Hub>,
    /// What last came of the policy file.
    pub reload: latest::Sender<Reload>,
    /// Who reads what is in force at the moment.
    readers: Semaphore,
}

/// Where metrics go, and how many.
#[derive(Clone, Copy, Debug)]
pub struct Metrics {
    /// The address to serve them at; `None`: nowhere.
    pub address: Option<SocketAddr>,
    /// At most so many rules.
    pub rules: usize,
}

/// Runs the daemon until it is told to end; what it has brought into force stays.
pub fn run(
    options: Options,
    config: PathBuf,
    socket: PathBuf,
    keep: &Path,
    metrics: Metrics,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(2 * READERS)
        .build()
        .context("starting the runtime")?;
    // Before anything else: who sends one while the policy is brought into force means no harm.
    let signals = runtime.block_on(async { Signals::new() })?;
    let started = start::start(&options, &config, &socket, keep)?;
    let done = runtime.block_on(live(options, config, started, metrics, signals));
    notify::stopping();
    // The socket goes first: who finds none does the work itself.
    let _ = std::fs::remove_file(&socket);
    // A client that is still read for is not waited for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    done.map(drop)
}

async fn live(
    options: Options,
    config: PathBuf,
    started: start::Started,
    metrics: Metrics,
    signals: Signals,
) -> anyhow::Result<Only> {
    let (owner, thread) = owner::spawn(started.owner)?;
    let daemon = Arc::new(Daemon {
        events: Hub::new(options.clone(), Sweeps::Elsewhere),
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
    let exporter = exporter::Exporter::new(&daemon, metrics.rules)?;
    let metrics = metrics.address.map(|address| tokio::spawn(exporter.serve(address)));
    let watchdog = tokio::spawn(notify::watchdog(daemon.owner.clone()));
    let mut devices = Devices::new()?;
    // Those that came between the list that the policy was brought into force with and the watch.
    daemon.owner.with(|owner| owner.reconcile(&BTreeSet::new())).await?;
    notify::ready(&daemon.reload.borrow());
    let done = follow(&daemon, &mut watch, &mut devices, signals).await;
    clients.abort();
    watchdog.abort();
    metrics.inspect(JoinHandle::abort);
    daemon.owner.end().await;
    drop(daemon);
    // What the owner has begun it finishes: a change is whole, or was not made.
    let finished = tokio::task::spawn_blocking(move || thread.join()).await;
    done?;
    finished.ok().and_then(Result::ok).context("the thread that holds the tables has failed")?;
    Ok(started.only)
}

/// The signals that it obeys.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Catches them from now on.
    fn new() -> anyhow::Result<Self> {
        let on = |kind| signal(kind).context("catching a signal");
        Ok(Self {
            hangup: on(SignalKind::hangup())?,
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
        })
    }
}

/// Does what the host asks for until a signal says that it is enough.
async fn follow(
    daemon: &Arc<Daemon>,
    watch: &mut Watch,
    devices: &mut Devices,
    signals: Signals,
) -> anyhow::Result<()> {
    let Signals { mut hangup, mut terminate, mut interrupt } = signals;
    let [mut trial, mut sweep, mut verify] = [TRIAL_CHECK, sweep::STEP, VERIFY].map(|period| {
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    });
    let mut was_on_trial = false;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hangup.recv() => reload::by_signal(daemon, watch).await?,
            () = watch.changed() => reload::by_change(daemon, watch).await?,
            gone = devices.changed() => {
                let gone = gone?;
                daemon.owner.with(move |owner| owner.reconcile(&gone)).await?;
            }
            _ = verify.tick() => daemon.owner.with(Owner::verify).await?,
            _ = sweep.tick() => daemon.owner.with(Owner::sweep).await?,
            _ = trial.tick() => {
                let is_on_trial = daemon.owner.with(|owner| owner.writer.is_on_trial()).await?;
                let failed = !daemon.reload.borrow().ok;
                if std::mem::replace(&mut was_on_trial, is_on_trial) && !is_on_trial && failed {
                    reload::after_trial(daemon, watch).await?;
                }
            }
        }
    }
}
