//! Says when one of the files changes that the policy was read from.
//!
//! Directories are watched, not files: a file that is renamed into place is another one, and a link on the way may point
//! elsewhere. What a directory says is only a hint to look at the files; they are looked at now and then anyway, for file
//! systems that say nothing.

use std::{
    collections::BTreeSet,
    fs, io,
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::{
    fs::inotify::{self, CreateFlags, Reader, WatchFlags},
    io::Errno,
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use crate::policy::Text;

/// How long nothing may happen before a change is over: an editor writes, renames and sets modes.
const QUIET: Duration = Duration::from_millis(100);
/// How long a change may last.
const LONGEST: Duration = Duration::from_secs(2);
/// How often the files are looked at although nobody has said anything.
const PERIOD: Duration = Duration::from_secs(5);
/// How long nobody listens after something has happened.
const REST: Duration = Duration::from_millis(20);
/// File systems count time in steps: what changed this shortly before it was read may have changed after.
const GRAIN: Duration = Duration::from_millis(20);

/// What tells one state of a file from another: device, inode, size, time of the last change of anything.
type Stamp = (u64, u64, u64, (i64, i64));

/// The files.
#[derive(Debug)]
pub struct Watch {
    inotify: Arc<OwnedFd>,
    /// Something happened in the directories.
    stir: Arc<Notify>,
    /// When the files are looked at next.
    due: Instant,
    /// Since when there has been no quiet.
    began: Option<Instant>,
    directories: BTreeSet<PathBuf>,
    files: Vec<(PathBuf, Seen)>,
}

/// A file as it was when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// Like this; `None`: not there.
    Was(Option<Stamp>),
    /// It may have changed meanwhile.
    Unknown,
}

impl Watch {
    /// Watches nothing yet.
    pub fn new() -> io::Result<Self> {
        let inotify = Arc::new(inotify::init(CreateFlags::CLOEXEC)?);
        let stir = Arc::new(Notify::new());
        let (queue, heard) = (Arc::clone(&inotify), Arc::clone(&stir));
        // A descriptor of a kind that the runtime does not know: a thread waits for it.
        thread::Builder::new().name("files".to_owned()).spawn(move || listen(&queue, &heard))?;
        Ok(Self {
            inotify,
            stir,
            due: Instant::now(),
            began: None,
            directories: BTreeSet::new(),
            files: Vec::new(),
        })
    }

    /// Watches the files that were read at `read_at`, and no others.
    pub fn follow(&mut self, texts: &[Text], read_at: SystemTime) {
        let path = |text: &Text| PathBuf::from(&text.name);
        let seen = |path: PathBuf| (Seen::at(&path, read_at), path);
        self.files = texts.iter().map(path).map(seen).map(|(seen, path)| (path, seen)).collect();
        let wanted: BTreeSet<PathBuf> = self.files.iter().flat_map(|(path, _)| directories(path)).collect();
        let flags = WatchFlags::CLOSE_WRITE
            | WatchFlags::MODIFY
            | WatchFlags::ATTRIB
            | WatchFlags::MOVE
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        for directory in &wanted {
            // A directory that was watched and made anew is another one; who is watched already is not watched twice.
            if let Err(error) = inotify::add_watch(&self.inotify, directory, flags)
                && !self.directories.contains(directory)
            {
                log::warn!("{}: not watched ({error}), looked at every {PERIOD:?}", directory.display());
            }
        }
        self.directories = wanted;
    }

    /// Returns when a file is another than it was, and has been left alone for a moment. Who stops waiting loses nothing:
    /// what has been heard is remembered.
    pub async fn changed(&mut self) {
        loop {
            tokio::select! {
                () = self.stir.notified() => {
                    let now = Instant::now();
                    let began = *self.began.get_or_insert(now);
                    self.due = (now + QUIET).min(began + LONGEST);
                }
                () = sleep_until(self.due) => {
                    (self.began, self.due) = (None, Instant::now() + PERIOD);
                    if self.files.iter().any(|(path, seen)| *seen != Seen::Was(stamp(path))) {
                        return;
                    }
                }
            }
        }
    }
}

impl Seen {
    fn at(path: &Path, read_at: SystemTime) -> Self {
        let stamp = stamp(path);
        let is_settled = stamp.is_none_or(|(.., (seconds, nanoseconds))| {
            let since = Duration::new(seconds.max(0) as u64, nanoseconds.clamp(0, 999_999_999) as u32);
            UNIX_EPOCH + since + GRAIN < read_at
        });
        if is_settled { Self::Was(stamp) } else { Self::Unknown }
    }
}

/// Says of everything that happens that something does.
fn listen(inotify: &OwnedFd, stir: &Notify) {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = Reader::new(inotify, &mut buffer);
    while let Ok(_) | Err(Errno::INTR) = reader.next().map(drop) {
        stir.notify_one();
        if reader.is_buffer_empty() {
            // What happens in a busy directory is one event by now.
            thread::sleep(REST);
        }
    }
}

/// The directories in which a change may make `path` mean something else: its own, and that of the file that links lead
/// to.
fn directories(path: &Path) -> Vec<PathBuf> {
    let parent = |path: &Path| {
        let parent = path.parent().unwrap_or(Path::new(""));
        if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.to_owned() }
    };
    let target = path.canonicalize().ok().map(|target| parent(&target));
    [Some(parent(path)), target].into_iter().flatten().collect()
}

fn stamp(path: &Path) -> Option<Stamp> {
    let found = fs::metadata(path).ok()?;
    Some((found.dev(), found.ino(), found.size(), (found.ctime(), found.ctime_nsec())))
}
