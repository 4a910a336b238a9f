//! Where things live: pins on a BPF file system, the rest in a state directory; apart for every network namespace.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::mount::{MountFlags, mount};
use sg_common::ABI_VERSION;

use super::{
    error::{Error, OfFile as _},
    private,
};

/// Where a BPF file system is usually mounted.
pub const DEFAULT_BPFFS: &str = "/sys/fs/bpf";
/// Where state is usually kept.
pub const DEFAULT_STATE_DIR: &str = "/run/sg";

/// `BPF_FS_MAGIC` of linux/magic.h.
const BPFFS_MAGIC: u64 = 0xcafe_4a11;

/// Options that every verb takes.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub struct Options {
    /// BPF file system to pin in
    #[arg(long, value_name = "DIR", env = "SG_BPFFS", default_value = DEFAULT_BPFFS, global = true)]
    pub bpffs: PathBuf,
    /// Directory for what is to be remembered
    #[arg(long, value_name = "DIR", env = "SG_STATE_DIR", default_value = DEFAULT_STATE_DIR, global = true)]
    pub state_dir: PathBuf,
}

/// The directories of this network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    bpffs: PathBuf,
    /// Directory under the BPF file system: `sg`, or `sg-<inode>`.
    family: String,
    state: PathBuf,
    namespace: Namespace,
}

/// The network namespace of the calling thread: that of process 1, or another with this inode.
///
/// Told by the files of `/proc/…/net`, of which every namespace has its own: unlike `/proc/1/ns/net` they may be looked
/// at where process 1 is out of bounds (a daemon without `CAP_SYS_PTRACE`, a security module).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Namespace {
    Initial,
    Other(u64),
}

impl Namespace {
    fn part_of(self, directory: &Path) -> PathBuf {
        match self {
            Self::Initial => directory.to_owned(),
            Self::Other(inode) => directory.join(format!("netns-{inode}")),
        }
    }
}

impl Place {
    /// The directories that go with `options`. Nothing is made or mounted.
    pub fn find(options: &Options) -> Result<Self, Error> {
        let namespace = namespace()?;
        let hidden = options.bpffs == Path::new(DEFAULT_BPFFS) && !is_bpffs(&options.bpffs);
        let seen_by = |pid: &u32| Some(bpffs_of(*pid)).filter(|path| is_bpffs(path));
        let elsewhere = if hidden { outside().iter().find_map(seen_by) } else { None };
        let bpffs = elsewhere.unwrap_or_else(|| options.bpffs.clone());
        Ok(Self::of(bpffs, &options.state_dir, namespace))
    }

    fn of(bpffs: PathBuf, state: &Path, namespace: Namespace) -> Self {
        let family = match namespace {
            Namespace::Initial => "sg".to_owned(),
            Namespace::Other(inode) => format!("sg-{inode}"),
        };
        Self { bpffs, family, state: namespace.part_of(state), namespace }
    }

    /// The part of `directory` that is this network namespace's.
    pub fn of_namespace(&self, directory: &Path) -> PathBuf {
        self.namespace.part_of(directory)
    }

    /// The BPF file system.
    pub fn bpffs(&self) -> &Path {
        &self.bpffs
    }

    /// Whether the BPF file system is not mounted, as far as this process sees.
    pub fn is_out_of_sight(&self) -> bool {
        !is_bpffs(&self.bpffs)
    }

    /// Directory of everything that is pinned, of any version.
    pub fn root(&self) -> PathBuf {
        self.bpffs.join(&self.family)
    }

    /// Directory of the pins.
    pub fn pins(&self) -> PathBuf {
        self.root().join(format!("v{ABI_VERSION}"))
    }

    /// Directory where a set of pins is put together.
    pub fn unfinished_pins(&self) -> PathBuf {
        self.root().join(format!("v{ABI_VERSION}-unfinished"))
    }

    /// Directory of the pinned links.
    pub fn links(&self) -> PathBuf {
        self.pins().join("links")
    }

    /// Directory of the state.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Makes the directories, and mounts a BPF file system if there is none.
    pub fn prepare(&mut self) -> Result<(), Error> {
        if !is_bpffs(&self.bpffs) {
            self.bpffs = mounted(&self.bpffs)?;
        }
        private::create_dir_all(&self.root()).of_file(&self.root())?;
        private::create_dir_all(&self.state).of_file(&self.state)
    }
}

/// Mounts a BPF file system at the default place and tells where it is seen.
fn mounted(wanted: &Path) -> Result<PathBuf, Error> {
    if wanted != Path::new(DEFAULT_BPFFS) {
        return Err(Error::Environment(format!("{} is not a BPF file system", wanted.display())));
    }
    let missing = |why: String| {
        Error::Environment(format!(
            "no BPF file system at {DEFAULT_BPFFS} and none could be mounted ({why}): \
             mount one there, or name one with --bpffs"
        ))
    };
    let Some(&host) = outside().first() else {
        mount("bpf", DEFAULT_BPFFS, "bpf", MountFlags::empty(), Some(c"mode=0700"))
            .map_err(|error| missing(error.to_string()))?;
        return Ok(DEFAULT_BPFFS.into());
    };
    // Mounted in a namespace of our own it would go, and take the links with it, when we do.
    let target = host.to_string();
    let words = ["-t", &target, "-m", "mount", "-t", "bpf", "-o", "mode=0700", "bpf", DEFAULT_BPFFS];
    let output = Command::new("nsenter").args(words).output().map_err(|error| missing(error.to_string()))?;
    if !output.status.success() || !is_bpffs(&bpffs_of(host)) {
        return Err(missing(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(bpffs_of(host))
}

/// The BPF file system as process `pid` sees it.
fn bpffs_of(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/root{DEFAULT_BPFFS}"))
}

/// Processes that see other mounts than this one and are likely to see the host's, the likeliest first: process 1 and
/// our ancestors, from the oldest on, that we may look at. `ip netns exec` mounts a bare `/sys` over the host's, in a
/// namespace that goes when the command ends. Empty when we see what they see.
fn outside() -> Vec<u32> {
    let mounts = |pid: u32| inode(Path::new(&format!("/proc/{pid}/ns/mnt"))).ok();
    let own = mounts(std::process::id());
    let mut elders: Vec<u32> =
        std::iter::successors(parent(std::process::id()), |pid| parent(*pid)).collect();
    elders.reverse();
    if elders.first() != Some(&1) {
        elders.insert(0, 1);
    }
    let seen: Vec<(u32, u64)> = elders.into_iter().filter_map(|pid| Some((pid, mounts(pid)?))).collect();
    match seen.first() {
        Some((_, oldest)) if Some(*oldest) != own => {
            seen.into_iter().filter(|(_, mounts)| Some(*mounts) != own).map(|(pid, _)| pid).collect()
        }
        _ => Vec::new(),
    }
}

/// The parent of a process: the fourth field of `/proc/PID/stat` (proc_pid_stat(5)), counted from the end of the name.
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(1)?.parse().ok().filter(|pid| *pid > 0)
}

fn is_bpffs(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|found| found.f_type as u64 == BPFFS_MAGIC)
}

fn namespace() -> Result<Namespace, Error> {
    let own = Path::new("/proc/thread-self/net/dev");
    let init = Path::new("/proc/1/net/dev");
    if inode(own).of_file(own)? == inode(init).of_file(init)? {
        return Ok(Namespace::Initial);
    }
    let own = Path::new("/proc/thread-self/ns/net");
    Ok(Namespace::Other(inode(own).of_file(own)?))
}

fn inode(path: &Path) -> io::Result<u64> {
    Ok(fs::metadata(path)?.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_namespace_has_its_own_directories() {
        let place = |namespace| Place::of("/sys/fs/bpf".into(), Path::new("/run/sg"), namespace);
        let host = place(Namespace::Initial);
        assert_eq!(host.pins(), Path::new(&format!("/sys/fs/bpf/sg/v{ABI_VERSION}")));
        assert_eq!(host.state(), Path::new("/run/sg"));
        let other = place(Namespace::Other(4026532000));
        assert_eq!(other.links(), Path::new(&format!("/sys/fs/bpf/sg-4026532000/v{ABI_VERSION}/links")));
        assert_eq!(other.state(), Path::new("/run/sg/netns-4026532000"));
    }

    #[test]
    fn names_of_pins_have_no_dots() {
        // bpffs refuses them.
        let place = Place::of("/b".into(), Path::new("/run/sg"), Namespace::Initial);
        assert!(!place.unfinished_pins().to_string_lossy().contains('.'));
    }

    #[test]
    fn our_parent_is_our_parent() {
        assert_eq!(parent(std::process::id()), Some(std::os::unix::process::parent_id()));
    }

    #[test]
    fn a_directory_of_another_kind_is_not_mounted_over() {
        let error = mounted(Path::new("/tmp")).unwrap_err();
        assert_eq!(error.exit_code(), 3);
        assert!(error.to_string().contains("/tmp is not a BPF file system"));
    }
}
