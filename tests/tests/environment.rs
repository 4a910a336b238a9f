//! Machines that lack something: the agent says so in one sentence with status 3, and what is in force stays.

use std::{
    env::consts,
    fs::{self, File},
    io,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::Path,
    process::Command,
    time::SystemTime,
};

use sg_tests::{
    agent::{Agent, Run, binary},
    inject::Tap,
    netns::Netns,
    packets::{Ethernet, Ip, Mac, Transport, flag::SYN},
    progrun::pins,
};

/// Lets port 80 in.
const BEFORE: &str = "version: 1
security_groups: {web: {rules: [{direction: ingress, protocol: tcp, ports: 80}]}}
interfaces: [{name: tap0, role: guest, groups: [web], addresses: [10.0.0.5]}]
";

/// What is missing, how to run the agent without it, and a part of its complaint.
type Lack = (&'static str, fn(&Agent) -> Command, &'static str);

const LACKS: [Lack; 5] = [
    ("every capability", |agent| without(agent, "-all"), "CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN"),
    ("CAP_NET_ADMIN", |agent| without(agent, "-net_admin"), "CAP_NET_ADMIN is missing"),
    ("a kernel of today", old_kernel, "or newer is needed, this is 2.6"),
    ("the system call", no_system_call, "Function not implemented"),
    ("a BPF file system", no_file_system, "is not a BPF file system"),
];

/// E01, E03
#[test]
fn what_is_in_force_stays() {
    let host = Netns::with_devices(&["tap0"]);
    let agent = Agent::new(&host);
    agent.apply(BEFORE);
    for (what, run_by, complaint) in LACKS {
        // Would let port 81 in, and 80 no more.
        let run = apply(&agent, run_by(&agent), &BEFORE.replace("80", "81"));
        assert_refused(&run, what, complaint);
        assert_eq!(agent.status().generation, 1, "without {what}");
        assert_eq!([80, 81].map(|port| passes(&host, port)), [true, false], "without {what}");
    }
}

/// E01, E03
#[test]
fn nothing_is_left_half_done() {
    let host = Netns::with_devices(&["tap0"]);
    let agent = Agent::new(&host);
    for (what, run_by, complaint) in LACKS {
        let run = apply(&agent, run_by(&agent), BEFORE);
        assert_refused(&run, what, complaint);
        assert!(!pins(&host).exists(), "without {what}");
        assert!(passes(&host, 81), "without {what}: filtered all the same");
    }
    agent.apply(BEFORE);
    assert!(!passes(&host, 81));
}

/// Nobody is sent to load a policy beside one that he only does not see.
#[test]
fn what_is_out_of_sight_is_not_said_to_be_absent() {
    let host = Netns::with_devices(&["tap0"]);
    let agent = Agent::new(&host);
    let run = agent.run_by(no_file_system(&agent), &["status"]);
    assert_refused(&run, "a BPF file system", "or it is out of sight");
    let run = agent.run(&["status"]);
    assert_refused(&run, "a policy", "nothing is loaded: `sg-agent apply");
}

/// E06
#[test]
fn pins_are_found_from_where_they_do_not_show() {
    let host = Netns::with_devices(&["tap0"]);
    let agent = Agent::new(&host);
    agent.apply(BEFORE);
    let hidden = || {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", "mount -t tmpfs none /sys/fs/bpf && exec \"$0\" \"$@\""]);
        command.arg(binary());
        command
    };
    let run = apply(&agent, hidden(), &BEFORE.replace("80", "81"));
    assert_eq!(run.status, 0, "{}", run.stderr);
    assert_eq!([80, 81].map(|port| passes(&host, port)), [false, true]);
    assert_eq!(agent.run_by(hidden(), &["unload"]).status, 0);
    assert!(passes(&host, 80));
}

/// The switch is the whole machine's, and other tests work with it meanwhile: the agent gets an ordinary file in its place.
/// Each of these puts programs on hooks or takes them off.
#[test]
fn grace_periods_are_short_while_hooks_change() {
    let host = Netns::with_devices(&["tap0", "tap1"]);
    let agent = Agent::new(&host);
    let path = agent.write("policy.yaml", BEFORE);
    let apply = format!("apply {}", path.display());
    let changes = [&*apply, "attach tap1 --group web", "detach tap1", "unload"];
    // Off; left on by an agent that was killed; on because an operator wants it so.
    for (before, after, is_used) in [("0\n", "0", true), ("29543\n", "0", true), ("1\n", "1", false)] {
        for change in changes {
            let switch = agent.write("switch", before);
            let long_ago = SystemTime::UNIX_EPOCH;
            let set_back =
                File::options().write(true).open(&switch).and_then(|file| file.set_modified(long_ago));
            set_back.expect("a file");
            let run = agent.run_by(with_switch(&switch, ""), &change.split(' ').collect::<Vec<_>>());
            assert_eq!((run.status, &*run.stderr), (0, ""), "{change} with {before}");
            assert_eq!(switched(&switch), after, "{change} with {before}");
            let modified = fs::metadata(&switch).and_then(|file| file.modified()).expect("a file");
            assert_eq!(modified != long_ago, is_used, "{change} with {before}");
        }
    }
}

/// What was left on is turned off also by who changes no hook; where the switch cannot be written everything works.
#[test]
fn a_switch_that_was_left_on_is_turned_off() {
    let host = Netns::with_devices(&["tap0"]);
    let agent = Agent::new(&host);
    agent.apply(BEFORE);
    let switch = agent.write("switch", "29543\n");
    assert_eq!(agent.run_by(with_switch(&switch, ""), &["confirm"]).status, 4, "nothing waits for it");
    assert_eq!(switched(&switch), "0");

    fs::write(&switch, "0\n").expect("a file");
    let read_only = "mount -o remount,bind,ro /sys/kernel/rcu_expedited &&";
    let run = apply(&agent, with_switch(&switch, read_only), &BEFORE.replace("80", "81"));
    assert_eq!((run.status, &*run.stderr), (0, ""));
    assert_eq!([80, 81].map(|port| passes(&host, port)), [false, true]);
    assert_eq!(agent.run_by(with_switch(&switch, read_only), &["unload"]).status, 0);
    assert_eq!(fs::read_to_string(&switch).expect("a file"), "0\n");

    fs::write(&switch, "29543\n").expect("a file");
    assert_eq!(agent.run_by(with_switch(&switch, ""), &["unload"]).status, 0, "there is nothing");
    assert_eq!(switched(&switch), "0");
}

/// The agent, to which the file `switch` is the kernel's switch for grace periods, after what the shell does `first`.
fn with_switch(switch: &Path, first: &str) -> Command {
    let mut command = Command::new("unshare");
    let script = format!("mount --bind \"$0\" /sys/kernel/rcu_expedited && {first} exec \"$@\"");
    command.args(["--mount", "sh", "-c", &script]).arg(switch).arg(binary());
    command
}

fn switched(switch: &Path) -> String {
    fs::read_to_string(switch).expect("a file").trim_end().to_owned()
}

/// Whatever the umask of who runs it: what a policy says is nobody else's business.
#[test]
fn what_is_remembered_is_roots_alone() {
    let host = Netns::with_devices(&["tap0"]);
    let agent = Agent::new(&host);
    let careless = || {
        let mut command = Command::new("sh");
        command.args(["-c", "umask 0 && exec \"$0\" \"$@\""]).arg(binary());
        command
    };
    for policy in [BEFORE, &BEFORE.replace("80", "81")] {
        let run = apply(&agent, careless(), policy);
        assert_eq!(run.status, 0, "{}", run.stderr);
    }
    assert!(private_files(&agent.state_dir()) > 3);
    let pins = pins(&host);
    assert_eq!(mode(pins.parent().expect("a directory")), 0o700);
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").permissions().mode() & 0o777
}

/// Nobody else may read what is in `directory`; how many files that is.
#[track_caller]
fn private_files(directory: &Path) -> usize {
    assert_eq!(mode(directory), 0o700, "{}", directory.display());
    let paths = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("a file").path());
    let files = paths.map(|path| {
        if path.is_dir() {
            return private_files(&path);
        }
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        1
    });
    files.sum()
}

fn apply(agent: &Agent, command: Command, policy: &str) -> Run {
    let path = agent.write("policy.yaml", policy);
    agent.run_by(command, &["apply", &path.to_string_lossy()])
}

#[track_caller]
fn assert_refused(run: &Run, what: &str, complaint: &str) {
    assert_eq!(run.status, 3, "without {what}: {}{}", run.stdout, run.stderr);
    assert!(run.stderr.contains(complaint), "without {what}: {}", run.stderr);
    assert_eq!(run.stderr.trim().lines().count(), 1, "without {what}, one sentence: {}", run.stderr);
}

/// Whether a SYN to `port` of the guest gets out of the host.
fn passes(host: &Netns, port: u16) -> bool {
    let ip = Ip::new([192, 0, 2, 1].into(), [10, 0, 0, 5].into());
    let frame = Ethernet::new(Mac([2; 6]), Mac([4; 6])).ip(&ip, &Transport::tcp(40_000, port, SYN));
    Tap::open(host, "tap0").send(&frame)
}

/// Root without these capabilities: the binary may be where only a true root can go.
fn without(agent: &Agent, capabilities: &str) -> Command {
    let copy = agent.write("sg-agent", "");
    fs::copy(binary(), &copy).expect("a copy of the agent");
    let mut command = Command::new("setpriv");
    command.arg(format!("--bounding-set={capabilities}")).arg(format!("--inh-caps={capabilities}"));
    command.arg("--").arg(copy);
    command
}

/// A kernel that says that it is old.
fn old_kernel(_: &Agent) -> Command {
    let mut command = Command::new("setarch");
    command.args([consts::ARCH, "--uname-2.6"]).arg(binary());
    command
}

/// A directory like any other.
fn no_file_system(agent: &Agent) -> Command {
    let place = agent.write("file", "").with_file_name("");
    let mut command = Command::new(binary());
    command.arg("--bpffs").arg(place);
    command
}

/// A kernel that was built without `bpf()`.
fn no_system_call(_: &Agent) -> Command {
    let mut command = Command::new(binary());
    // SAFETY: between fork and exec it makes system calls only.
    unsafe { command.pre_exec(forbid_bpf) };
    command
}

fn forbid_bpf() -> io::Result<()> {
    let instruction = |code: u32, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf, k };
    let mut filter = [
        // The number of the system call is the first word of `seccomp_data`.
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, libc::SYS_bpf as u32),
        instruction(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
        instruction(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program and its instructions live until the calls are over.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
    };
    if done { Ok(()) } else { Err(io::Error::last_os_error()) }
}
