//! The guest's end of a tap: what a hypervisor's virtual NIC writes and reads.

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Read as _, Write as _},
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::fs::OpenOptionsExt as _,
    },
    time::{Duration, Instant},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::netns::Netns;

/// What travels in front of each frame: `struct virtio_net_hdr` (virtio 1.2, 5.1.6), in the host's byte order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offload {
    /// 1 = the checksum from `csum_start` on is to be computed.
    pub flags: u8,
    /// Kind of a super-packet: see [`gso`].
    pub gso_type: u8,
    /// Bytes that the kernel is to have in one piece; of frames above a page the rest is kept in other pages.
    pub hdr_len: u16,
    /// Payload bytes of each segment of a super-packet.
    pub gso_size: u16,
    /// Where the checksummed part starts.
    pub csum_start: u16,
    /// Where in that part the checksum stands.
    pub csum_offset: u16,
}

/// Kinds of super-packets (include/uapi/linux/virtio_net.h).
pub mod gso {
    /// TCP over IPv4.
    pub const TCP_V4: u8 = 1;
    /// TCP over IPv6.
    pub const TCP_V6: u8 = 4;
    /// UDP datagrams of one size.
    pub const UDP: u8 = 5;
}

const HEADER: usize = 10;
/// Room for any frame with what travels in front of it.
pub const LARGEST: usize = 1 << 17;

impl Offload {
    fn bytes(self) -> [u8; HEADER] {
        let words = [self.hdr_len, self.gso_size, self.csum_start, self.csum_offset].map(u16::to_ne_bytes);
        let mut bytes = [0; HEADER];
        bytes[..2].copy_from_slice(&[self.flags, self.gso_type]);
        bytes[2..].copy_from_slice(words.as_flattened());
        bytes
    }
}

/// The guest's end of a tap. The device goes when it is dropped.
#[derive(Debug)]
pub struct Tun {
    file: File,
}

impl Tun {
    /// Makes the tap `device` in `ns`.
    ///
    /// # Panics
    /// If the kernel has no taps, or one of that name.
    #[track_caller]
    pub fn create(ns: &Netns, device: &str) -> Self {
        Self { file: ns.enter(|| open(device)).unwrap_or_else(|error| panic!("tap {device}: {error}")) }
    }

    /// Allows the host to hand over super-packets and checksums that are still to be computed, as a virtual NIC with
    /// these offloads does.
    ///
    /// # Panics
    /// If the kernel refuses.
    #[track_caller]
    pub fn offload(&self) {
        const TUNSETOFFLOAD: libc::c_ulong = 0x4004_54d0;
        /// `TUN_F_CSUM`, `TUN_F_TSO4`, `TUN_F_TSO6` (include/uapi/linux/if_tun.h).
        const OFFLOADS: libc::c_ulong = 1 | 2 | 4;
        // SAFETY: the argument is a number.
        let answer = unsafe { libc::ioctl(self.file.as_raw_fd(), TUNSETOFFLOAD as _, OFFLOADS) };
        assert!(answer == 0, "offloads of a tap: {}", io::Error::last_os_error());
    }

    /// Carries what this end receives to another tap, offloads included, until nothing has come for `patience`; tells
    /// whether anything has.
    ///
    /// # Errors
    /// The kernel's, but for frames that the other tap does not take: a cable would lose those as well.
    pub fn carry(&self, to: &Self, patience: Duration, buffer: &mut [u8]) -> io::Result<bool> {
        let mut has_carried = false;
        loop {
            match (&self.file).read(buffer) {
                Ok(length) => {
                    has_carried = true;
                    drop((&to.file).write(&buffer[..length]));
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock) => {
                    let limit = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
                    if poll(&mut [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)], limit)? == 0 {
                        return Ok(has_carried);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The guest transmits a frame.
    ///
    /// # Errors
    /// The kernel's, if it does not take the frame.
    pub fn send(&self, frame: &[u8], offload: Offload) -> io::Result<()> {
        (&self.file).write_all(&[&offload.bytes(), frame].concat())
    }

    /// The next frame that the guest receives within `patience`.
    pub fn receive(&self, patience: Duration) -> Option<Vec<u8>> {
        let end = Instant::now() + patience;
        let mut frame = vec![0; LARGEST];
        loop {
            match (&self.file).read(&mut frame) {
                Ok(length) => return frame.get(HEADER..length).map(<[u8]>::to_vec),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => panic!("receiving on a tap: {error}"),
            }
            let left = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            let limit = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut wanted = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
            poll(&mut wanted, limit).expect("waiting for a tap");
        }
    }
}

fn open(device: &str) -> io::Result<File> {
    // Not blocking: only such writers' frames take the tap's own XDP path (drivers/net/tun.c, tun_can_build_skb).
    let file =
        OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun")?;
    // SAFETY: all zeros is a request without a name.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(device.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes one `ifreq`.
    match unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF as _, &raw mut request) } {
        0 => Ok(file),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        inject::{ARRIVES, Tap},
        packets::{Ethernet, Mac},
    };

    #[test]
    fn a_header_has_its_fields_where_the_kernel_looks_for_them() {
        let offload =
            Offload { flags: 1, gso_type: 2, hdr_len: 3, gso_size: 4, csum_start: 5, csum_offset: 6 };
        let words: Vec<u16> =
            offload.bytes()[2..].chunks(2).map(|pair| u16::from_ne_bytes([pair[0], pair[1]])).collect();
        assert_eq!((offload.bytes()[0], offload.bytes()[1], words), (1, 2, vec![3, 4, 5, 6]));
    }

    #[test]
    fn a_frame_goes_either_way() {
        let ns = Netns::new();
        ns.sysctl("ipv6/conf/default/disable_ipv6", "1");
        let guest = Tun::create(&ns, "sgt0");
        ns.ip("link set sgt0 arp off up");
        let host = Tap::open(&ns, "sgt0");
        let frame = Ethernet::new(Mac([2; 6]), Mac::BROADCAST).frame(0x88b5, b"to the host");
        guest.send(&frame, Offload::default()).expect("a frame");
        assert_eq!(host.next(ARRIVES), Some(frame));
        let frame = Ethernet::new(Mac([4; 6]), Mac::BROADCAST).frame(0x88b5, b"to the guest");
        assert!(host.send(&frame));
        assert_eq!(guest.receive(ARRIVES), Some(frame));
    }
}
