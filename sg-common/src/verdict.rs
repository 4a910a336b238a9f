//! Why a packet passed or not. One number indexes the drop counters, names the word in `stats`, and is what `explain`
//! reports.

/// Why a packet was dropped.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// A header is truncated, contradicts another, or cannot be parsed.
    Malformed,
    /// An ethertype other than IPv4, IPv6 and ARP.
    NonIp,
    /// A VLAN tag on a guest, or more than two on a host NIC.
    Vlan,
    /// An IPv4 source route (RFC 791 LSRR, SSRR).
    IpOptions,
    /// IPv6 routing header type 0 (RFC 5095).
    RoutingHeader,
    /// More than eight IPv6 extension headers.
    ExtensionHeaders,
    /// An impossible combination of TCP flags.
    TcpFlags,
    /// A fragment that hides or rewrites a header (RFC 1858, 3128, 7112).
    BadFragment,
    /// The source MAC address is not the guest's.
    SpoofedMac,
    /// The source address is not the guest's, or can be nobody's.
    SpoofedAddress,
    /// The ARP sender is not the guest.
    SpoofedArp,
    /// The neighbour advertisement's target is not the guest's.
    SpoofedNd,
    /// A router advertisement from a guest.
    RouterAdvertisement,
    /// A redirect from a guest.
    Redirect,
    /// A DHCP server's message from a guest.
    DhcpServer,
    /// Outbound mail without `allow_smtp`.
    Smtp,
    /// A deny rule.
    Rule,
    /// No rule matched and the default is deny.
    Default,
    /// The rules allow it, but only the start of a connection may open one: mid-stream TCP, an ICMP reply nobody
    /// asked for.
    NoConnection,
    /// The connection was cut by a policy change.
    Cut,
    /// No room for another connection on the host.
    ConntrackFull,
    /// No room for another connection of this interface.
    InterfaceFull,
    /// No room to remember another fragmented datagram.
    FragmentsFull,
    /// The interface is bound to no group.
    NoPolicy,
    /// A table could not be read or an insert lost every race.
    Internal,
}

impl Reason {
    /// Every reason, at the index of its number.
    pub const ALL: [Self; 25] = [
        Self::Malformed,
        Self::NonIp,
        Self::Vlan,
        Self::IpOptions,
        Self::RoutingHeader,
        Self::ExtensionHeaders,
        Self::TcpFlags,
        Self::BadFragment,
        Self::SpoofedMac,
        Self::SpoofedAddress,
        Self::SpoofedArp,
        Self::SpoofedNd,
        Self::RouterAdvertisement,
        Self::Redirect,
        Self::DhcpServer,
        Self::Smtp,
        Self::Rule,
        Self::Default,
        Self::NoConnection,
        Self::Cut,
        Self::ConntrackFull,
        Self::InterfaceFull,
        Self::FragmentsFull,
        Self::NoPolicy,
        Self::Internal,
    ];
    /// Number of counters per direction; above the number of reasons, a power of two.
    pub const COUNT: usize = 32;

    /// The word in JSON, metrics and listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::NonIp => "non-ip",
            Self::Vlan => "vlan",
            Self::IpOptions => "ip-options",
            Self::RoutingHeader => "routing-header",
            Self::ExtensionHeaders => "extension-headers",
            Self::TcpFlags => "tcp-flags",
            Self::BadFragment => "bad-fragment",
            Self::SpoofedMac => "spoofed-mac",
            Self::SpoofedAddress => "spoofed-address",
            Self::SpoofedArp => "spoofed-arp",
            Self::SpoofedNd => "spoofed-nd",
            Self::RouterAdvertisement => "router-advertisement",
            Self::Redirect => "redirect",
            Self::DhcpServer => "dhcp-server",
            Self::Smtp => "smtp",
            Self::Rule => "rule",
            Self::Default => "default",
            Self::NoConnection => "no-connection",
            Self::Cut => "cut",
            Self::ConntrackFull => "conntrack-full",
            Self::InterfaceFull => "interface-full",
            Self::FragmentsFull => "fragments-full",
            Self::NoPolicy => "no-policy",
            Self::Internal => "internal",
        }
    }

    /// The reason with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// Which stage let a packet pass.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// A rule.
    Rule,
    /// The default policy.
    Default,
    /// A tracked connection, a related ICMP error, or a remembered fragmented datagram.
    Established,
    /// An exempt network.
    Exempt,
    /// ARP, neighbour discovery, MLD, IGMP, DHCP client.
    Infrastructure,
}

impl Stage {
    /// Every stage, at the index of its number.
    pub const ALL: [Self; 5] =
        [Self::Rule, Self::Default, Self::Established, Self::Exempt, Self::Infrastructure];

    /// The word in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::Default => "default",
            Self::Established => "established",
            Self::Exempt => "exempt",
            Self::Infrastructure => "infrastructure",
        }
    }

    /// The stage with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_leads_back_to_its_reason() {
        for (number, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number);
            assert_eq!(Reason::from_number(number as u8), Some(reason));
        }
        assert!(Reason::ALL.len() <= Reason::COUNT);
        assert_eq!(Reason::from_number(Reason::ALL.len() as u8), None);
    }
}
