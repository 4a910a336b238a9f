//! Two CPUs that open the same connections at once.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use aya::maps::{Array, Map, MapData, PerCpuArray};
use sg_common::{conntrack::TableUse, stats::InterfaceStats};
use sg_tests::{
    agent::Agent,
    netns::Netns,
    packets::{Ethernet, Ip, Mac, Transport, flag::SYN},
    progrun::{Hook, Programs, pins},
};

const POLICY: &str = "version: 1
settings: {conntrack: {max_entries: 8192, max_per_interface: 8192}}
security_groups: {web: {rules: [{direction: ingress, protocol: tcp, ports: 80}]}}
interfaces: [{name: tap0, role: guest, groups: [web]}]
";

const FLOWS: u32 = 6000;

fn frame(flow: u32) -> Vec<u8> {
    let [.., a, b] = flow.to_be_bytes();
    let ip = Ip::new([192, 0, a, b].into(), [10, 0, 0, 5].into());
    Ethernet::new(Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2])).ip(&ip, &Transport::tcp(4000, 80, SYN))
}

fn table<T: TryFrom<Map>>(host: &Netns, name: &str, kind: impl FnOnce(MapData) -> Map) -> T {
    let data = MapData::from_pin(pins(host).join(name)).expect("a table");
    kind(data).try_into().unwrap_or_else(|_| panic!("{name} is of another type"))
}

/// The same SYN on two CPUs at once, 6,000 times: one entry each, counted once.
#[test]
fn cpus_that_open_a_flow_together_leave_one_entry() {
    let host = Netns::with_devices(&["tap0"]);
    let agent = Agent::new(&host);
    agent.apply(POLICY);
    let ifindex = host.ifindex("tap0");
    let ready: [AtomicU32; 2] = [AtomicU32::new(0), AtomicU32::new(0)];
    let open_all = |own: usize| {
        let programs = Programs::of(&host);
        host.enter(|| {
            for flow in 0..FLOWS {
                let frame = frame(flow);
                ready[own].store(flow + 1, Ordering::SeqCst);
                while ready[1 - own].load(Ordering::SeqCst) <= flow {
                    std::hint::spin_loop();
                }
                assert!(programs.passes_here(Hook::TcxEgress, ifindex, &frame), "flow {flow}");
            }
        });
    };
    thread::scope(|scope| {
        scope.spawn(|| open_all(0));
        scope.spawn(|| open_all(1));
    });
    let used: Array<MapData, TableUse> = table(&host, "TABLE_USE", Map::Array);
    assert_eq!(used.get(&0, 0).expect("the host's").connections, u64::from(FLOWS));
    assert_eq!(agent.status().conntrack.entries, u64::from(FLOWS));
    let stats: PerCpuArray<MapData, InterfaceStats> = table(&host, "STATS", Map::PerCpuArray);
    let opened: u64 =
        stats.get(&1, 0).expect("the interface's").iter().flat_map(|one| &one.0).map(|one| one.opened).sum();
    assert_eq!(opened, u64::from(FLOWS));
}
