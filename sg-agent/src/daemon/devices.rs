//! Tells when the devices of this network namespace have changed (`RTNLGRP_LINK` of rtnetlink(7)).

use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::OwnedFd,
};

use tokio::io::{Interest, unix::AsyncFd};

use crate::dataplane::{
    Error,
    interfaces::{self, Device, News},
};

/// Messages read before a change is told, at most: a storm must not keep it back.
const BATCH: usize = 1024;

/// A watch on the devices of the network namespace in which it was made.
///
/// Only what matters to enforcement is told: that a device appeared, vanished, has another name, is of another kind, or
/// has another XDP program. Whether it is up, and what it counts, does not.
#[derive(Debug)]
pub struct Devices {
    socket: AsyncFd<OwnedFd>,
    known: BTreeMap<u32, Device>,
}

impl Devices {
    /// Watches from now on: what changes after this call is told.
    ///
    /// Must be called inside a Tokio runtime with I/O.
    ///
    /// # Errors
    /// If the kernel gives no socket, or no list of the devices.
    pub fn new() -> Result<Self, Error> {
        #[expect(
            deprecated,
            reason = "what takes its place is unsafe, for types whose descriptor may change: an `OwnedFd` is none"
        )]
        let socket = AsyncFd::with_interest(interfaces::subscribe()?, Interest::READABLE)
            .map_err(interfaces::watching)?;
        Ok(Self { socket, known: known()? })
    }

    /// Returns when devices have changed since the last call, at once if they have already. What it was is for
    /// [`Writer::reconcile_without`](crate::dataplane::Writer::reconcile_without) to see: several changes are told as
    /// one. Told are only the indexes of devices that went meanwhile, for another may have them already. Nothing is lost
    /// if the future is dropped.
    ///
    /// # Errors
    /// If the socket cannot be read. Where messages were lost the devices are listed instead; that is no error.
    pub async fn changed(&mut self) -> Result<BTreeSet<u32>, Error> {
        loop {
            let mut ready = self.socket.readable().await.map_err(interfaces::watching)?;
            let mut news = Told::default();
            for _ in 0..BATCH {
                match interfaces::receive(self.socket.get_ref()) {
                    Ok(messages) => news.take(&mut self.known, messages),
                    Err(interfaces::Quiet::Empty) => {
                        ready.clear_ready();
                        break;
                    }
                    Err(interfaces::Quiet::Overrun) => {
                        // What of all that was there has been replaced cannot be told.
                        let before = std::mem::replace(&mut self.known, known()?);
                        news = Told { gone: before.into_keys().collect(), has_changed: true };
                    }
                    Err(interfaces::Quiet::Failed(error)) => return Err(error),
                }
            }
            if news.has_changed {
                return Ok(news.gone);
            }
        }
    }
}

fn known() -> Result<BTreeMap<u32, Device>, Error> {
    Ok(interfaces::list()?.into_iter().map(|device| (device.ifindex, device)).collect())
}

/// What messages have told.
#[derive(Debug, Default)]
struct Told {
    gone: BTreeSet<u32>,
    has_changed: bool,
}

impl Told {
    /// Takes note of `messages`.
    fn take(&mut self, known: &mut BTreeMap<u32, Device>, messages: Vec<News>) {
        for message in messages {
            self.has_changed |= match message {
                News::Gone(ifindex) => self.gone.insert(ifindex) | known.remove(&ifindex).is_some(),
                News::There(device) => known.insert(device.ifindex, device.clone()) != Some(device),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_is_told() {
        let mut known = BTreeMap::new();
        let mut tells = |messages: Vec<News>| {
            let mut told = Told::default();
            told.take(&mut known, messages);
            (told.has_changed, told.gone.into_iter().collect::<Vec<_>>())
        };
        let there = |name| News::There(Device::ethernet(name, 7));
        assert_eq!(tells(vec![there("tap0")]), (true, vec![]));
        assert_eq!(tells(vec![there("tap0")]), (false, vec![]));
        assert_eq!(tells(vec![there("tap9")]), (true, vec![]));
        // Gone, and another in its place.
        assert_eq!(tells(vec![News::Gone(7), there("tap9")]), (true, vec![7]));
        assert_eq!(tells(vec![News::Gone(7)]), (true, vec![7]));
    }
}
