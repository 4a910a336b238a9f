//! Sending frames as they are, and seeing which of them come out on the other side.
//!
//! Frames are told apart by a [`mark`] in their payload, so that whatever else travels on the cable does not matter.

use std::{
    io::{ErrorKind, Read as _},
    net::IpAddr,
    time::{Duration, Instant},
};

use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Socket, Type};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{netns::Netns, packets::octets};

/// How long a frame may take that is expected to arrive.
pub const ARRIVES: Duration = Duration::from_secs(3);
/// How long to wait for a frame that is expected not to arrive.
pub const IS_LOST: Duration = Duration::from_millis(150);

/// Eight bytes that no other frame of this process carries.
pub fn mark() -> [u8; 8] {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    (0x5347_4d4b_0000_0000 | number).to_be_bytes()
}

/// A raw socket on one device.
#[derive(Debug)]
pub struct Tap {
    socket: Socket,
    device: String,
}

impl Tap {
    /// Opens it.
    ///
    /// # Panics
    /// If the device is not there.
    #[track_caller]
    pub fn open(ns: &Netns, device: &str) -> Self {
        let ifindex = ns.ifindex(device);
        let every_protocol = i32::from((libc::ETH_P_ALL as u16).to_be());
        let socket = ns
            .enter(|| Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(every_protocol))))
            .expect("a packet socket (needs root)");
        socket.bind(&device_address(ifindex)).expect("binding a packet socket");
        Self { socket, device: device.to_owned() }
    }

    /// Transmits a frame on the device. `false` if an egress filter of this very device refused it.
    ///
    /// # Panics
    /// If the kernel does not take the frame for another reason.
    #[track_caller]
    pub fn send(&self, frame: &[u8]) -> bool {
        match self.try_send(frame) {
            Ok(()) => true,
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => false,
            Err(error) => panic!("{} bytes on {}: {error}", frame.len(), self.device),
        }
    }

    /// Transmits a frame on the device.
    ///
    /// # Errors
    /// The kernel's, if it does not take the frame.
    pub fn try_send(&self, frame: &[u8]) -> std::io::Result<()> {
        self.socket.send(frame).map(|_| ())
    }

    /// The next frame with `mark` in it that is seen on the device, in either direction, within `patience`.
    pub fn receive(&self, mark: [u8; 8], patience: Duration) -> Option<Vec<u8>> {
        let end = Instant::now() + patience;
        loop {
            let frame = self.next(end.checked_duration_since(Instant::now())?)?;
            if frame.windows(mark.len()).any(|window| window == mark) {
                return Some(frame);
            }
        }
    }

    /// The next frame that is seen on the device, in either direction, within `patience`.
    pub fn next(&self, patience: Duration) -> Option<Vec<u8>> {
        let end = Instant::now() + patience;
        loop {
            let left = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            // A limit that rounds down to no microseconds would be none.
            let limit = left.max(Duration::from_millis(1));
            self.socket.set_read_timeout(Some(limit)).expect("a time limit");
            let mut frame = vec![0; 1 << 17];
            match (&self.socket).read(&mut frame) {
                Ok(length) => {
                    frame.truncate(length);
                    return Some(frame);
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => panic!("receiving on {}: {error}", self.device),
            }
        }
    }

    /// Forgets what has been seen so far.
    pub fn drain(&self) {
        self.socket.set_nonblocking(true).expect("a socket that does not block");
        while (&self.socket).read(&mut [0; 1]).is_ok() {}
        self.socket.set_nonblocking(false).expect("a socket that blocks");
    }

    /// Whether a packet from `source` to `target` has been seen on the device since the last look. It takes no
    /// answer to notice one that should have been dropped.
    pub fn has_seen(&self, source: IpAddr, target: IpAddr) -> bool {
        // One after the other, as in the headers of both families.
        let addresses = [octets(source), octets(target)].concat();
        self.socket.set_nonblocking(true).expect("a socket that does not block");
        let mut frame = vec![0; 1 << 17];
        let mut seen = false;
        while let Ok(length) = (&self.socket).read(&mut frame) {
            seen |= frame[..length].windows(addresses.len()).any(|window| window == addresses);
        }
        self.socket.set_nonblocking(false).expect("a socket that blocks");
        seen
    }
}

fn device_address(ifindex: u32) -> SockAddr {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: `sockaddr_ll` is one of the kernel's address types, so the storage is large and aligned enough for it.
    let address = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = ifindex as i32;
    // SAFETY: a `sockaddr_ll` was written to it.
    unsafe { SockAddr::new(storage, size_of::<libc::sockaddr_ll>() as u32) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packets::{Ethernet, Ip, Mac, Transport};

    #[test]
    fn a_frame_comes_out_of_the_other_end() {
        let ns = Netns::new();
        ns.ip("link add near type veth peer name far\nlink set near up\nlink set far up");
        let (near, far) = (Tap::open(&ns, "near"), Tap::open(&ns, "far"));
        let mark = mark();
        let frame = Ethernet::new(Mac([2; 6]), Mac::BROADCAST).frame(0x88b5, &mark);
        assert!(near.send(&frame));
        assert_eq!(far.receive(mark, ARRIVES), Some(frame));
        assert_eq!(far.receive(super::mark(), IS_LOST), None);
    }

    #[test]
    fn what_went_by_is_seen() {
        let ns = Netns::new();
        ns.ip("link add near type veth peer name far\nlink set near up\nlink set far up");
        let (near, far) = (Tap::open(&ns, "near"), Tap::open(&ns, "far"));
        for (source, target) in
            [([10, 0, 0, 1].into(), [10, 0, 0, 2].into()), ([1; 16].into(), [2; 16].into())]
        {
            let frame = Ethernet::default().ip(&Ip::new(source, target), &Transport::udp(1, 2));
            assert!(near.send(&frame));
            assert!(far.has_seen(source, target) && !far.has_seen(source, target));
            assert!(!near.has_seen(target, source));
        }
    }
}
