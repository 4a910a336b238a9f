//! The validated policy: what a policy file means once every fault in it has been reported and none is left.
//!
//! Only [`validate`](crate::policy::validate) builds these values (every type is `#[non_exhaustive]`), so whoever
//! holds a [`Policy`] may rely on what the field docs promise: names resolve, prefixes have no host bits, port
//! ranges are ordered. Order is the order of the file wherever a `Vec` is used.

use std::{collections::BTreeMap, net::IpAddr, time::Duration, time::SystemTime};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// A whole policy file after validation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Policy {
    /// Host-wide settings; the defaults where the file is silent.
    pub settings: Settings,
    /// Named address lists. Inline addresses and the contents of `file:` are already merged, sorted, deduplicated.
    pub address_groups: BTreeMap<String, AddressGroup>,
    /// Security groups by name.
    pub groups: BTreeMap<String, Group>,
    /// Interface bindings in file order. At most one entry has a given exact name.
    pub interfaces: Vec<Interface>,
}

/// `settings:` of the policy file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Settings {
    /// Conntrack timeouts.
    pub timeouts: Timeouts,
    /// Conntrack table sizes and TCP strictness.
    pub conntrack: Conntrack,
    /// Largest number of groups and of rules per group that validation accepts.
    pub quotas: Quotas,
    /// Capacities of the kernel tables.
    pub limits: Limits,
    /// Name of the group bound to an interface that names none. The group itself may be absent: then nothing passes.
    pub default_group: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            timeouts: Timeouts::default(),
            conntrack: Conntrack::default(),
            quotas: Quotas::default(),
            limits: Limits::default(),
            default_group: "default".to_owned(),
        }
    }
}

/// Conntrack timeouts; each at least one second and at most 365 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Timeouts {
    /// TCP with both directions seen and the handshake complete.
    pub tcp_established: Duration,
    /// TCP after a FIN or a RST.
    pub tcp_fin_wait: Duration,
    /// ICMP and ICMPv6 queries.
    pub icmp: Duration,
    /// Any other protocol once both directions have been seen.
    pub bidirectional: Duration,
    /// Any entry seen in one direction only, and TCP before it is established.
    pub unidirectional: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            tcp_established: seconds(600),
            tcp_fin_wait: seconds(30),
            icmp: seconds(30),
            bidirectional: seconds(180),
            unidirectional: seconds(30),
        }
    }
}

/// What may open a TCP connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TcpPickup {
    /// Only a SYN.
    #[default]
    Strict,
    /// Also a mid-stream packet that the rules allow in its own direction.
    Loose,
}

/// `settings.conntrack`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Conntrack {
    /// Connections on the whole host, IPv4 and IPv6 together; 1024 to 16,777,216.
    pub max_entries: u32,
    /// Connections of one interface; at most `max_entries`.
    pub max_per_interface: u32,
    /// Whether mid-stream TCP may open a connection.
    pub tcp_pickup: TcpPickup,
}

impl Default for Conntrack {
    fn default() -> Self {
        Self { max_entries: 262_144, max_per_interface: 65_536, tcp_pickup: TcpPickup::Strict }
    }
}

/// `settings.quotas`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Quotas {
    /// Largest number of security groups in the file.
    pub groups: u32,
    /// Largest number of rules in one group, template rules included.
    pub rules_per_group: u32,
}

impl Default for Quotas {
    fn default() -> Self {
        Self { groups: 100, rules_per_group: 50 }
    }
}

/// `settings.limits`: capacities of kernel tables other than conntrack. Each is fixed when the tables are created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Limits {
    /// Interfaces filtered at once; 1 to 65,535. Costs 360 bytes each, plus 576 bytes per CPU.
    pub interfaces: u32,
    /// Bytes of compiled policy (both generations together); 1 MiB to 16 GiB.
    pub policy_bytes: u64,
    /// Rule counters: the sum over interfaces of the rules bound to each. Costs 32 bytes per CPU each.
    pub rule_counters: u32,
    /// Group members known by exact address. Memory is taken as members appear, 112 bytes each.
    pub members: u32,
    /// Fragmented datagrams remembered at once on the whole host; an eighth of it for one interface.
    pub fragments: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            interfaces: 4096,
            policy_bytes: 64 << 20,
            rule_counters: 262_144,
            members: 1_048_576,
            fragments: 16_384,
        }
    }
}

/// A named list of prefixes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AddressGroup {
    /// Free text.
    pub description: String,
    /// Prefixes without host bits, sorted and unique. May be empty: an empty group matches nobody.
    pub prefixes: Vec<IpNet>,
}

/// What happens to connections opened from outside when a policy changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnIngressChange {
    /// They live on under the old rule.
    Keep,
    /// Each is judged again at its next packet.
    #[default]
    Recheck,
    /// All are cut. Where groups on one interface disagree, the strictest wins: `clear`, then `recheck`.
    Clear,
}

/// A security group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Group {
    /// Its name, the key in [`Policy::groups`].
    pub name: String,
    /// Free text.
    pub description: String,
    /// `false`: what its rules allow is not tracked.
    pub stateful: bool,
    /// Verdict for ingress packets that no rule matches.
    pub default_ingress: Action,
    /// Verdict for egress packets that no rule matches.
    pub default_egress: Action,
    /// `true`: outbound tcp/25, 465 and 587 are left to the rules.
    pub allow_smtp: bool,
    /// What a policy change does to connections opened from outside.
    pub on_ingress_change: OnIngressChange,
    /// `true`: count and log what it would drop, drop nothing.
    pub audit: bool,
    /// Addresses of members on other hosts, sorted and unique; a host address is a /32 or /128.
    pub members: Vec<IpNet>,
    /// Rules in file order, those of `template` (if any) after the group's own.
    pub rules: Vec<Rule>,
}

/// Which way a packet goes, seen from the protected instance or host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Towards the instance.
    Ingress,
    /// From the instance.
    Egress,
}

/// What a rule or a default does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Refuse. Sorts first: inside one priority deny comes before allow.
    Deny,
    /// Let pass.
    Allow,
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// The other end that a rule speaks of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remote {
    /// Any address of the rule's families.
    Any,
    /// One prefix.
    Prefix(IpNet),
    /// Members of a security group (the own group included); the name resolves in [`Policy::groups`].
    Group(String),
    /// An address group; the name resolves in [`Policy::address_groups`].
    AddressGroup(String),
}

/// An inclusive range of ports, `first <= last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortRange {
    /// Lowest port.
    pub first: u16,
    /// Highest port.
    pub last: u16,
}

/// What a rule matches above IP. A rule written with `service:` is already expanded to one [`Rule`] per match.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Match {
    /// Every protocol.
    All,
    /// One protocol by number, whatever it carries; also `tcp`, `udp`, `sctp` without ports and `icmp`, `icmpv6`
    /// without a type.
    Protocol(u8),
    /// TCP (6), UDP (17) or SCTP (132) to one of these destination ports; sorted, disjoint, not empty.
    Ports(u8, Vec<PortRange>),
    /// ICMP (1) or ICMPv6 (58) of a type and, when given, a code. Type 0 is type 0.
    Icmp {
        /// 1 or 58.
        protocol: u8,
        /// ICMP type.
        kind: u8,
        /// ICMP code; `None` = every code.
        code: Option<u8>,
    },
}

/// One rule of a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Rule {
    /// Position in the group as the file shows it, from 0. Rules that came out of one `service:` share it; rules of
    /// a template follow the group's own.
    pub index: u32,
    /// Free text.
    pub description: String,
    /// Which way it applies.
    pub direction: Direction,
    /// Protocol, ports, ICMP type.
    pub matches: Match,
    /// The other end.
    pub remote: Remote,
    /// Families it applies to, `[ipv4, ipv6]`: at least one is true. ICMP is IPv4's only, ICMPv6 is IPv6's only.
    pub families: [bool; 2],
    /// What it does.
    pub action: Action,
    /// 1 to 100; 1 is evaluated first.
    pub priority: u8,
    /// When it stops matching.
    pub expires: Option<SystemTime>,
}

impl Rule {
    /// Whether the rule applies to `family`.
    pub fn applies_to(&self, family: Family) -> bool {
        self.families[family as usize]
    }
}

/// Whose interface it is, which fixes what "ingress" means on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The host's end of an instance's NIC: what the device receives is the instance's egress.
    Guest,
    /// The host's own NIC: what the device receives is ingress.
    Host,
}

/// Which hook sees received packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RxHook {
    /// The agent chooses and `status` tells.
    #[default]
    Auto,
    /// XDP in the driver.
    XdpNative,
    /// XDP in the network stack.
    XdpGeneric,
    /// TCX ingress.
    Tcx,
}

/// An interface binding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Interface {
    /// Exact name, or a pattern with `*` and `?`. An exact name wins over a pattern, an earlier pattern over a later.
    pub name: String,
    /// Guest or host.
    pub role: Role,
    /// Names of the bound groups, unique, in file order; empty = the default group.
    pub groups: Vec<String>,
    /// The instance's own addresses: group membership and anti-spoofing.
    pub addresses: Vec<IpAddr>,
    /// The instance's MAC address.
    pub mac: Option<[u8; 6]>,
    /// Further addresses the instance may use (VIPs).
    pub allowed_address_pairs: Vec<AddressPair>,
    /// Whether source MAC, source address, ARP sender and ND target are checked.
    pub anti_spoof: bool,
    /// Networks the groups do not apply to.
    pub exempt: Vec<IpNet>,
    /// Requested receive hook.
    pub rx_hook: RxHook,
    /// Tenant address space; empty = the common one.
    pub zone: String,
    /// Link-local addresses the instance may use.
    pub link_local: LinkLocal,
    /// It was bound by `attach`: no policy file says so.
    #[serde(default)]
    pub attached: bool,
}

/// An address (or prefix) the instance may use besides its own, with the MAC it goes with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressPair {
    /// Address or prefix without host bits.
    pub prefix: IpNet,
    /// MAC address; `None` = the interface's own.
    pub mac: Option<[u8; 6]>,
}

/// Which IPv6 link-local source addresses a guest may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkLocal {
    /// Any in fe80::/10.
    #[default]
    Any,
    /// Only the one made from its MAC (RFC 4291, appendix A).
    Eui64,
}
