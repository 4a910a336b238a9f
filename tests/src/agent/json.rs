//! The JSON that the agent promises; fields beyond the promise are ignored.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use serde::Deserialize;

/// `status --json`
#[derive(Clone, Debug, Deserialize)]
pub struct Status {
    /// Generation in force.
    pub generation: u64,
    /// Enforced interfaces.
    pub interfaces: Vec<InterfaceStatus>,
    /// Fill of the connection table.
    pub conntrack: TableStatus,
    /// Fill of every table.
    pub capacity: Vec<Capacity>,
    /// The change that waits for its confirmation.
    pub pending: Option<Pending>,
}

/// Fill of one table.
#[derive(Clone, Debug, Deserialize)]
pub struct Capacity {
    /// Its name.
    pub table: String,
    /// What is in it.
    pub used: u64,
    /// What fits.
    pub max: u64,
    /// The setting that says so.
    pub setting: String,
}

/// A change that waits for its confirmation.
#[derive(Clone, Debug, Deserialize)]
pub struct Pending {
    /// Until it is taken back.
    pub seconds_left: u64,
}

/// One interface of [`Status`].
#[derive(Clone, Debug, Deserialize)]
pub struct InterfaceStatus {
    /// Its name.
    pub name: String,
    /// Its index.
    pub ifindex: u32,
    /// `guest` or `host`.
    pub role: String,
    /// Bound groups.
    pub groups: Vec<String>,
    /// Hook that sees received packets.
    pub rx_hook: String,
    /// Why it is that one.
    pub rx_reason: String,
    /// Hook that sees transmitted packets.
    pub tx_hook: String,
    /// Whether both hooks are there.
    pub enforced: bool,
}

/// Fill of the connection table.
#[derive(Clone, Debug, Deserialize)]
pub struct TableStatus {
    /// Live entries.
    pub entries: u64,
    /// Largest number of entries.
    pub max_entries: u64,
}

/// One rule of `rules --json`.
#[derive(Clone, Debug, Deserialize)]
pub struct RuleHits {
    /// Interface.
    pub interface: String,
    /// `ingress` or `egress`.
    pub direction: String,
    /// Group.
    pub group: String,
    /// Index in the group.
    pub index: u32,
    /// `allow` or `deny`.
    pub action: String,
    /// Packets that it decided.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Its description.
    pub description: String,
    /// When the last packet came.
    pub last_hit: Option<String>,
    /// Since when it has been in force.
    pub in_force_since: Option<String>,
}

/// One end of a connection.
#[derive(Clone, Debug, Deserialize)]
pub struct End {
    /// Address.
    pub address: IpAddr,
    /// Port; for ICMP the identifier, where the protocol has none 0 or absent.
    #[serde(default)]
    pub port: Option<u16>,
}

/// One entry of `conntrack list --json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Tracked {
    /// Interface.
    pub interface: String,
    /// Protocol, by name where it has one.
    pub protocol: String,
    /// State.
    pub state: String,
    /// `ingress` or `egress`.
    pub opener: String,
    /// The protected side.
    pub local: End,
    /// The other side.
    pub remote: End,
    /// Seconds that it lives if no packet comes.
    pub expires_in_seconds: f64,
}

impl Tracked {
    /// Whether it is the connection between these two.
    pub fn is_between(&self, local: SocketAddr, remote: SocketAddr) -> bool {
        let is =
            |end: &End, address: SocketAddr| end.address == address.ip() && end.port == Some(address.port());
        is(&self.local, local) && is(&self.remote, remote)
    }
}

/// `explain --json`
#[derive(Clone, Debug, Deserialize)]
pub struct Explained {
    /// `allow` or `deny`.
    pub verdict: String,
    /// Stage or reason.
    pub stage: String,
    /// Group of the rule.
    pub group: Option<String>,
    /// Index of the rule.
    pub rule: Option<u32>,
    /// Description of the rule.
    pub description: Option<String>,
}

/// `stats --json`
#[derive(Clone, Debug, Deserialize)]
pub struct Stats {
    /// By interface.
    pub interfaces: Vec<InterfaceCounts>,
}

/// Both directions of an interface.
#[derive(Clone, Debug, Deserialize)]
pub struct InterfaceCounts {
    /// Interface.
    pub name: String,
    /// Towards the protected side.
    pub ingress: DirectionCounts,
    /// From it.
    pub egress: DirectionCounts,
}

/// One direction of an interface.
#[derive(Clone, Debug, Deserialize)]
pub struct DirectionCounts {
    /// All packets.
    pub packets: u64,
    /// Packets that passed.
    pub allowed: u64,
    /// Packets dropped, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Packets that an audit group would have dropped.
    pub audited: u64,
}

impl Stats {
    /// Drop counters by interface, direction and reason.
    pub fn drops(&self) -> BTreeMap<(String, &'static str, String), u64> {
        let mut drops = BTreeMap::new();
        for InterfaceCounts { name, ingress, egress } in &self.interfaces {
            for (direction, counts) in [("ingress", ingress), ("egress", egress)] {
                for (reason, count) in &counts.dropped {
                    drops.insert((name.clone(), direction, reason.clone()), *count);
                }
            }
        }
        drops
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promised_json_is_read() {
        let stats: Stats = serde_json::from_str(
            r#"{"interfaces": [{"name": "tap0", "more": 1,
                "ingress": {"packets": 3, "allowed": 1, "audited": 0, "dropped": {"default": 2}},
                "egress": {"packets": 0, "allowed": 0, "audited": 0, "dropped": {}}}]}"#,
        )
        .expect("stats");
        let drops = stats.drops();
        assert_eq!(drops.len(), 1);
        assert_eq!(drops[&("tap0".to_owned(), "ingress", "default".to_owned())], 2);
        let tracked: Tracked = serde_json::from_str(
            r#"{"interface": "tap0", "protocol": "tcp", "state": "established", "opener": "ingress",
                "local": {"address": "10.0.0.5", "port": 80}, "remote": {"address": "10.0.0.6", "port": 4000},
                "expires_in_seconds": 600}"#,
        )
        .expect("an entry");
        let at = |text: &str| text.parse().expect("an address");
        assert!(tracked.is_between(at("10.0.0.5:80"), at("10.0.0.6:4000")));
        assert!(!tracked.is_between(at("10.0.0.6:80"), at("10.0.0.6:4000")));
    }
}
