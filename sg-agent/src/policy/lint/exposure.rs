//! Ports that the world should not reach.

use ipnet::IpNet;

use super::super::{
    code::Code,
    diagnostic::Report,
    model::{Action, Direction, Group, Match, Policy, PortRange, Remote, Rule},
    validate::Positions,
};

/// Protocol, first and last port, what listens there. Ports that web servers use as well (8006, 8086, 9090) are left out.
type Row = (u8, u16, u16, &'static str);

const ADMIN: &[Row] = &[
    (6, 22, 22, "SSH"),
    (6, 23, 23, "Telnet"),
    (6, 135, 135, "Windows RPC"),
    (6, 139, 139, "NetBIOS"),
    (6, 445, 445, "SMB"),
    (6, 512, 514, "rexec, rlogin, rsh"),
    (6, 623, 623, "IPMI"),
    (17, 161, 161, "SNMP"),
    (17, 623, 623, "IPMI"),
    (6, 2049, 2049, "NFS"),
    (6, 2375, 2376, "Docker"),
    (6, 2379, 2380, "etcd"),
    (6, 3389, 3389, "RDP"),
    (17, 3389, 3389, "RDP"),
    (6, 5900, 5999, "VNC"),
    (6, 5985, 5986, "WinRM"),
    (6, 6000, 6063, "X11"),
    (6, 6443, 6443, "Kubernetes API"),
    (6, 8200, 8200, "Vault"),
    (6, 8500, 8501, "Consul"),
    (6, 10250, 10250, "kubelet"),
    (6, 16509, 16509, "libvirt"),
    (6, 16514, 16514, "libvirt"),
];

const DATABASE: &[Row] = &[
    (6, 1433, 1434, "SQL Server"),
    (17, 1434, 1434, "SQL Server Browser"),
    (6, 1521, 1521, "Oracle"),
    (6, 2181, 2182, "ZooKeeper"),
    (6, 3306, 3306, "MySQL"),
    (6, 5432, 5432, "PostgreSQL"),
    (6, 5439, 5439, "Redshift"),
    (6, 5984, 5984, "CouchDB"),
    (6, 6379, 6379, "Redis"),
    (6, 6432, 6432, "PgBouncer"),
    (6, 7000, 7001, "Cassandra"),
    (6, 8123, 8123, "ClickHouse"),
    (6, 9042, 9042, "Cassandra"),
    (6, 9092, 9092, "Kafka"),
    (6, 9160, 9160, "Cassandra"),
    (6, 9200, 9200, "Elasticsearch"),
    (6, 9300, 9300, "Elasticsearch"),
    (6, 11211, 11211, "memcached"),
    (17, 11211, 11211, "memcached"),
    (6, 26257, 26257, "CockroachDB"),
    (6, 27017, 27019, "MongoDB"),
    (6, 33060, 33060, "MySQL"),
    (6, 50000, 50000, "Db2"),
];

/// Reports that a `rule` of `group` opens an administration or database port, or all of them, to every address.
pub fn lint(policy: &Policy, group: &Group, rule: &Rule, positions: &Positions, report: &mut Report) {
    let opens = rule.direction == Direction::Ingress && rule.action == Action::Allow;
    if !opens || !is_world(policy, &rule.remote) {
        return;
    }
    let span = positions.rule(&group.name, rule.index);
    if let Some(what) = opens_all(rule) {
        report
            .push(Code::OpenAll, span, format!("group `{}` opens every {what} port to the world", group.name))
            .help("name the ports, or name who may connect with `remote`");
        return;
    }
    for (table, code, what) in
        [(ADMIN, Code::OpenAdmin, "administration"), (DATABASE, Code::OpenDatabase, "database")]
    {
        let Some(names) = opened(rule, table) else { continue };
        report
            .push(code, span, format!("group `{}` opens {what} ports to the world: {names}", group.name))
            .help("name who may connect with `remote`: a CIDR prefix, `group:NAME` or `address-group:NAME`");
    }
}

fn is_world(policy: &Policy, remote: &Remote) -> bool {
    match remote {
        Remote::Any => true,
        Remote::Prefix(net) => is_wide(net),
        Remote::Group(_) => false,
        Remote::AddressGroup(name) => {
            policy.address_groups.get(name).is_some_and(|group| group.prefixes.iter().any(is_wide))
        }
    }
}

/// Half of IPv4 (the world is often written as two halves), or all of IPv6 that is routed (2000::/3, RFC 4291).
fn is_wide(net: &IpNet) -> bool {
    net.prefix_len() <= if net.addr().is_ipv4() { 1 } else { 3 }
}

/// The protocol of which a rule opens every port.
fn opens_all(rule: &Rule) -> Option<&'static str> {
    let is_full = |ports: &[PortRange]| ports.iter().any(|range| range.first <= 1 && range.last == u16::MAX);
    match &rule.matches {
        Match::All => Some("TCP and UDP"),
        Match::Protocol(6) => Some("TCP"),
        Match::Protocol(17) => Some("UDP"),
        Match::Ports(6, ports) => is_full(ports).then_some("TCP"),
        Match::Ports(17, ports) => is_full(ports).then_some("UDP"),
        _ => None,
    }
}

/// The rows of `table` that the rule's ports touch.
fn opened(rule: &Rule, table: &[Row]) -> Option<String> {
    let Match::Ports(protocol, ports) = &rule.matches else { return None };
    let touches = |range: &PortRange, row: &Row| range.first <= row.2 && row.1 <= range.last;
    let rows = table.iter().filter(|row| row.0 == *protocol && ports.iter().any(|range| touches(range, row)));
    let mut names: Vec<String> = rows.map(|row| format!("{} ({})", span(row.1, row.2), row.3)).collect();
    let more = names.len().saturating_sub(4);
    names.truncate(4);
    let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!names.is_empty()).then(|| names.join(", ") + &tail)
}

fn span(first: u16, last: u16) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}
