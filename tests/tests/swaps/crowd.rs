//! Many interfaces bound to the same groups.

use std::{
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use sg_tests::{
    counters::Counters,
    held::{Held, policy},
    netns::Netns,
    packets::{Ethernet, Transport},
    progrun::{Hook, Programs},
    wire::Family,
};

/// A tenth of what the target speaks of: putting programs on each takes the kernel two grace periods. That a thousand
/// cost the lines of one, the compiler's own tests tell.
const MANY: usize = 100;

/// Makes `count` devices, quickly.
fn crowd(count: usize) -> Netns {
    let host = Netns::new();
    host.sysctl("ipv6/conf/default/disable_ipv6", "1");
    let lines: String = (0..count)
        .map(|at| format!("link add sg{at} type veth peer name x{at}\nlink set sg{at} up\n"))
        .collect();
    let files = tempfile::TempDir::new().expect("a temporary directory");
    let script = files.path().join("links");
    std::fs::write(&script, lines).expect("a script");
    let output = host.output(Command::new("ip").arg("-batch").arg(&script));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    host
}

fn rules(port: u16) -> String {
    let rules: String = (0..50)
        .map(|at| {
            format!(
                "      - {{direction: ingress, protocol: tcp, ports: {}, remote: 10.{at}.0.0/16}}\n",
                3_000 + at
            )
        })
        .collect();
    format!(
        "version: 1
settings: {{quotas: {{rules_per_group: 100}}, conntrack: {{max_entries: 4096, max_per_interface: 1024}}, limits: {{policy_bytes: 1048576}}}}
security_groups:
  web:
    stateful: false
    rules:
      - {{direction: ingress, protocol: udp, ports: {port}}}
{rules}interfaces:
  - {{name: 'sg*', role: guest, groups: [web], rx_hook: tcx}}
"
    )
}

fn lines(held: &Held) -> u64 {
    let fills = Counters::open(&held.host, &held.options).loaded.capacity().expect("the fill of the tables");
    fills.iter().find(|fill| fill.table == "policy_bytes").map_or(0, |fill| fill.used)
}

/// Many interfaces with the same groups cost the lines of one; they all change with one store of the control word: no
/// two of them are judged by different rule sets of one generation.
#[test]
fn many_interfaces_share_one_policy_and_change_at_once() {
    let one = lines(&Held::new(&crowd(1), &policy(&rules(1_001))));
    let host = crowd(MANY);
    let sets = [1_001, 1_002].map(|port| policy(&rules(port)));
    let mut held = Held::new(&host, &sets[0]);
    assert_eq!(
        (held.writer.as_ref().map(|writer| writer.loaded.state.interfaces().len()), lines(&held)),
        (Some(MANY), one)
    );
    let counters = Counters::open(&host, &held.options);
    let programs = Programs::of(&host);
    let devices: Vec<u32> = ["sg0", "sg1", "sg50", "sg98", "sg99"].map(|name| host.ifindex(name)).to_vec();
    let frame = |port| Ethernet::default().ip(&Family::V4.inward(), &Transport::udp(40_000, port));
    let frames = [frame(1_001), frame(1_002)];
    let word = || counters.loaded.kernel.control().word;
    let done = AtomicBool::new(false);
    let looks = thread::scope(|scope| {
        let prober = scope.spawn(|| {
            host.enter(|| {
                let mut looks = 0;
                while !done.load(Ordering::Relaxed) {
                    let before = word();
                    let judge = |device: &u32| {
                        [0, 1].map(|at| programs.passes_here(Hook::TcxEgress, *device, &frames[at]))
                    };
                    let judged: Vec<[bool; 2]> = devices.iter().map(judge).collect();
                    if word() == before {
                        assert!(judged.iter().all(|one| *one == judged[0] && one[0] != one[1]), "{judged:?}");
                        looks += 1;
                    }
                }
                looks
            })
        });
        for number in 1..=10 {
            let outcome = held.apply(&sets[number % 2]);
            assert!(outcome.is_changed && outcome.interfaces.len() == MANY);
            println!("{MANY} interfaces: in force after {:?}", outcome.in_force_after);
        }
        done.store(true, Ordering::Relaxed);
        prober.join().expect("the prober")
    });
    assert!(looks > 10, "only {looks} looks at one generation");
}
