//! Programs on hooks. A pinned link holds each: filtering outlives the agent, and goes with the pin.

use std::{io, path::Path};

use aya::{
    programs::{
        LinkOrder, ProgramError, SchedClassifier, TcAttachType, Xdp, XdpMode,
        links::FdLink,
        tc::{self, NlOptions, TcAttachOptions, TcError},
    },
    util::KernelVersion,
};

use super::{
    error::{Attempt as _, Error},
    grace::Haste,
    interfaces::Device,
    links::{self, Link, detach},
    programs::{Programs, TCX_EGRESS},
};
use crate::policy::model::{Interface, Role, RxHook};

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

/// What the policy wants of the receive hook of a device.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// The device.
    pub device: &'a Device,
    /// Whose it is.
    pub role: Role,
    /// Which hook.
    pub hook: RxHook,
}

impl<'a> Wish<'a> {
    /// What `entry` of the policy wants of `device`.
    pub fn of(entry: &Interface, device: &'a Device) -> Self {
        Self { device, role: entry.role, hook: entry.rx_hook }
    }

    /// The hooks to try for received frames, best first.
    ///
    /// A frame may come with its VLAN tag beside it (`vlan_tci` of the socket buffer), where XDP does not see it: from
    /// the other end of a veth, or anywhere once the network stack runs the program. A guest's frames must not be judged
    /// without their tags.
    ///
    /// TCX leaves super-packets whole; XDP makes the other end of a veth cut them, and a tap copy them
    /// (docs/adr/0010-rx-hook-auto.md). On other devices of the host XDP in the driver drops floods first.
    fn candidates(&self) -> &'static [Receive] {
        use Receive::{Tcx, XdpGeneric, XdpNative};
        match self.hook {
            RxHook::Auto if self.role == Role::Guest || self.device.is_veth => &[Tcx, XdpNative, XdpGeneric],
            RxHook::Auto => &[XdpNative, Tcx, XdpGeneric],
            RxHook::XdpNative => &[XdpNative],
            RxHook::XdpGeneric => &[XdpGeneric],
            RxHook::Tcx => &[Tcx],
        }
    }

    /// Whether `hook` does not see VLAN tags that it has to see.
    fn misses_tags(&self, hook: Receive) -> bool {
        let beside = match hook {
            Receive::XdpNative => self.device.is_veth,
            Receive::XdpGeneric => true,
            Receive::Tcx => false,
        };
        beside && self.role == Role::Guest
    }

    /// Whether the hook in use is what is wanted; `chosen_for` is what was wanted when it was chosen.
    pub fn suits(&self, has: Receive, chosen_for: Option<(RxHook, Role)>) -> bool {
        match self.candidates() {
            [first, ..] if *first == has => true,
            all => all.contains(&has) && chosen_for == Some((self.hook, self.role)),
        }
    }

    /// Fails if the device is of a kind that cannot be filtered, or if a foreign program is where ours has to be.
    pub fn check_free(&self) -> Result<(), Error> {
        let device = self.device;
        // Read as Ethernet, the addresses of an IP packet without a link header would pass for an ethertype.
        if !device.is_ethernet {
            return Err(Error::Input(format!(
                "interface {} carries no Ethernet frames (a tun, ppp or tunnel device): it cannot be filtered",
                device.name
            )));
        }
        if device.is_macvtap && self.role == Role::Guest {
            return Err(Error::Input(format!(
                "interface {} is a macvtap: it receives what the network sends, so a guest's rules would be read the wrong \
                 way round; put the guest on a tap or a veth",
                device.name
            )));
        }
        match device.xdp {
            Some(foreign) if self.candidates()[0] != Receive::Tcx => Err(Error::InUse(format!(
                "interface {} already has an XDP program (number {}) that is not ours: remove it, or set rx_hook: tcx",
                device.name, foreign.program
            ))),
            _ => Ok(()),
        }
    }

    /// Puts a program on the receive hook; tells its link, and why the hook is the one that it is. The program of
    /// `cover`, if there is one, is on TCX already.
    pub fn attach(
        &self,
        programs: &mut Programs,
        pin: &Path,
        cover: Option<&Link>,
    ) -> Result<(Link, String), Error> {
        let device = self.device;
        let mut refused = Vec::new();
        for &hook in self.candidates() {
            if let (Receive::Tcx, Some(cover)) = (hook, cover) {
                return Ok((links::rename(cover.clone(), pin)?, self.reason(hook, &refused)));
            }
            match put(programs, device, hook) {
                Ok(link) => {
                    let link = links::keep(link, pin, device.ifindex)?;
                    self.warn(hook);
                    return Ok((link, self.reason(hook, &refused)));
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

    /// Why `hook` is the one, after these refused.
    pub fn reason(&self, hook: Receive, refused: &[String]) -> String {
        let chosen = match (self.hook, refused) {
            (RxHook::Auto, []) if hook == Receive::Tcx => self.reason_for_tcx().to_owned(),
            (RxHook::Auto, []) => format!("{} is the first choice", hook.name()),
            (RxHook::Auto, refused) => format!("refused: {}", refused.join("; ")),
            _ => "as the policy says".to_owned(),
        };
        if self.misses_tags(hook) { format!("{chosen}; {BLIND}") } else { chosen }
    }

    /// Why `auto` takes TCX first.
    fn reason_for_tcx(&self) -> &'static str {
        match (self.role, self.device.is_veth) {
            (Role::Guest, true) => {
                "a guest on a veth: XDP would not see a VLAN tag beside the frame, and would end segmentation offload"
            }
            (Role::Guest, false) => {
                "a guest: XDP would slow its bulk transfers down, by copying super-packets"
            }
            (_, _) => "a veth: XDP would end segmentation offload",
        }
    }

    fn warn(&self, hook: Receive) {
        if self.misses_tags(hook) {
            log::warn!("interface {}, {}: {BLIND}", self.device.name, hook.name());
        }
    }
}

/// What is to be known of XDP in some places.
const BLIND: &str = "a VLAN tag that travels beside a frame is not seen there, the frame is judged as untagged; rx_hook: tcx sees it";

fn put(programs: &mut Programs, device: &Device, hook: Receive) -> Result<FdLink, ProgramError> {
    match hook {
        Receive::XdpNative => xdp(&mut programs.xdp, device, XdpMode::Driver),
        Receive::XdpGeneric => xdp(&mut programs.xdp, device, XdpMode::Skb),
        Receive::Tcx => tcx(&mut programs.tcx_ingress, device, TcAttachType::Ingress),
    }
}

/// Puts the program on the transmit hook; tells the link, which a clsact filter has none of.
pub fn transmit(programs: &mut Programs, device: &Device, pin: &Path) -> Result<Option<Link>, Error> {
    let program = &mut programs.tcx_egress;
    let what = || format!("attaching to the transmit hook of {}", device.name);
    if KernelVersion::current().attempt(what)? >= KernelVersion::new(6, 6, 0) {
        let link = tcx(program, device, TcAttachType::Egress).attempt(what)?;
        return links::keep(link, pin, device.ifindex).map(Some);
    }
    clsact(program, device).attempt(what)?;
    Ok(None)
}

fn xdp(program: &mut Xdp, device: &Device, mode: XdpMode) -> Result<FdLink, ProgramError> {
    let id = program.attach_to_if_index(device.ifindex, mode)?;
    // Kernels without XDP links attach for as long as the process lives: no use to us, and detached on drop.
    program.take_link(id)?.try_into().map_err(|error| ProgramError::IOError(io::Error::other(error)))
}

fn tcx(program: &mut SchedClassifier, device: &Device, side: TcAttachType) -> Result<FdLink, ProgramError> {
    let _haste = Haste::make();
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

/// Keeps the receive hook of a device judged while the program of `link` is replaced; tells the link that does.
pub fn cover(programs: &mut Programs, device: &Device, link: &Link, pin: &Path) -> Result<Link, Error> {
    if link.is_tcx {
        return links::rename(link.clone(), pin);
    }
    let what = || format!("attaching to the receive hook of {}", device.name);
    let cover = tcx(&mut programs.tcx_ingress, device, TcAttachType::Ingress).attempt(what)?;
    let cover = links::keep(cover, pin, device.ifindex)?;
    detach([link])?;
    Ok(cover)
}

/// Puts the program on a TCX hook, in front of all that are there.
pub fn first(programs: &mut Programs, device: &Device, is_egress: bool, pin: &Path) -> Result<Link, Error> {
    let link = match is_egress {
        true => tcx(&mut programs.tcx_egress, device, TcAttachType::Egress),
        false => tcx(&mut programs.tcx_ingress, device, TcAttachType::Ingress),
    };
    let link = link.attempt(|| format!("going first on {}", device.name))?;
    links::keep(link, pin, device.ifindex)
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

    fn device(is_veth: bool) -> Device {
        Device {
            name: "tap0".to_owned(),
            ifindex: 7,
            is_ethernet: true,
            is_veth,
            is_macvtap: false,
            xdp: None,
        }
    }

    #[test]
    fn a_hook_is_chosen_for_a_reason() {
        let (veth, tap) = (device(true), device(false));
        let wish = |device, role, hook| Wish { device, role, hook };
        let first = |device, role| wish(device, role, RxHook::Auto).candidates()[0];
        for (device, role) in [(&veth, Role::Guest), (&tap, Role::Guest), (&veth, Role::Host)] {
            assert_eq!(first(device, role), Receive::Tcx);
            assert!(wish(device, role, RxHook::Auto).reason(Receive::Tcx, &[]).contains("XDP would"));
        }
        // Other than a veth: the host's own card.
        let card = wish(&tap, Role::Host, RxHook::Auto);
        assert_eq!(card.candidates(), [Receive::XdpNative, Receive::Tcx, Receive::XdpGeneric]);
        assert_eq!(card.reason(Receive::XdpNative, &[]), "xdp-native is the first choice");
        let reason =
            |device, hook, got, refused: &[String]| wish(device, Role::Guest, hook).reason(got, refused);
        assert_eq!(reason(&veth, RxHook::Tcx, Receive::Tcx, &[]), "as the policy says");
        assert!(reason(&veth, RxHook::Auto, Receive::Tcx, &[]).contains("VLAN tag"));
        let refused = ["xdp-native: not supported".to_owned()];
        let generic = reason(&tap, RxHook::Auto, Receive::XdpGeneric, &refused);
        assert_eq!(generic, format!("refused: xdp-native: not supported; {BLIND}"));
        assert_eq!(reason(&tap, RxHook::XdpNative, Receive::XdpNative, &[]), "as the policy says");
        assert!(reason(&veth, RxHook::XdpNative, Receive::XdpNative, &[]).ends_with(BLIND));
    }

    #[test]
    fn a_hook_in_use_is_kept_while_it_suits() {
        let (veth, tap) = (device(true), device(false));
        let wish = |device, hook| Wish { device, role: Role::Guest, hook };
        let chosen = |hook| Some((hook, Role::Guest));
        let (auto, native) = (RxHook::Auto, RxHook::XdpNative);
        assert!(!wish(&tap, auto).suits(Receive::XdpNative, chosen(native)));
        assert!(wish(&tap, auto).suits(Receive::XdpNative, chosen(auto)));
        assert!(wish(&tap, auto).suits(Receive::Tcx, chosen(RxHook::Tcx)));
        assert!(!wish(&tap, native).suits(Receive::XdpGeneric, None));
        // Chosen while it was the host's.
        assert!(!wish(&veth, auto).suits(Receive::XdpNative, Some((auto, Role::Host))));
    }
}
