//! The Debian package on a clean Debian with a systemd of its own: `cargo xtask package --test`.

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use sg_tests::{
    container::Container,
    topology::{Cable, Topology},
    traffic::{self, BRIEF, Connection, Echo, PATIENT},
};

const POLICY: &str = "version: 1
security_groups:
  web: {rules: [{direction: ingress, protocol: tcp, ports: 80}]}
interfaces:
  - {name: 'vnet*', role: guest, groups: [web]}
";
const OPEN: u16 = 80;
const SHUT: u16 = 81;

/// Makes a guest's interface as soon as interfaces may be made, and notes what was in force by then.
const GUEST_UNIT: &str = "[Unit]
DefaultDependencies=no
After=network-pre.target
Wants=network-pre.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'sg-agent status --json > /root/in-force; ip link add vnet9 type veth peer name guest9'
";

/// CAP_NET_ADMIN, CAP_PERFMON and CAP_BPF (include/uapi/linux/capability.h).
const CAPABILITIES: u64 = 1 << 12 | 1 << 38 | 1 << 39;
/// The highest exposure that `systemd-analyze security` may find, in tenths.
const EXPOSURE: u32 = 25;
const SOON: Duration = Duration::from_secs(30);

/// A file that `cargo xtask package --test` names.
fn given(variable: &str) -> PathBuf {
    let path =
        env::var_os(variable).unwrap_or_else(|| panic!("no {variable}: run `cargo xtask package --test`"));
    path.into()
}

/// A container with the package installed and the policy in force.
fn installed() -> Container {
    let container = Container::boot(&given("SG_ROOTFS"));
    install(&container, &given("SG_PACKAGE"));
    assert_eq!(container.run("systemctl is-active sg-agent").trim(), "active");
    reload(&container, POLICY);
    container
}

fn install(container: &Container, package: &Path) {
    fs::copy(package, container.path("root/sg-agent.deb")).expect("copying the package");
    container.run("dpkg --force-unsafe-io --install /root/sg-agent.deb");
}

/// Puts `policy` in force, as an administrator does.
fn reload(container: &Container, policy: &str) {
    let before = told(container, "/reload/reloads");
    container.write("etc/sg/policy.yaml", policy);
    container.run("systemctl reload sg-agent");
    wait_until(|| told(container, "/reload/reloads") > before);
}

fn status(container: &Container) -> Value {
    let status = container.run("sg-agent status --json");
    serde_json::from_str(&status).expect("JSON")
}

fn is_enforced(container: &Container, name: &str) -> bool {
    let status = status(container);
    let mut all = status["interfaces"].as_array().into_iter().flatten();
    all.any(|one| one["name"] == name && one["enforced"] == true)
}

/// A number that `status` tells, by its path in the JSON.
fn told(container: &Container, pointer: &str) -> u64 {
    let status = status(container);
    status.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("{pointer}: {status}"))
}

fn generation(container: &Container) -> u64 {
    told(container, "/generation")
}

fn step(name: &str) {
    eprintln!("== {name}");
}

fn main_pid(container: &Container) -> u32 {
    container.property("sg-agent", "MainPID").parse().expect("a number")
}

#[track_caller]
fn wait_until(mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < end, "not after {SOON:?}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// A guest behind `vnet0`, with servers on both ports, and a client outside.
struct Net {
    topology: Topology,
    _servers: [Echo; 2],
}

impl Net {
    fn new(container: &Container) -> Self {
        let topology = Topology::around(
            container.netns(),
            &[
                Cable::new("guest", "vnet0").address("10.77.1.10/24"),
                Cable::new("client", "uplink").address("203.0.113.7/24"),
            ],
        );
        let guest = topology.machine("guest");
        let servers = [OPEN, SHUT].map(|port| Echo::tcp(&guest.ns, SocketAddr::new(guest.v4(), port)));
        // The service follows the host's devices.
        wait_until(|| is_enforced(container, "vnet0"));
        Self { topology, _servers: servers }
    }

    fn to(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.topology.machine("guest").v4(), port)
    }

    fn opens(&self, port: u16, patience: Duration) -> bool {
        let client = self.topology.machine("client");
        traffic::tcp(&client.ns, client.v4(), self.to(port), patience)
    }

    /// Does `work` while one connection is kept talking, new ones are made, and refused ones are tried.
    #[track_caller]
    fn undisturbed(&self, work: impl FnOnce()) {
        let client = self.topology.machine("client");
        let mut held =
            Connection::open(&client.ns, client.v4(), self.to(OPEN), PATIENT).expect("a connection");
        let (stop, rounds) = (AtomicBool::new(false), AtomicU32::new(0));
        thread::scope(|scope| {
            let traffic = scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    assert!(held.echoes(PATIENT), "the connection is broken");
                    assert!(self.opens(OPEN, PATIENT), "a new connection is refused");
                    assert!(!self.opens(SHUT, BRIEF), "what no rule allows has passed");
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            });
            wait_until(|| rounds.load(Ordering::Relaxed) > 0 || traffic.is_finished());
            work();
            let enough = rounds.load(Ordering::Relaxed) + 2;
            wait_until(|| rounds.load(Ordering::Relaxed) >= enough || traffic.is_finished());
            stop.store(true, Ordering::Relaxed);
        });
        eprintln!("{} rounds of traffic", rounds.load(Ordering::Relaxed));
    }
}

/// Installed, reloaded, killed, upgraded, rebooted, removed and purged, while traffic flows.
#[test]
#[ignore = "makes a container: cargo xtask package --test"]
fn the_package_lives_under_systemd() {
    let mut container = installed();
    the_unit_is_sound_and_the_daemon_has_three_capabilities(&container);
    let net = Net::new(&container);
    ready_means_in_force_and_a_reload_takes_the_new_policy(&container, &net);
    a_killed_daemon_is_back_at_once_and_nothing_is_lost(&container, &net);
    an_upgrade_disturbs_nothing(&container, &net);
    drop(net);
    a_reboot_ends_with_the_policy_in_force(&mut container);
    let net = Net::new(&container);
    assert!(net.opens(OPEN, PATIENT) && !net.opens(SHUT, BRIEF));
    a_removed_package_leaves_the_filtering_and_a_purged_one_nothing(&container, &net);
}

fn the_unit_is_sound_and_the_daemon_has_three_capabilities(container: &Container) {
    step("the unit");
    let complaints = container.try_run("systemd-analyze verify --man=no sg-agent.service");
    assert_eq!(String::from_utf8_lossy(&complaints.stderr), "");
    assert!(complaints.status.success());
    let security = container.run("systemd-analyze security --no-pager sg-agent.service");
    eprintln!("{}", security.lines().last().unwrap_or_default());
    let limit = format!("--threshold={EXPOSURE}");
    container.run(&format!("systemd-analyze security --no-pager {limit} sg-agent.service"));
    let status = container.run(&format!("cat /proc/{}/status", main_pid(container)));
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:\t")).expect("CapEff");
    assert_eq!(u64::from_str_radix(effective, 16), Ok(CAPABILITIES), "{status}");
    assert_eq!(container.run("systemctl is-enabled sg-agent").trim(), "enabled");
}

/// `systemctl start` returns when the policy is in force; a reload takes a new one, and says when it cannot.
fn ready_means_in_force_and_a_reload_takes_the_new_policy(container: &Container, net: &Net) {
    step("reload, stop, start");
    assert!(net.opens(OPEN, PATIENT) && !net.opens(SHUT, BRIEF));
    reload(container, &POLICY.replace("80", "[80, 81]"));
    assert!(net.opens(SHUT, PATIENT));
    container.write("etc/sg/policy.yaml", "version: 2\n");
    let refused = container.try_run("systemctl reload sg-agent");
    assert!(!refused.status.success(), "a faulty file is refused");
    assert!(net.opens(SHUT, PATIENT), "what was in force stays");
    container.run("systemctl stop sg-agent");
    container.write("etc/sg/policy.yaml", POLICY);
    assert!(net.opens(SHUT, PATIENT), "nobody has read the file yet");
    container.run("systemctl start sg-agent");
    assert!(!net.opens(SHUT, BRIEF), "it said ready before the policy was in force");
}

fn a_killed_daemon_is_back_at_once_and_nothing_is_lost(container: &Container, net: &Net) {
    step("kill -9");
    for _ in 0..3 {
        let before = main_pid(container);
        net.undisturbed(|| {
            container.run(&format!("kill -KILL {before}"));
            wait_until(|| {
                main_pid(container) != before && container.property("sg-agent", "ActiveState") == "active"
            });
        });
    }
    assert_eq!(container.property("sg-agent", "NRestarts"), "3");
}

fn an_upgrade_disturbs_nothing(container: &Container, net: &Net) {
    step("upgrade");
    let (before, policy) = (main_pid(container), generation(container));
    net.undisturbed(|| install(container, &given("SG_PACKAGE_NEXT")));
    assert_ne!(main_pid(container), before, "the old program runs on");
    assert_eq!(container.run("systemctl is-active sg-agent").trim(), "active");
    assert_eq!(generation(container), policy);
    assert_eq!(fs::read_to_string(container.path("etc/sg/policy.yaml")).expect("the policy"), POLICY);
}

/// After a reboot the policy is in force before an interface of a guest can be made.
fn a_reboot_ends_with_the_policy_in_force(container: &mut Container) {
    step("reboot");
    container.write("etc/systemd/system/guest.service", GUEST_UNIT);
    container.enable("guest.service", "multi-user.target");
    container.reboot();
    let in_force = fs::read_to_string(container.path("root/in-force")).expect("the note");
    let in_force: Value = serde_json::from_str(&in_force).expect("a policy was in force");
    assert!(in_force["generation"].as_u64() > Some(0), "{in_force}");
}

/// Removing a package opens no host; purging it leaves nothing.
fn a_removed_package_leaves_the_filtering_and_a_purged_one_nothing(container: &Container, net: &Net) {
    step("remove, purge");
    net.undisturbed(|| drop(container.run("dpkg --remove sg-agent")));
    assert!(!net.opens(SHUT, BRIEF));
    container.run("dpkg --purge sg-agent");
    assert!(net.opens(SHUT, PATIENT), "nothing filters any more");
    let left = "ls -d /sys/fs/bpf/sg /run/sg /var/lib/sg /etc/sg /etc/systemd/system/*/sg-agent.service";
    assert_eq!(String::from_utf8_lossy(&container.try_run(left).stdout), "");
}
