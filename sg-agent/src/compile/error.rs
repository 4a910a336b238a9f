//! Why a valid policy cannot be compiled: a capacity, named with the setting that raises it.

/// A policy that does not fit. Nothing has been touched when it is returned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DoesNotFit {
    /// The heap half is full.
    #[error(
        "the compiled policy needs more than {available} bytes, which is half of settings.limits.policy_bytes \
         ({policy_bytes}): raise it"
    )]
    PolicyBytes {
        /// Bytes of one half.
        available: u64,
        /// The setting's value.
        policy_bytes: u64,
    },
    /// No free range of rule counters.
    #[error(
        "no {needed} rule counters in a row are free for interface {interface}: raise \
         settings.limits.rule_counters (now {limit})"
    )]
    RuleCounters {
        /// Interface that needs them.
        interface: String,
        /// How many it needs.
        needed: u32,
        /// The setting's value.
        limit: u32,
    },
    /// More member addresses than the table holds.
    #[error("{needed} group members by address: raise settings.limits.members (now {limit})")]
    Members {
        /// How many there are.
        needed: u64,
        /// The setting's value.
        limit: u32,
    },
    /// A slot outside the directory.
    #[error("interface {interface} would be number {slot}: raise settings.limits.interfaces (now {limit})")]
    Interfaces {
        /// Interface without a slot.
        interface: String,
        /// Its slot.
        slot: u32,
        /// The setting's value.
        limit: u32,
    },
    /// More rules in one direction of one interface than ranks.
    #[error("{rules} rules apply to one direction of groups {groups}: at most {limit} can be ranked")]
    Rules {
        /// The bound groups.
        groups: String,
        /// Their rules.
        rules: usize,
        /// Largest number.
        limit: u32,
    },
    /// Too many distinct expiry times on one interface.
    #[error("the rules of groups {groups} expire at {times} different times: at most {limit} are possible")]
    ExpiryTimes {
        /// The bound groups.
        groups: String,
        /// Distinct times.
        times: usize,
        /// Largest number.
        limit: usize,
    },
    /// One address of an interface goes with too many MAC addresses.
    #[error(
        "an address of interface {interface} goes with {macs} MAC addresses: at most {limit} are possible"
    )]
    Macs {
        /// The interface.
        interface: String,
        /// Distinct MAC addresses.
        macs: usize,
        /// Largest number.
        limit: usize,
    },
}
