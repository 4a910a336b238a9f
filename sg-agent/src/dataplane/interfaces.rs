//! The devices of this network namespace, as the kernel lists them (`RTM_GETLINK` of rtnetlink(7)).
//!
//! Not from `/sys/class/net`: that shows the namespace that `/sys` was mounted in.

use std::{io, os::fd::OwnedFd};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, netdevice::index_to_name,
        netlink::SocketAddrNetlink, recv, sendto, socket, socket_with,
    },
};

use super::error::{Attempt as _, Error};

/// A network device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// Its index.
    pub ifindex: u32,
    /// Whether its frames begin with an Ethernet header.
    pub is_ethernet: bool,
    /// Whether it is an end of a veth pair.
    pub is_veth: bool,
    /// Whether it is a macvtap or ipvtap: it receives what the network sends to the guest, where a tap receives what the
    /// guest sends.
    pub is_macvtap: bool,
    /// The XDP program on it.
    pub xdp: Option<AttachedXdp>,
}

#[cfg(test)]
impl Device {
    /// A device as a tap is, with nothing on it.
    pub fn ethernet(name: &str, ifindex: u32) -> Self {
        Self {
            name: name.to_owned(),
            ifindex,
            is_ethernet: true,
            is_veth: false,
            is_macvtap: false,
            xdp: None,
        }
    }
}

/// An XDP program on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttachedXdp {
    /// Whether the driver runs it; else the network stack does.
    pub is_native: bool,
    /// Its number.
    pub program: u32,
}

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_HEADER: usize = 16;
const IFINFO: usize = 16;
/// Group of the messages about devices.
const RTMGRP_LINK: u32 = 1;
/// Kinds of link with an Ethernet header (linux/if_arp.h).
const ARPHRD_ETHER: u16 = 1;
const ARPHRD_LOOPBACK: u16 = 772;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_XDP: u16 = 43;
const IFLA_XDP_ATTACHED: u16 = 2;
const IFLA_XDP_PROG_ID: u16 = 4;
const RTEXT_FILTER_SKIP_STATS: u32 = 8;
const XDP_ATTACHED_SKB: u8 = 2;
/// Above the largest message of a dump.
const BUFFER: usize = 64 << 10;

/// The devices by index.
pub fn list() -> Result<Vec<Device>, Error> {
    dump().attempt(|| "listing the network devices".to_owned())
}

/// The name of the device with index `ifindex`.
pub fn name(ifindex: u32) -> Option<String> {
    let socket = socket(AddressFamily::UNIX, SocketType::DGRAM, None).ok()?;
    index_to_name(socket, ifindex).ok()
}

/// The device named `name`.
pub fn find(name: &str) -> Result<Option<Device>, Error> {
    Ok(list()?.into_iter().find(|device| device.name == name))
}

/// What a message says of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// It is there, as described.
    There(Device),
    /// The one with this index is gone.
    Gone(u32),
}

/// Why there is no message.
#[derive(Debug)]
pub enum Quiet {
    /// There is none now.
    Empty,
    /// Messages were lost: the devices have to be listed.
    Overrun,
    /// The socket failed.
    Failed(Error),
}

/// A socket that does not block, and is told of every change of a device from now on.
pub fn subscribe() -> Result<OwnedFd, Error> {
    let open = || -> Result<OwnedFd, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&socket, &SocketAddrNetlink::new(0, RTMGRP_LINK))?;
        Ok(socket)
    };
    open().map_err(watching)
}

/// The news that a socket of [`subscribe`] has.
pub fn receive(socket: &OwnedFd) -> Result<Vec<News>, Quiet> {
    let mut buffer = vec![0; BUFFER];
    match recv(socket, &mut buffer[..], RecvFlags::empty()) {
        Ok((length, _)) => Ok(messages(&buffer[..length]).filter_map(|message| news(&message)).collect()),
        Err(Errno::AGAIN) => Err(Quiet::Empty),
        Err(Errno::NOBUFS) => Err(Quiet::Overrun),
        Err(Errno::INTR) => Ok(Vec::new()),
        Err(error) => Err(Quiet::Failed(watching(error))),
    }
}

/// The error of a watch that failed.
pub fn watching(error: impl Into<io::Error>) -> Error {
    Error::Kernel { what: "watching the network devices".to_owned(), source: Box::new(error.into()) }
}

/// What `message` says of a device. What a bridge says of its ports (another address family) is not about the device:
/// one that leaves a bridge is announced as deleted.
fn news(message: &Message) -> Option<News> {
    let device = device(message.body).filter(|_| message.body[0] == 0)?;
    match message.kind {
        RTM_NEWLINK => Some(News::There(device)),
        RTM_DELLINK => Some(News::Gone(device.ifindex)),
        _ => None,
    }
}

fn dump() -> Result<Vec<Device>, Errno> {
    loop {
        match dump_once() {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
}

/// One dump; `EINTR` if the list changed meanwhile.
fn dump_once() -> Result<Vec<Device>, Errno> {
    let kernel = SocketAddrNetlink::new(0, 0);
    // Protocol 0 is NETLINK_ROUTE.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    sendto(&socket, &request(), SendFlags::empty(), &kernel)?;
    let mut buffer = vec![0; BUFFER];
    let mut devices = Vec::new();
    let mut is_whole = true;
    loop {
        let (length, _) = recv(&socket, &mut buffer[..], RecvFlags::empty())?;
        for message in messages(&buffer[..length]) {
            is_whole &= message.flags & NLM_F_DUMP_INTR == 0;
            match message.kind {
                NLMSG_DONE => return if is_whole { Ok(devices) } else { Err(Errno::INTR) },
                NLMSG_ERROR => return Err(Errno::from_raw_os_error(-(word(message.body, 0) as i32))),
                RTM_NEWLINK => devices.extend(device(message.body)),
                _ => {}
            }
        }
    }
}

fn request() -> Vec<u8> {
    let attribute =
        [&8u16.to_ne_bytes()[..], &IFLA_EXT_MASK.to_ne_bytes(), &RTEXT_FILTER_SKIP_STATS.to_ne_bytes()];
    let attribute = attribute.concat();
    let length = (NLMSG_HEADER + IFINFO + attribute.len()) as u32;
    let header =
        [&length.to_ne_bytes()[..], &RTM_GETLINK.to_ne_bytes(), &(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes()];
    [header.concat(), vec![0; 8], vec![0; IFINFO], attribute].concat()
}

struct Message<'a> {
    kind: u16,
    flags: u16,
    body: &'a [u8],
}

fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = word(bytes, 0) as usize;
        let body = bytes.get(NLMSG_HEADER..length)?;
        let message = Message { kind: half(bytes, 4), flags: half(bytes, 6), body };
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// Attributes: type and payload.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    const NLA_TYPE_MASK: u16 = 0x3fff;
    std::iter::from_fn(move || {
        let length = usize::from(half(bytes, 0));
        let payload = bytes.get(4..length)?;
        let kind = half(bytes, 2) & NLA_TYPE_MASK;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, payload))
    })
}

fn device(body: &[u8]) -> Option<Device> {
    let is_ethernet = matches!(half(body, 2), ARPHRD_ETHER | ARPHRD_LOOPBACK);
    let ifindex = word(body, 4);
    let mut device =
        Device { name: String::new(), ifindex, is_ethernet, is_veth: false, is_macvtap: false, xdp: None };
    for (kind, payload) in attributes(body.get(IFINFO..)?) {
        match kind {
            IFLA_IFNAME => device.name = String::from_utf8_lossy(text(payload)).into_owned(),
            IFLA_LINKINFO => {
                let mut info = attributes(payload).filter(|(kind, _)| *kind == IFLA_INFO_KIND);
                let kind = info.next().map(|(_, payload)| text(payload)).unwrap_or_default();
                device.is_veth = kind == b"veth";
                device.is_macvtap = kind == b"macvtap" || kind == b"ipvtap";
            }
            IFLA_XDP => device.xdp = xdp(payload),
            _ => {}
        }
    }
    Some(device)
}

/// The bytes before the 0 that ends them.
fn text(payload: &[u8]) -> &[u8] {
    payload.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn xdp(payload: &[u8]) -> Option<AttachedXdp> {
    let of = |wanted: u16| attributes(payload).find(|(kind, _)| *kind == wanted).map(|found| found.1);
    let attached = *of(IFLA_XDP_ATTACHED)?.first()?;
    let program = of(IFLA_XDP_PROG_ID).map(|bytes| word(bytes, 0)).unwrap_or_default();
    (attached != 0).then_some(AttachedXdp { is_native: attached != XDP_ATTACHED_SKB, program })
}

/// The 32-bit number at `at`; 0 outside.
fn word(bytes: &[u8], at: usize) -> u32 {
    let found = bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    found.map(u32::from_ne_bytes).unwrap_or_default()
}

fn half(bytes: &[u8], at: usize) -> u16 {
    let found = bytes.get(at..at + 2).and_then(|bytes| bytes.try_into().ok());
    found.map(u16::from_ne_bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_device_is_there() {
        let devices = list().unwrap();
        let lo = devices.iter().find(|device| device.name == "lo").unwrap();
        assert_eq!((lo.ifindex, lo.is_ethernet, lo.is_veth, lo.xdp), (1, true, false, None));
        assert_eq!(find("nosuchdevice").unwrap(), None);
    }

    #[test]
    fn truncated_answers_end() {
        assert_eq!(messages(&[20, 0, 0, 0, 16, 0]).count(), 0);
        assert_eq!(messages(&[0; 64]).count(), 0);
        assert_eq!(attributes(&[3, 0, 1, 0]).count(), 0);
        assert_eq!(attributes(&[4, 0, 1, 0, 200, 0, 2, 0]).collect::<Vec<_>>(), [(1, &[][..])]);
    }

    #[test]
    fn a_veth_is_told_by_its_kind() {
        let link = |kind: &[u8]| {
            let name = [&[8, 0, 3, 0][..], b"t0\0\0"].concat();
            let info = [&[4 + kind.len() as u8, 0, 1, 0][..], kind].concat();
            let info = [&[4 + info.len() as u8, 0, 18, 0][..], &info].concat();
            device(&[&[0, 0, 1, 0, 7, 0, 0, 0][..], &[0; 8], &name, &info].concat()).unwrap()
        };
        let (veth, dummy) = (link(b"veth"), link(b"dummy\0"));
        assert_eq!((veth.name.as_str(), veth.ifindex, veth.is_veth, dummy.is_veth), ("t0", 7, true, false));
    }

    #[test]
    fn a_generic_program_is_told_from_a_native_one() {
        let payload = |mode: u8| [5, 0, 2, 0, mode, 0, 0, 0, 8, 0, 4, 0, 42, 0, 0, 0];
        assert_eq!(xdp(&payload(0)), None);
        assert_eq!(xdp(&payload(1)), Some(AttachedXdp { is_native: true, program: 42 }));
        assert_eq!(xdp(&payload(2)), Some(AttachedXdp { is_native: false, program: 42 }));
    }
}
