//! Which connections somebody asks for.

use ipnet::IpNet;

use super::connection::{Connection, End};

/// What a connection has to be; what is `None` does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Name of the interface.
    pub interface: Option<String>,
    /// IP protocol.
    pub protocol: Option<u8>,
    /// Network of either end.
    pub address: Option<IpNet>,
    /// Network of the protected side.
    pub local: Option<IpNet>,
    /// Network of the other side.
    pub remote: Option<IpNet>,
    /// Port of either end, or ICMP identifier.
    pub port: Option<u16>,
}

impl Filter {
    /// Whether `connection` is asked for.
    pub fn takes(&self, connection: &Connection) -> bool {
        let Connection { local, remote, .. } = connection;
        let within = |net: &Option<IpNet>, ends: &[&End]| {
            net.is_none_or(|net| ends.iter().any(|end| net.contains(&end.address)))
        };
        self.interface.as_ref().is_none_or(|name| *name == connection.interface)
            && self.protocol.is_none_or(|protocol| protocol == connection.protocol)
            && within(&self.address, &[local, remote])
            && within(&self.local, &[local])
            && within(&self.remote, &[remote])
            && self.port.is_none_or(|port| local.port == Some(port) || remote.port == Some(port))
    }
}

#[cfg(test)]
mod tests {
    use sg_common::conntrack::State as LifeState;

    use super::*;
    use crate::{
        compile::tests::make,
        observe::connection::{
            live,
            tests::{entry4, one_interface},
        },
    };

    /// Whether the connection 10.0.0.5:443 - 192.0.2.1:40000 over TCP on tap1 is taken.
    fn takes(filter: Filter) -> bool {
        let entries = [(0, entry4(6, LifeState::Established, false, 6000))];
        filter.takes(&live(&one_interface(), &make::clock(), &entries)[0])
    }

    fn net(text: &str) -> Option<IpNet> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn every_part_narrows() {
        assert!(takes(Filter::default()));
        for (filter, expected) in [
            (Filter { interface: Some("tap1".into()), ..Filter::default() }, true),
            (Filter { interface: Some("tap2".into()), ..Filter::default() }, false),
            (Filter { protocol: Some(6), ..Filter::default() }, true),
            (Filter { protocol: Some(17), ..Filter::default() }, false),
            (Filter { address: net("10.0.0.0/8"), ..Filter::default() }, true),
            (Filter { address: net("192.0.2.1/32"), ..Filter::default() }, true),
            (Filter { address: net("::/0"), ..Filter::default() }, false),
            (Filter { local: net("10.0.0.5/32"), ..Filter::default() }, true),
            (Filter { local: net("192.0.2.0/24"), ..Filter::default() }, false),
            (Filter { remote: net("192.0.2.0/24"), ..Filter::default() }, true),
            (Filter { remote: net("10.0.0.0/8"), ..Filter::default() }, false),
            (Filter { port: Some(443), ..Filter::default() }, true),
            (Filter { port: Some(40_000), ..Filter::default() }, true),
            (Filter { port: Some(80), ..Filter::default() }, false),
            (Filter { port: Some(443), protocol: Some(17), ..Filter::default() }, false),
        ] {
            assert_eq!(takes(filter.clone()), expected, "{filter:?}");
        }
    }
}
