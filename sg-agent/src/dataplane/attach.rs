//! Programs on hooks. A pinned link holds each: filtering outlives the agent, and goes with the pin.

use std::{fs, io, path::Path};

use aya::{
    programs::{
        LinkOrder, ProgramError, SchedClassifier, TcAttachType, Xdp, XdpMode,
        links::FdLink,
        tc::{self, NlOptions, TcAttachOptions, TcError},
    },
    util::KernelVersion,
};

use super::{
    error::{Attempt as _, Error, OfFile as _},
    interfaces::Device,
    links::{Link, detach},
    programs::{Programs, TCX_EGRESS},
};
use crate::policy::model::RxHook;

/// Where a received frame is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Receive {
    /// XDP, in the driver.
    XdpNative,
    /// XDP, in the network stack.
    XdpGeneric,
    /// TCX ingress.
    Tcx,
}

/// Where a frame to transmit is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transmit {
    /// TCX egress.
    Tcx,
    /// A filter of a clsact queueing discipline, on kernels without TCX.
    Clsact,
}

impl Receive {
    /// Its name in the policy and in `status`.
    pub fn name(self) -> &'static str {
        match self {
            Self::XdpNative => "xdp-native",
            Self::XdpGeneric => "xdp-generic",
            Self::Tcx => "tcx",
        }
    }
}

impl Transmit {
    /// Its name in `status`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
        }
    }
}

/// The hooks to try for received frames, best first.
fn candidates(wanted: RxHook) -> &'static [Receive] {
    match wanted {
        RxHook::Auto => &[Receive::XdpNative, Receive::XdpGeneric, Receive::Tcx],
        RxHook::XdpNative => &[Receive::XdpNative],
        RxHook::XdpGeneric => &[Receive::XdpGeneric],
        RxHook::Tcx => &[Receive::Tcx],
    }
}

/// Whether the hook in use is what the policy asks for; `chosen_for` is what it asked for when the hook was chosen.
pub fn suits(wanted: RxHook, has: Receive, chosen_for: Option<RxHook>) -> bool {
    match candidates(wanted) {
        [first, ..] if *first == has => true,
        all => all.contains(&has) && chosen_for == Some(wanted),
    }
}

/// Fails if the device is of a kind that cannot be filtered, or if a foreign program is where ours has to be.
pub fn check_free(device: &Device, wanted: RxHook) -> Result<(), Error> {
    // Read as Ethernet, the addresses of an IP packet without a link header would pass for an ethertype.
    if !device.is_ethernet {
        return Err(Error::Input(format!(
            "interface {} carries no Ethernet frames (a tun, ppp or tunnel device): it cannot be filtered",
            device.name
        )));
    }
    match device.xdp {
        Some(foreign) if candidates(wanted)[0] != Receive::Tcx => Err(Error::InUse(format!(
            "interface {} already has an XDP program (number {}) that is not ours: remove it, or set rx_hook: tcx",
            device.name, foreign.program
        ))),
        _ => Ok(()),
    }
}

/// Puts a program on the receive hook; tells why it is the one that it is. A program at `cover`, if there is one, is on
/// TCX already.
pub fn receive(
    programs: &mut Programs,
    device: &Device,
    wanted: RxHook,
    pin: &Path,
    cover: &Path,
) -> Result<String, Error> {
    let mut refused = Vec::new();
    for &hook in candidates(wanted) {
        if hook == Receive::Tcx && cover.exists() {
            fs::rename(cover, pin).of_file(pin)?;
            return Ok(reason(wanted, hook, &refused));
        }
        let attached = match hook {
            Receive::XdpNative => xdp(&mut programs.xdp, device, XdpMode::Driver),
            Receive::XdpGeneric => xdp(&mut programs.xdp, device, XdpMode::Skb),
            Receive::Tcx => tcx(&mut programs.tcx_ingress, device, TcAttachType::Ingress),
        };
        match attached {
            Ok(link) => {
                link.pin(pin).attempt(|| format!("pinning link {}", pin.display()))?;
                return Ok(reason(wanted, hook, &refused));
            }
            Err(error) => match errno(&error) {
                Some(libc::EBUSY | libc::EEXIST) => return Err(occupied(device)),
                Some(number) if is_unsupported(number) => {
                    refused.push(format!("{}: {}", hook.name(), io::Error::from_raw_os_error(number)));
                }
                _ => {
                    let what = format!("attaching to the receive hook of {}", device.name);
                    return Err(Error::Kernel { what, source: Box::new(error) });
                }
            },
        }
    }
    Err(Error::Environment(format!(
        "interface {} takes no program on receive ({})",
        device.name,
        refused.join("; ")
    )))
}

fn reason(wanted: RxHook, hook: Receive, refused: &[String]) -> String {
    match (wanted, refused) {
        (RxHook::Auto, []) => format!("{} is the first choice", hook.name()),
        (RxHook::Auto, refused) => format!("refused: {}", refused.join("; ")),
        _ => "as the policy says".to_owned(),
    }
}

/// Puts the program on the transmit hook; tells which that is.
pub fn transmit(programs: &mut Programs, device: &Device, pin: &Path) -> Result<Transmit, Error> {
    let program = &mut programs.tcx_egress;
    let what = || format!("attaching to the transmit hook of {}", device.name);
    if KernelVersion::current().attempt(what)? >= KernelVersion::new(6, 6, 0) {
        let link = tcx(program, device, TcAttachType::Egress).attempt(what)?;
        link.pin(pin).attempt(|| format!("pinning link {}", pin.display()))?;
        return Ok(Transmit::Tcx);
    }
    clsact(program, device).attempt(what)?;
    Ok(Transmit::Clsact)
}

fn xdp(program: &mut Xdp, device: &Device, mode: XdpMode) -> Result<FdLink, ProgramError> {
    let id = program.attach_to_if_index(device.ifindex, mode)?;
    // Kernels without XDP links attach for as long as the process lives: no use to us, and detached on drop.
    program.take_link(id)?.try_into().map_err(|error| ProgramError::IOError(io::Error::other(error)))
}

fn tcx(program: &mut SchedClassifier, device: &Device, side: TcAttachType) -> Result<FdLink, ProgramError> {
    // First, so that no other program lets a frame pass before it is judged.
    let options = TcAttachOptions::TcxOrder(LinkOrder::first());
    let id = program.attach_with_options(&device.name, side, options)?;
    program.take_link(id)?.try_into().map_err(|error| ProgramError::IOError(io::Error::other(error)))
}

fn clsact(program: &mut SchedClassifier, device: &Device) -> Result<(), ProgramError> {
    match tc::qdisc_add_clsact(&device.name) {
        Err(TcError::NetlinkError(error)) if error.raw_os_error() == Some(libc::EEXIST) => {}
        done => done?,
    }
    remove_clsact(&device.name)?;
    let options = TcAttachOptions::Netlink(NlOptions::default());
    let id = program.attach_with_options(&device.name, TcAttachType::Egress, options)?;
    // The filter is the device's; a dropped link would take it away.
    std::mem::forget(program.take_link(id)?);
    Ok(())
}

/// Takes our filter off the clsact queueing discipline of a device.
pub fn remove_clsact(device: &str) -> Result<(), ProgramError> {
    match tc::qdisc_detach_program(device, TcAttachType::Egress, TCX_EGRESS) {
        Err(TcError::IoError(error))
            if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENODEV) =>
        {
            Ok(())
        }
        done => Ok(done?),
    }
}

/// Keeps the receive hook of a device judged while the program of `link` is replaced.
pub fn cover(programs: &mut Programs, device: &Device, link: &Link, pin: &Path) -> Result<(), Error> {
    if link.is_tcx {
        return fs::rename(&link.path, pin).of_file(pin);
    }
    let what = || format!("attaching to the receive hook of {}", device.name);
    let cover = tcx(&mut programs.tcx_ingress, device, TcAttachType::Ingress).attempt(what)?;
    cover.pin(pin).attempt(|| format!("pinning link {}", pin.display()))?;
    detach([link])
}

fn occupied(device: &Device) -> Error {
    Error::InUse(format!("interface {}: another program is on its receive hook", device.name))
}

/// What drivers answer that do not run XDP, or not at this MTU.
fn is_unsupported(errno: i32) -> bool {
    /// `ENOTSUPP` of linux/errno.h, which leaks out of some drivers.
    const ENOTSUPP: i32 = 524;
    matches!(errno, libc::EOPNOTSUPP | libc::EINVAL | libc::ERANGE | ENOTSUPP)
}

fn errno(error: &ProgramError) -> Option<i32> {
    use aya::programs::xdp::XdpError;
    match error {
        ProgramError::SyscallError(error) => error.io_error.raw_os_error(),
        ProgramError::XdpError(XdpError::NetlinkError(error)) => error.raw_os_error(),
        ProgramError::TcError(TcError::NetlinkError(error)) => error.raw_os_error(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_is_chosen_for_a_reason() {
        assert_eq!(reason(RxHook::Auto, Receive::XdpNative, &[]), "xdp-native is the first choice");
        let refused = ["xdp-native: not supported".to_owned()];
        assert_eq!(reason(RxHook::Auto, Receive::XdpGeneric, &refused), "refused: xdp-native: not supported");
        assert_eq!(reason(RxHook::Tcx, Receive::Tcx, &[]), "as the policy says");
        let (auto, native) = (RxHook::Auto, RxHook::XdpNative);
        assert!(suits(auto, Receive::XdpNative, Some(native)) && suits(auto, Receive::Tcx, Some(auto)));
        assert!(!suits(auto, Receive::Tcx, Some(RxHook::Tcx)) && !suits(native, Receive::XdpGeneric, None));
    }
}
