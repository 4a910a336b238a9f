//! One reader for many: the daemon's clients that monitor.
//!
//! A thread reads, as long as there is somebody to read for; each subscriber has a queue of its own, from which the oldest
//! is lost, and counted, when it is slow.

use std::sync::Arc;

use tokio::{
    sync::{Mutex, broadcast, oneshot},
    time::timeout,
};

use super::{
    event::Told,
    source::{Source, Sweeps},
};
use crate::dataplane::{
    Error, Options, Place,
    listen::{LEASE, Wanted},
};

/// What a subscriber may be behind.
const QUEUE: usize = 4096;

/// Where to subscribe.
#[derive(Debug)]
pub struct Hub {
    options: Options,
    sweeps: Sweeps,
    /// There while a thread reads.
    feed: Mutex<Option<broadcast::Sender<Told>>>,
}

impl Hub {
    /// Nobody subscribes, nothing is read.
    pub fn new(options: Options, sweeps: Sweeps) -> Arc<Self> {
        Arc::new(Self { options, sweeps, feed: Mutex::new(None) })
    }

    /// What is told from now on. It ends when the tables are gone.
    pub async fn subscribe(self: &Arc<Self>) -> Result<broadcast::Receiver<Told>, Error> {
        let mut feed = self.feed.lock().await;
        if let Some(feed) = feed.as_ref() {
            return Ok(feed.subscribe());
        }
        let (sender, receiver) = broadcast::channel(QUEUE);
        let (opened, is_open) = oneshot::channel();
        let (hub, own) = (Arc::clone(self), sender.clone());
        let thread = std::thread::Builder::new().name("events".to_owned());
        let failed = |why: String| Error::Environment(format!("reading events: {why}"));
        thread.spawn(move || hub.read(&own, opened)).map_err(|error| failed(error.to_string()))?;
        is_open.await.map_err(|error| failed(error.to_string()))??;
        *feed = Some(sender);
        Ok(receiver)
    }

    fn read(&self, feed: &broadcast::Sender<Told>, opened: oneshot::Sender<Result<(), Error>>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let done = match runtime {
            Ok(runtime) => runtime.block_on(self.feed(feed, opened)),
            Err(error) => Err(Error::Environment(error.to_string())),
        };
        if let Err(error) = done {
            log::warn!("events are not read any more: {:#}", anyhow::Error::new(error));
        }
    }

    /// Reads until nobody is subscribed.
    async fn feed(
        &self,
        feed: &broadcast::Sender<Told>,
        opened: oneshot::Sender<Result<(), Error>>,
    ) -> Result<(), Error> {
        let source = Place::find(&self.options)
            .and_then(|place| Source::open(place, Wanted::default(), None, self.sweeps));
        let mut source = match source {
            Ok(source) => source,
            Err(error) => {
                // Whoever subscribes is told.
                let _ = opened.send(Err(error));
                return Ok(());
            }
        };
        let _ = opened.send(Ok(()));
        loop {
            let told = timeout(LEASE / 5, source.next()).await;
            let mut subscribed = self.feed.lock().await;
            match told {
                Ok(Ok(told)) => drop(feed.send(told)),
                Ok(Err(error)) => {
                    *subscribed = None;
                    return Err(error);
                }
                Err(_) => {}
            }
            if feed.receiver_count() == 0 {
                *subscribed = None;
                return Ok(());
            }
        }
    }
}
