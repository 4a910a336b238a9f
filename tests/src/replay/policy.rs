//! Policies that captures are replayed under.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

use anyhow::{Context as _, Result, bail};

use super::{Capture, Frame};

/// A policy.
#[derive(Clone, Debug)]
pub struct Choice {
    name: String,
    text: Text,
}

#[derive(Clone, Debug)]
enum Text {
    /// As it is.
    Fixed(String),
    /// With the sender of a capture's first frames as the guest.
    Guarded(&'static str),
}

const OPEN: &str = "security_groups:
  replayed: {default_policy: {ingress: allow, egress: allow}, allow_smtp: true}
";
const WEB_SERVER: &str = "security_groups:
  replayed:
    rules:
      - {direction: ingress, protocol: tcp, ports: [80, 443]}
      - {direction: ingress, service: ping}
";
const CLOSED: &str = "security_groups:
  replayed: {default_policy: {ingress: deny, egress: deny}}
";

impl Choice {
    /// Everything open, a web server that sends from its own addresses only, everything closed.
    pub fn built_in() -> Vec<Self> {
        let fixed = |groups: &str| Text::Fixed(bound(groups, ""));
        [("open", fixed(OPEN)), ("web server", Text::Guarded(WEB_SERVER)), ("closed", fixed(CLOSED))]
            .map(|(name, text)| Self { name: name.to_owned(), text })
            .into()
    }

    /// The policy in a file.
    ///
    /// # Errors
    /// If it cannot be read, is refused, or binds no interface by name.
    pub fn file(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let loaded = sg_agent::policy::parse_str(&text, &path.display().to_string());
        let Some(policy) = loaded.policy else {
            bail!("`sg-agent check {}` tells what is wrong", path.display())
        };
        if policy.interfaces.is_empty() || policy.interfaces.iter().any(|one| one.name.contains(['*', '?'])) {
            bail!("{}: a replay needs interfaces by name", path.display());
        }
        Ok(Self { name: path.display().to_string(), text: Text::Fixed(text) })
    }

    /// What to call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its text for a capture.
    pub fn text(&self, capture: &Capture) -> String {
        match &self.text {
            Text::Fixed(text) => text.clone(),
            Text::Guarded(groups) => bound(groups, &owner(capture)),
        }
    }
}

fn bound(groups: &str, owner: &str) -> String {
    format!(
        "version: 1\n{groups}interfaces:\n  - {{name: guest0, role: guest, groups: [replayed]{owner}}}\n  \
         - {{name: host0, role: host, groups: [replayed]}}\n"
    )
}

/// The keys that say who the guest is: the MAC address of the first frame, the first address that it sends from in
/// each family.
fn owner(capture: &Capture) -> String {
    let Some(mac) = capture.frames.first().and_then(Frame::sender) else { return String::new() };
    let own = || capture.frames.iter().filter(|frame| frame.sender() == Some(mac)).filter_map(source);
    let first = [own().find(IpAddr::is_ipv4), own().find(IpAddr::is_ipv6)];
    let addresses: Vec<String> = first.into_iter().flatten().map(|address| format!("'{address}'")).collect();
    let is_usable = mac.0[0] & 1 == 0 && mac.0 != [0; 6];
    let mac = if is_usable { format!(", mac: '{mac}'") } else { String::new() };
    format!(", addresses: [{}]{mac}", addresses.join(", "))
}

/// The source address of a frame, if a machine could have it.
fn source(frame: &Frame) -> Option<IpAddr> {
    let address = match frame.bytes.get(12..14)? {
        [8, 0] => IpAddr::from(Ipv4Addr::from(*frame.bytes.get(26..)?.first_chunk::<4>()?)),
        [0x86, 0xdd] => IpAddr::from(Ipv6Addr::from(*frame.bytes.get(22..)?.first_chunk::<16>()?)),
        _ => return None,
    };
    let is_usable = match address {
        IpAddr::V4(v4) => {
            !v4.is_broadcast() && !v4.is_link_local() && v4.octets()[0] != 0 && v4.octets()[0] < 224
        }
        IpAddr::V6(v6) => !v6.is_unicast_link_local() && v6.to_ipv4().is_none(),
    };
    (is_usable && !address.is_loopback() && !address.is_multicast() && !address.is_unspecified())
        .then_some(address)
}
