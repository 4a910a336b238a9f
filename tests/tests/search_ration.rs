//! Full tables, and what looking for room in them may cost.

use aya::maps::{Array, Map, MapData};
use sg_common::{conntrack::TableUse, limits::SEARCHED_PER_TICK};
use sg_tests::{
    agent::Agent,
    netns::Netns,
    packets::{Ethernet, Ip, Mac, Transport},
    progrun::{Hook, Programs, pins},
};

const DEVICES: usize = 24;

fn policy() -> String {
    let bound: String = (0..DEVICES)
        .map(|number| format!("  - {{name: tap{number}, role: guest, groups: [dns]}}\n"))
        .collect();
    format!(
        "version: 1
settings: {{conntrack: {{max_entries: 262144, max_per_interface: 64}}}}
security_groups: {{dns: {{rules: [{{direction: ingress, protocol: udp, ports: 53}}]}}}}
interfaces:
{bound}"
    )
}

fn frame(port: u16) -> Vec<u8> {
    let ip = Ip::new([192, 0, 2, 1].into(), [10, 0, 0, 5].into());
    Ethernet::new(Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2])).ip(&ip, &Transport::udp(port, 53))
}

/// Each interface whose share is full may have the table searched once a second. Many together may not have it searched
/// more often than the host can afford.
#[test]
fn floods_on_many_interfaces_buy_no_more_searches_than_one() {
    let names: Vec<String> = (0..DEVICES).map(|number| format!("tap{number}")).collect();
    let host = Netns::with_devices(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let agent = Agent::new(&host);
    agent.apply(&policy());
    let programs = Programs::of(&host);
    let table = MapData::from_pin(pins(&host).join("TABLE_USE")).expect("the fill of the tables");
    let used: Array<MapData, TableUse> = Map::Array(table).try_into().expect("an array");
    let host_use = || used.get(&0, 0).expect("the host's");
    for name in &names {
        let ifindex = host.ifindex(name);
        for port in 0..64 {
            assert!(programs.passes(Hook::TcxEgress, ifindex, &frame(1000 + port)));
        }
    }
    let refused = |name: &str| assert!(!programs.passes(Hook::TcxEgress, host.ifindex(name), &frame(2000)));
    // The first search is of the whole table; the others have what the ticks since then allow.
    refused("tap0");
    let before = host_use();
    assert_eq!(before.cursor[0], 262_144 * 3 / 2 / 8);
    names[1..].iter().for_each(|name| refused(name));
    let after = host_use();
    let ticks = after.searched[0] - before.searched[0];
    assert!(after.cursor[0] - before.cursor[0] <= ticks * SEARCHED_PER_TICK, "{before:?} {after:?}");
}
