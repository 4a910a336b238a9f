//! What has to be there before anything is attempted, each fault in one sentence.

use aya::util::KernelVersion;
use rustix::thread::{CapabilitySet, capabilities};

use super::error::{Attempt as _, Error};

/// The oldest kernel that has everything: `bpf_xdp_store_bytes` and multi-buffer XDP.
const OLDEST: (u8, u8) = (5, 18);

/// Fails if the process or the kernel cannot load and attach programs.
pub fn check() -> Result<(), Error> {
    check_kernel()?;
    let has = capabilities(None).attempt(|| "reading the capabilities".to_owned())?.effective;
    match missing(has).as_slice() {
        [] => Ok(()),
        missing => Err(Error::Environment(format!(
            "{} {} missing: run sg-agent as root",
            missing.join(", "),
            if missing.len() == 1 { "is" } else { "are" }
        ))),
    }
}

/// Capabilities that are needed and not there. `CAP_SYS_ADMIN` stands for those that were split off it.
fn missing(has: CapabilitySet) -> Vec<&'static str> {
    let needed = [
        ("CAP_BPF", CapabilitySet::BPF, true),
        ("CAP_PERFMON", CapabilitySet::PERFMON, true),
        ("CAP_NET_ADMIN", CapabilitySet::NET_ADMIN, false),
    ];
    let lacks = |&(_, one, in_admin): &(&str, CapabilitySet, bool)| {
        !(has.contains(one) || in_admin && has.contains(CapabilitySet::SYS_ADMIN))
    };
    needed.iter().filter(|one| lacks(one)).map(|(name, ..)| *name).collect()
}

fn check_kernel() -> Result<(), Error> {
    let current = KernelVersion::current().attempt(|| "asking for the kernel's version".to_owned())?;
    let (major, minor) = OLDEST;
    if current >= KernelVersion::new(major, minor, 0) {
        return Ok(());
    }
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    Err(Error::Environment(format!("Linux {major}.{minor} or newer is needed, this is {release}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_capabilities_are_named() {
        assert_eq!(missing(CapabilitySet::empty()), ["CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN"]);
        assert_eq!(missing(CapabilitySet::SYS_ADMIN), ["CAP_NET_ADMIN"]);
        let all = CapabilitySet::BPF | CapabilitySet::PERFMON | CapabilitySet::NET_ADMIN;
        assert!(missing(all).is_empty());
    }
}
