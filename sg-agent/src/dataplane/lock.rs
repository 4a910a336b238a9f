//! The lock that keeps two writers apart. It lies beside the pins, so that writers with different state directories meet.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::{
        fd::AsRawFd as _,
        unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::fs::{FlockOperation, flock};

use super::{
    error::{Error, OfFile as _},
    private,
};

/// How long another writer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Held while tables are written. It goes when it is dropped, or with the process.
#[derive(Debug)]
pub struct Lock {
    directory: PathBuf,
    file: File,
}

impl Lock {
    /// Waits for other writers to finish. `directory` is made if it is not there.
    pub fn take(directory: &Path) -> Result<Self, Error> {
        let until = Instant::now() + PATIENCE;
        loop {
            private::create_dir_all(directory).of_file(directory)?;
            if let Some(lock) = try_lock(directory, until, "changing the policy")? {
                return Ok(lock);
            }
        }
    }

    /// Takes the lock of a directory that is there, without waiting for anybody. `doing` is what another holder is said to
    /// be doing.
    pub fn take_now(directory: &Path, doing: &str) -> Result<Self, Error> {
        match try_lock(directory, Instant::now(), doing)? {
            Some(lock) => Ok(lock),
            None => Err(Error::NotLoaded),
        }
    }

    /// Whether it keeps others away still: not if the directory was removed or replaced.
    pub fn is_held(&self) -> bool {
        let inode = self.file.metadata().ok().map(|held| held.ino());
        fs::metadata(&self.directory).is_ok_and(|there| inode == Some(there.ino()))
    }

    /// Removes the directory, if nothing is in it.
    pub fn remove(self) {
        let _ = fs::remove_dir(&self.directory);
    }
}

/// The lock; `None` if the directory was removed while it was waited for.
fn try_lock(directory: &Path, until: Instant, doing: &str) -> Result<Option<Lock>, Error> {
    let file = match File::open(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.of_file(directory)?,
    };
    while flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        if Instant::now() > until {
            return Err(Error::InUse(format!("{} is {doing}", holder_of(&file))));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let lock = Lock { directory: directory.to_owned(), file };
    Ok(lock.is_held().then_some(lock))
}

/// Keeps a second daemon out: held for as long as one runs.
#[derive(Debug)]
pub struct Only {
    _file: File,
}

impl Only {
    /// Locks the file at `path`, which is made if it is not there; fails at once if another process has it.
    pub fn take(path: &Path) -> Result<Self, Error> {
        if let Some(directory) = path.parent() {
            private::create_dir_all(directory).of_file(directory)?;
        }
        // What is open for writing keeps a file system from being made read-only.
        drop(File::options().create(true).append(true).mode(0o600).open(path).of_file(path)?);
        let file = File::open(path).of_file(path)?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let holder = holder_of(&file);
            return Err(Error::InUse(format!(
                "{holder} is the daemon here already, with {} locked: stop it first",
                path.display()
            )));
        }
        Ok(Self { _file: file })
    }
}

/// Who holds the lock of a file, in words.
fn holder_of(file: &File) -> String {
    // More locks than fit a page come in several parts, and what is let go in between moves one out of sight.
    let holder = identity(file).and_then(|identity| (0..8).find_map(|_| holder(&locks().ok()?, &identity)));
    holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

/// All locks of files: `/proc/locks`, a page at a time. [`fs::read_to_string`] would begin with 32 bytes, for which the kernel
/// looks at the first lock alone, and misses the second if the first is let go meanwhile (`fs/seq_file.c`, `seq_read_iter`).
fn locks() -> io::Result<String> {
    let mut text = String::with_capacity(1 << 16);
    File::open("/proc/locks")?.read_to_string(&mut text)?;
    Ok(text)
}

/// What `/proc/locks` calls a file: device and inode as its file system has them, which on overlayfs and btrfs are not those
/// of stat(2) (`fs/locks.c`, `lock_get_status`; proc_pid_fdinfo(5), proc_pid_mountinfo(5)).
fn identity(file: &File) -> Option<String> {
    let about = fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).ok()?;
    let field = |name| about.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let device =
        fs::read_to_string("/proc/self/mountinfo").ok().and_then(|mounts| device(&mounts, field("mnt_id:")?));
    // After chroot(2) not every mount is listed.
    let of_stat = |device| (rustix::fs::major(device), rustix::fs::minor(device));
    let (major, minor) = device.or_else(|| Some(of_stat(file.metadata().ok()?.dev())))?;
    Some(format!("{major:02x}:{minor:02x}:{}", field("ino:")?))
}

/// The device of a mount: `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw`.
fn device(mounts: &str, mount: &str) -> Option<(u32, u32)> {
    let mut words =
        mounts.lines().map(str::split_whitespace).find(|words| words.clone().next() == Some(mount))?;
    let (major, minor) = words.nth(2)?.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Who holds the lock of a file, as `/proc/locks` tells (proc_locks(5)): `1: FLOCK ADVISORY WRITE 708 00:13:16 0 EOF`.
fn holder(locks: &str, identity: &str) -> Option<u32> {
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, pid, file, ..] = words[..] else { return None };
        (file == identity).then(|| pid.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    use super::*;

    #[test]
    fn one_writer_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("sg");
        let lock = Lock::take(&directory).unwrap();
        let other = Lock::take_now(&directory, "changing the policy");
        let complaint = other.unwrap_err().to_string();
        assert!(complaint.ends_with(" is changing the policy"), "{complaint}");
        lock.remove();
        assert!(!directory.exists());
        drop(Lock::take(&directory).unwrap());
    }

    #[test]
    fn one_daemon_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("run/control.lock");
        let first = Only::take(&path).unwrap();
        let complaint = Only::take(&path).unwrap_err();
        assert_eq!(complaint.exit_code(), 4);
        let words = format!("process {} is the daemon here already", std::process::id());
        assert!(complaint.to_string().starts_with(&words), "{complaint}");
        drop(first);
        Only::take(&path).unwrap();
    }

    #[test]
    fn the_holder_of_a_lock_is_named() {
        let locks =
            "1: POSIX  ADVISORY  WRITE 5 00:13:16 0 EOF\n2: FLOCK  ADVISORY  WRITE 708 00:13:16 0 EOF\n";
        assert_eq!(holder(locks, "00:13:16"), Some(708));
        assert_eq!((holder(locks, "00:13:17"), holder(locks, "00:14:16")), (None, None));
    }

    #[test]
    fn the_device_of_a_mount_is_told() {
        let mounts =
            "36 35 98:0 / / rw - ext4 /dev/vda rw\n360 35 0:44 /a /b rw shared:9 - btrfs /dev/vdb rw\n";
        assert_eq!(
            ["36", "360", "35"].map(|mount| device(mounts, mount)),
            [Some((98, 0)), Some((0, 44)), None]
        );
    }

    #[test]
    fn the_holder_is_named_while_others_let_go() {
        let parent = tempfile::tempdir().unwrap();
        let is_over = AtomicBool::new(false);
        let churn = &|name| {
            while !is_over.load(Relaxed) {
                drop(Only::take(&parent.path().join(name)).unwrap());
            }
        };
        let held = Only::take(&parent.path().join("held")).unwrap();
        let identity = identity(&held._file).unwrap();
        let named = std::thread::scope(|scope| {
            for name in ["a", "b", "c"] {
                scope.spawn(move || churn(name));
            }
            let named = (0..2_000).filter(|_| holder(&locks().unwrap(), &identity).is_some()).count();
            is_over.store(true, Relaxed);
            named
        });
        assert_eq!(named, 2_000);
    }
}
