//! Tells when the devices of this network namespace have changed (`RTNLGRP_LINK` of rtnetlink(7)).

use std::{collections::BTreeMap, os::fd::OwnedFd};

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
            .map_err(|source| interfaces::watching(source))?;
        Ok(Self { socket, known: known()? })
    }

    /// Returns when devices have changed since the last call, at once if they have already. What it was is for
    /// [`Writer::reconcile`](crate::dataplane::Writer::reconcile) to see: several changes are told as one. Nothing is
    /// lost if the future is dropped.
    ///
    /// # Errors
    /// If the socket cannot be read. Where messages were lost the devices are listed instead; that is no error.
    pub async fn changed(&mut self) -> Result<(), Error> {
        loop {
            let mut ready =
                self.socket.readable().await.map_err(|source| interfaces::watching(source))?;
            let mut has_changed = false;
            for _ in 0..BATCH {
                match interfaces::receive(self.socket.get_ref()) {
                    Ok(news) => has_changed |= take(&mut self.known, news),
                    Err(interfaces::Quiet::Empty) => {
                        ready.clear_ready();
                        break;
                    }
                    Err(interfaces::Quiet::Overrun) => {
                        self.known = known()?;
                        has_changed = true;
                    }
                    Err(interfaces::Quiet::Failed(error)) => return Err(error),
                }
            }
            if has_changed {
                return Ok(());
            }
        }
    }
}

fn known() -> Result<BTreeMap<u32, Device>, Error> {
    Ok(interfaces::list()?.into_iter().map(|device| (device.ifindex, device)).collect())
}

/// Takes note of `news`; tells whether anything was new.
fn take(known: &mut BTreeMap<u32, Device>, news: Vec<News>) -> bool {
    let mut has_changed = false;
    for one in news {
        has_changed |= match one {
            News::Gone(ifindex) => known.remove(&ifindex).is_some(),
            News::There(device) => known.insert(device.ifindex, device.clone()) != Some(device),
        };
    }
    has_changed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str, ifindex: u32) -> Device {
        Device { name: name.to_owned(), ifindex, is_ethernet: true, is_veth: false, xdp: None }
    }

    #[test]
    fn only_what_is_new_is_told() {
        let mut known = BTreeMap::new();
        assert!(take(&mut known, vec![News::There(device("tap0", 7))]));
        assert!(!take(&mut known, vec![News::There(device("tap0", 7))]));
        assert!(take(&mut known, vec![News::There(device("tap9", 7))]));
        assert!(take(&mut known, vec![News::Gone(7)]));
        assert!(!take(&mut known, vec![News::Gone(7)]));
        // Gone and back between two looks.
        assert!(take(&mut known, vec![News::There(device("a", 1)), News::Gone(1), News::There(device("a", 1))]));
    }
}
