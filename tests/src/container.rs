//! A Debian with a systemd of its own, in a container: namespaces for everything but users, all capabilities, a BPF file
//! system of its own.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::netns::Netns;

/// Longest wait for a system to come up or to go down.
const BOOT: Duration = Duration::from_secs(120);
/// How systemd-nspawn ends when the system inside wants to be started again (systemd-nspawn(1), `--keep-unit`).
const RESTART: i32 = 133;
const POLL: Duration = Duration::from_millis(50);

/// What systemd itself does on a host, and leaves to others in a container.
const BPFFS: &str = "[Unit]
DefaultDependencies=no
Before=local-fs.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/mount --mkdir -t bpf bpf /sys/fs/bpf
";

/// A container, up and running. It goes down on drop, and its files go with it.
#[derive(Debug)]
pub struct Container {
    files: TempDir,
    nspawn: Child,
    leader: u32,
}

impl Container {
    /// Unpacks the root file system in the archive `rootfs`, beside it, and boots it.
    ///
    /// # Panics
    /// If it does not come up.
    #[track_caller]
    pub fn boot(rootfs: &Path) -> Self {
        let files = TempDir::new_in(rootfs.parent().expect("a file")).expect("a directory");
        let unpacked = Command::new("tar").arg("-xf").arg(rootfs).arg("-C").arg(files.path()).status();
        assert!(unpacked.expect("tar").success(), "unpacking {}", rootfs.display());
        write(&files.path().join("etc/systemd/system/bpffs.service"), BPFFS);
        enable(files.path(), "bpffs.service", "local-fs.target");
        let mut container = Self { nspawn: spawn(files.path()), files, leader: 0 };
        container.wait_until_up();
        container
    }

    /// Runs a script of the shell inside.
    #[track_caller]
    pub fn try_run(&self, script: &str) -> Output {
        let mut enter = Command::new("nsenter");
        enter.args(["--mount", "--uts", "--ipc", "--net", "--pid", "--target", &self.leader.to_string()]);
        enter.args(["sh", "-c", script]).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        enter.output().expect("nsenter")
    }

    /// Runs a script of the shell inside; returns what it prints.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn run(&self, script: &str) -> String {
        let output = self.try_run(script);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{script}: {said}{}", String::from_utf8_lossy(&output.stderr));
        said
    }

    /// A property of a unit, as `systemctl show` has it.
    #[track_caller]
    pub fn property(&self, unit: &str, name: &str) -> String {
        self.run(&format!("systemctl show --value --property {name} {unit}")).trim().to_owned()
    }

    /// Where the file `name` of the container is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// Writes the file `name` of the container, whole or not at all, as editors do.
    #[track_caller]
    pub fn write(&self, name: &str, text: &str) {
        write(&self.path(name), text);
    }

    /// Has `unit` start with `target`.
    #[track_caller]
    pub fn enable(&self, unit: &str, target: &str) {
        enable(self.files.path(), unit, target);
    }

    /// Its network.
    #[track_caller]
    pub fn netns(&self) -> Netns {
        Netns::of_process(self.leader)
    }

    /// Restarts it, as a machine restarts: what was in memory, file systems and network included, is gone.
    ///
    /// # Panics
    /// If it does not come up again.
    #[track_caller]
    pub fn reboot(&mut self) {
        self.try_run("systemctl reboot");
        let status = ends(&mut self.nspawn).expect("it goes down");
        assert_eq!(status.code(), Some(RESTART), "systemd-nspawn: {status}");
        self.nspawn = spawn(self.files.path());
        self.wait_until_up();
    }

    /// Waits until process 1 has started everything.
    #[track_caller]
    fn wait_until_up(&mut self) {
        let end = Instant::now() + BOOT;
        loop {
            if let Some(leader) = leader(self.nspawn.id()) {
                self.leader = leader;
                let state = self.try_run("systemctl is-system-running");
                let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
                match state.as_str() {
                    "running" => return,
                    "degraded" => panic!("units failed: {}", self.run("systemctl --failed --no-pager")),
                    _ => {}
                }
            }
            if let Ok(Some(status)) = self.nspawn.try_wait() {
                panic!("systemd-nspawn: {status}; its words are above");
            }
            assert!(Instant::now() < end, "the container is not up after {BOOT:?}");
            thread::sleep(POLL);
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if thread::panicking() {
            let journal = self.try_run("journalctl --no-pager --boot --lines 60");
            eprintln!("{}", String::from_utf8_lossy(&journal.stdout));
        }
        // systemd-nspawn takes it for the power button.
        let pid = nix::unistd::Pid::from_raw(self.nspawn.id().cast_signed());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        if ends(&mut self.nspawn).is_none() {
            let _ = self.nspawn.kill();
            let _ = self.nspawn.wait();
        }
    }
}

/// Waits for the end of `nspawn`; `None` if it does not come.
fn ends(nspawn: &mut Child) -> Option<ExitStatus> {
    let end = Instant::now() + BOOT;
    while Instant::now() < end {
        if let Ok(Some(status)) = nspawn.try_wait() {
            return Some(status);
        }
        thread::sleep(POLL);
    }
    None
}

fn write(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::create_dir_all(path.parent().expect("a file")).expect("a directory");
    fs::write(&beside, text).and_then(|()| fs::rename(&beside, path)).expect("writing");
}

fn enable(root: &Path, unit: &str, target: &str) {
    let wants = root.join("etc/systemd/system").join(format!("{target}.wants"));
    fs::create_dir_all(&wants).expect("a directory");
    symlink(format!("../{unit}"), wants.join(unit)).expect("a link");
}

fn spawn(root: &Path) -> Child {
    let mut nspawn = Command::new("systemd-nspawn");
    nspawn.args(["--quiet", "--boot", "--private-network", "--register=no", "--keep-unit", "--console=pipe"]);
    nspawn.args(["--capability=all", "--system-call-filter=bpf"]);
    nspawn.arg(format!("--machine=sg-{}", std::process::id())).arg("--directory").arg(root);
    nspawn.env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "yes");
    nspawn.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("systemd-nspawn")
}

/// Process 1 of what `nspawn` runs.
fn leader(nspawn: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{nspawn}/task/{nspawn}/children")).ok()?;
    let leader = children.split_whitespace().next()?.parse().ok()?;
    let name = fs::read_to_string(format!("/proc/{leader}/comm")).ok()?;
    (name.trim() == "systemd").then_some(leader)
}
