//! Network namespaces that live as long as their guard.
//!
//! A namespace is held by a file descriptor and has no name in the file system: when the guard, or the whole process,
//! goes, so does the namespace with every device in it. Any number of tests run beside each other.

use std::{
    fs::{self, File},
    io::ErrorKind,
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
    process::{self, Command, Output},
    sync::Arc,
    thread,
};

use nix::sched::{CloneFlags, setns, unshare};

use crate::progrun;

/// A network namespace. A clone is the same one.
#[derive(Clone, Debug)]
pub struct Netns {
    handle: Arc<File>,
}

impl Netns {
    /// A new namespace with its loopback up.
    ///
    /// # Panics
    /// Without the privilege to make one.
    #[track_caller]
    pub fn new() -> Self {
        let handle = in_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("a new network namespace (needs root)");
            File::open("/proc/thread-self/ns/net").expect("the namespace just made")
        });
        let namespace = Self { handle: Arc::new(handle) };
        namespace.forget_namesake();
        namespace.ip("link set lo up");
        namespace
    }

    /// Removes what a process that was killed has left pinned for a namespace that had the same number before.
    #[track_caller]
    fn forget_namesake(&self) {
        let pins = progrun::pins(self);
        match pins.parent().map(fs::remove_dir_all) {
            Some(Err(error)) if error.kind() != ErrorKind::NotFound => panic!("{}: {error}", pins.display()),
            _ => {}
        }
    }

    /// The namespace that process `pid` is in.
    ///
    /// # Panics
    /// If there is no such process.
    #[track_caller]
    pub fn of_process(pid: u32) -> Self {
        let path = format!("/proc/{pid}/ns/net");
        let handle = File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self { handle: Arc::new(handle) }
    }

    /// A new namespace with devices on which nothing moves but what a test sends: no ARP, no IPv6. The other end of
    /// each is named like it, with an `x` behind.
    #[track_caller]
    pub fn with_devices(names: &[&str]) -> Self {
        let namespace = Self::new();
        namespace.sysctl("ipv6/conf/default/disable_ipv6", "1");
        names.iter().for_each(|name| namespace.add_device(name));
        namespace
    }

    /// Adds a device like those of [`Self::with_devices`].
    #[track_caller]
    pub fn add_device(&self, name: &str) {
        self.ip(&format!(
            "link add {name} arp off type veth peer name {name}x
             link set {name}x arp off up
             link set {name} up"
        ));
    }

    /// Runs `work` in a thread of its own inside the namespace. Sockets that it opens stay in the namespace wherever
    /// they go. A panic of `work` goes on here.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        in_thread(|| {
            setns(&*self.handle, CloneFlags::CLONE_NEWNET).expect("entering a network namespace");
            work()
        })
    }

    /// Runs a command inside. The mounts stay as they are, so `/sys/fs/bpf` is the host's.
    #[track_caller]
    pub fn output(&self, command: &mut Command) -> Output {
        let started = self.enter(|| command.output());
        started.unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    /// Runs `ip`, one command per line of `script`.
    ///
    /// # Panics
    /// If a line fails.
    #[track_caller]
    pub fn ip(&self, script: &str) {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let output = self.output(Command::new("ip").args(line.split_whitespace()));
            let complaint = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "ip {line}: {}", complaint.trim());
        }
    }

    /// Sets the namespace's own value of the network setting `key`, such as `ipv4/ip_forward`.
    #[track_caller]
    pub fn sysctl(&self, key: &str, value: &str) {
        let path = Path::new("/proc/sys/net").join(key);
        let written = self.enter(|| fs::write(&path, value));
        written.unwrap_or_else(|error| panic!("{} = {value}: {error}", path.display()));
    }

    /// Where another process of this machine finds the namespace, as `nsenter --net=` and `ip … netns` take it.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", process::id(), self.handle.as_raw_fd()).into()
    }

    /// The namespace's number, which names the agent's directory of pins.
    pub fn inode(&self) -> u64 {
        self.handle.metadata().expect("the namespace's own file").ino()
    }

    /// Index of a device inside.
    #[track_caller]
    pub fn ifindex(&self, device: &str) -> u32 {
        let index = self.enter(|| nix::net::if_::if_nametoindex(device));
        index.unwrap_or_else(|error| panic!("device {device}: {error}"))
    }
}

impl Default for Netns {
    fn default() -> Self {
        Self::new()
    }
}

/// A thread's namespace ends with the thread, so nothing has to be put back.
fn in_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let done = thread::scope(|scope| scope.spawn(work).join());
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_seen_inside_only() {
        let namespace = Netns::new();
        namespace.ip("link add sgt0 type veth peer name sgt1");
        assert!(namespace.ifindex("sgt0") > 0);
        assert!(nix::net::if_::if_nametoindex("sgt0").is_err());
    }

    #[test]
    fn a_veth_reaches_into_a_neighbour() {
        let (here, there) = (Netns::new(), Netns::new());
        here.ip(&format!("link add near type veth peer name far netns {}", there.path().display()));
        assert!(there.ifindex("far") > 0);
        assert_ne!(here.inode(), there.inode());
    }

    #[test]
    fn settings_are_the_namespaces_own() {
        let before = fs::read_to_string("/proc/sys/net/ipv4/ip_forward").expect("ip_forward");
        let namespace = Netns::new();
        namespace.sysctl("ipv4/ip_forward", "1");
        assert_eq!(fs::read_to_string("/proc/sys/net/ipv4/ip_forward").expect("ip_forward"), before);
    }

    #[test]
    fn a_panic_inside_is_a_panic_outside() {
        let namespace = Netns::new();
        let outcome = std::panic::catch_unwind(|| namespace.enter(|| panic!("inside")));
        assert_eq!(outcome.expect_err("a panic").downcast_ref::<&str>(), Some(&"inside"));
    }
}
