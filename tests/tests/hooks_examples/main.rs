//! The scripts in `examples/`: what hypervisors run before a guest does. On taps, as hypervisors make them.

use std::{
    fs::File,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use sg_tests::{
    agent::{Agent, binary},
    netns::Netns,
    packets::{Ethernet, Ip, Mac, Transport, flag::SYN},
    tun::{Offload, Tun},
};

/// What libvirt hands to its hook once the taps of a guest are there.
const GUEST: &str = include_str!("guest.xml");
const POLICY: &str = "version: 1
security_groups:
  web: {rules: [{direction: ingress, protocol: tcp, ports: 80}]}
  ssh: {rules: [{direction: ingress, protocol: tcp, ports: 22}]}
";
/// Interfaces of the guest by their MAC addresses.
const TABLE: &str = "# MAC groups addresses\n\n52:54:00:00:00:02  ssh  10.0.0.5,fd00::5\n";

const FIRST: Mac = Mac([0x52, 0x54, 0, 0, 0, 1]);
const SECOND: Mac = Mac([0x52, 0x54, 0, 0, 0, 2]);
const ROUTER: Mac = Mac([0x52, 0x54, 0, 0, 0, 0xfe]);

struct Scene {
    host: Netns,
    agent: Agent,
    taps: Vec<Tun>,
}

impl Scene {
    /// A host with a policy that binds nothing, and taps of these names.
    fn new(taps: &[&str]) -> Self {
        let host = Netns::new();
        host.sysctl("ipv6/conf/default/disable_ipv6", "1");
        let taps = taps.iter().map(|name| Tun::create(&host, name)).collect();
        let agent = Agent::new(&host);
        agent.apply(POLICY);
        Self { host, agent, taps }
    }

    fn script(&self, name: &str) -> Command {
        let mut script = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name));
        script.env("SG_AGENT", binary()).env("SG_STATE_DIR", self.agent.state_dir());
        script.env("SG_GUESTS", self.agent.write("guests", TABLE));
        script
    }

    /// libvirt calls its hook for `operation`, such as `start begin`, of the guest that `xml` defines.
    fn libvirt(&self, operation: &str, xml: &str) -> Output {
        let mut hook = self.script("libvirt/qemu");
        hook.arg("web1").args(operation.split(' ')).arg("-");
        self.hook(hook, xml)
    }

    fn hook(&self, mut hook: Command, xml: &str) -> Output {
        let definition: PathBuf = self.agent.write("guest.xml", xml);
        hook.stdin(File::open(definition).expect("the definition"));
        self.host.output(&mut hook)
    }

    /// Groups of each enforced interface.
    fn bound(&self) -> Vec<(String, Vec<String>)> {
        let interfaces = self.agent.status().interfaces;
        interfaces.into_iter().filter(|one| one.enforced).map(|one| (one.name, one.groups)).collect()
    }

    /// Whether what the guest sends on its tap, a SYN with these addresses, is let through.
    fn sends(&self, tap: usize, mac: Mac, from: &str) -> bool {
        let ip = Ip::new(from.parse().expect("an address"), "192.0.2.7".parse().expect("an address"));
        let frame = Ethernet::new(mac, ROUTER).ip(&ip, &Transport::tcp(40_000, 443, SYN));
        let dropped = self.agent.drops_during(|| {
            self.taps[tap].send(&frame, Offload::default()).expect("the tap is up");
        });
        dropped.is_empty()
    }
}

fn groups(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[track_caller]
fn succeeds(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    assert!(output.stdout.is_empty(), "libvirt would take this for a definition: {:?}", output.stdout);
}

/// Whether it failed of itself, naming `reason`.
#[track_caller]
fn fails(output: &Output, reason: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && output.status.signal().is_none(), "it let the guest start: {said}");
    assert!(said.contains(reason), "{said}");
}

/// Groups come from the table where it knows the MAC address, else from the definition; what metadata of others call an
/// interface is none.
#[test]
fn libvirt_starts_a_guest_with_every_interface_enforced() {
    let scene = Scene::new(&["vnet0", "vnet1", "vnet6"]);
    succeeds(&scene.libvirt("prepare begin", GUEST));
    assert_eq!(scene.bound(), []);
    succeeds(&scene.libvirt("start begin", GUEST));
    let both = [("vnet0".to_owned(), groups(&["web", "ssh"])), ("vnet1".to_owned(), groups(&["ssh"]))];
    assert_eq!(scene.bound(), both);
    scene.host.ip("link set vnet0 up\nlink set vnet1 up");
    assert!(scene.sends(0, FIRST, "10.0.0.9"), "the table gives the first interface no addresses");
    assert!(scene.sends(1, SECOND, "10.0.0.5"));
    assert!(!scene.sends(1, SECOND, "10.0.0.9"), "a spoofed address");
    assert!(!scene.sends(1, FIRST, "10.0.0.5"), "a spoofed MAC address");
    for (interface, port, verdict) in
        [("vnet0", 80, "allow"), ("vnet0", 22, "allow"), ("vnet0", 443, "deny"), ("vnet1", 80, "deny")]
    {
        let question = format!("--interface {interface} --direction ingress --protocol tcp --port {port}");
        let answer = scene.agent.explain(&format!("{question} --remote 192.0.2.7 --local 10.0.0.5"));
        assert_eq!(answer.verdict, verdict, "{question}");
    }
}

#[test]
fn libvirt_may_call_twice_and_lets_go_in_the_end() {
    let mut scene = Scene::new(&["vnet0", "vnet1"]);
    for operation in ["start begin", "started begin", "reconnect begin"] {
        succeeds(&scene.libvirt(operation, GUEST));
        assert_eq!(scene.bound().len(), 2, "{operation}");
    }
    scene.taps.clear();
    for operation in ["stopped end", "release end", "stopped end"] {
        succeeds(&scene.libvirt(operation, GUEST));
        assert_eq!(scene.agent.status().interfaces.len(), 0, "{operation}");
    }
}

/// Whatever goes wrong, the guest does not start.
#[test]
fn libvirt_starts_no_guest_that_would_not_be_filtered() {
    let scene = Scene::new(&["vnet0"]);
    fails(&scene.libvirt("start begin", GUEST), "vnet1 is not enforced");
    let second = GUEST.split_once("    <interface type='bridge'>").expect("a second one");
    let one = format!("{}    <memballoon model='virtio'/>\n  </devices>\n</domain>\n", second.0);
    succeeds(&scene.libvirt("start begin", &one));
    fails(
        &scene.libvirt("start begin", &one.replace("web  ssh", "wbe")),
        "no group of the policy in force is named wbe",
    );
    fails(&scene.libvirt("start begin", &one.replace("web  ssh", "$(reboot)")), "is no name");
    fails(&scene.libvirt("start begin", &one.replace("<target dev='vnet0'/>", "")), "cannot be filtered");
    fails(&scene.libvirt("start begin", "<domain"), "parser error");
    let mut hook = scene.script("libvirt/qemu");
    hook.args(["web1", "start", "begin", "-"]).env("SG_AGENT", "/nowhere/sg-agent");
    fails(&scene.hook(hook, &one), "vnet0 is not enforced");
    let mut hook = scene.script("libvirt/qemu");
    hook.args(["web1", "start", "begin", "-"])
        .env("SG_AGENT", scene.agent.write("stuck", ""))
        .env("SG_TIMEOUT", "1");
    fails(&scene.hook(hook, &one), "vnet0 is not enforced");
}

/// A passed-through device may be known to the table to be out of reach; metadata cannot say that.
#[test]
fn only_the_table_leaves_an_interface_unfiltered() {
    let scene = Scene::new(&["vnet0", "vnet1"]);
    let unfiltered = |table: &str, xml: &str| {
        let mut hook = scene.script("libvirt/qemu");
        hook.args(["web1", "start", "begin", "-"]).env("SG_GUESTS", scene.agent.write("table", table));
        scene.hook(hook, xml)
    };
    succeeds(&unfiltered("52:54:00:00:00:01 unfiltered\nweb1 ssh\n", GUEST));
    assert_eq!(scene.bound(), [("vnet1".to_owned(), groups(&["ssh"]))]);
    fails(&unfiltered("", &GUEST.replace("web  ssh", "unfiltered")), "no group");
}

#[test]
fn qemu_brings_a_tap_up_only_when_it_is_enforced() {
    let scene = Scene::new(&["tap7"]);
    let run = |script: &str, groups: &str| {
        let mut script = scene.script(script);
        script.arg("tap7").env("SG_GROUPS", groups).env("SG_ADDRESSES", "10.0.0.5");
        scene.host.output(&mut script)
    };
    let is_up = || {
        let shown = scene.host.output(Command::new("ip").args(["-br", "link", "show", "up", "dev", "tap7"]));
        !shown.stdout.is_empty()
    };
    fails(&run("qemu/ifup", "wbe"), "no group of the policy in force is named wbe");
    assert!(!is_up() && scene.bound().is_empty());
    succeeds(&run("qemu/ifup", "web,ssh"));
    assert!(is_up());
    assert_eq!(scene.bound(), [("tap7".to_owned(), groups(&["web", "ssh"]))]);
    assert!(scene.sends(0, FIRST, "10.0.0.5"));
    assert!(!scene.sends(0, FIRST, "10.0.0.6"), "a spoofed address");
    succeeds(&run("qemu/ifdown", ""));
    assert!(!is_up() && scene.bound().is_empty());
}

#[test]
fn qemu_finds_the_tap_in_the_table() {
    let scene = Scene::new(&["tap7"]);
    let mut script = scene.script("qemu/ifup");
    script.arg("tap7").env("SG_GUESTS", scene.agent.write("table", "tap77 web\ntap7 ssh 10.0.0.5\n"));
    succeeds(&scene.host.output(&mut script));
    assert_eq!(scene.bound(), [("tap7".to_owned(), groups(&["ssh"]))]);
}

#[test]
fn ifupdown_keeps_an_interface_down_that_is_not_enforced() {
    let scene = Scene::new(&["lan0"]);
    let run = |groups: &str| {
        let mut script = scene.script("ifupdown/sg");
        script.envs([("IFACE", "lan0"), ("IF_SG_GROUPS", groups)]);
        scene.host.output(&mut script)
    };
    succeeds(&run(""));
    assert_eq!(scene.bound(), []);
    fails(&run("web wbe"), "no group");
    succeeds(&run("web ssh"));
    let bound = scene.agent.status().interfaces;
    assert_eq!((bound[0].role.as_str(), bound[0].groups.clone()), ("host", groups(&["web", "ssh"])));
}
