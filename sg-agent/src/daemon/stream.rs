//! A client that is told what happens, a line for each event, until it goes.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncWrite},
    sync::broadcast::{Receiver, error::RecvError},
    time::{MissedTickBehavior, interval},
};

use super::{Daemon, protocol::Response, session::send};
use crate::{
    cli::Answer,
    events::{Missed, Selection, Told, Wish},
};

/// How often a client is told how much it was not told.
const BEAT: Duration = Duration::from_secs(1);

/// Answers the request `id` for the events of a `wish` and then tells them.
pub async fn serve(
    read: impl AsyncBufRead + Unpin,
    mut write: impl AsyncWrite + Unpin,
    daemon: &Daemon,
    (id, wish): (Option<u64>, Wish),
) {
    let (events, response) = match daemon.events.subscribe().await {
        Ok(events) => (Some(events), Response::new(id, Ok(Answer::text("")))),
        Err(error) => (None, Response::new(id, Err(error.into()))),
    };
    if let (true, Some(events)) = (send(&mut write, &response).await, events) {
        tell(read, write, events, wish).await;
    }
}

async fn tell(
    mut read: impl AsyncBufRead + Unpin,
    mut write: impl AsyncWrite + Unpin,
    mut events: Receiver<Told>,
    wish: Wish,
) {
    let mut selection = Selection::new(wish, Instant::now());
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let told = tokio::select! {
            // It has nothing more to say: whatever comes is its end.
            _ = read.fill_buf() => return,
            _ = beat.tick() => selection.kept_back(),
            told = events.recv() => match told {
                Ok(told) => selection.pass(told, Instant::now()),
                Err(RecvError::Lagged(count)) => selection.pass(lost(count), Instant::now()),
                Err(RecvError::Closed) => return,
            },
        };
        if let Some(told) = told
            && !send(&mut write, &told).await
        {
            return;
        }
    }
}

/// What a slow client has lost; of what kind is not known any more.
fn lost(count: u64) -> Told {
    Told::Missed(Missed { dropped_not_shown: count, ..Missed::default() })
}
