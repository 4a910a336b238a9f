//! Pinned links: a program stays on its hook for as long as the pin is there, whoever made it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use aya::programs::{
    SchedClassifier, TcAttachType,
    links::{FdLink, LinkType, PinnedLink},
};

use super::{
    error::{Attempt as _, Error, OfFile as _},
    grace::Haste,
    interfaces::{self, Device},
    load,
};

/// Links looked at together: each is an open file.
const CHUNK: usize = 256;
/// How long a detached program is waited for: a grace period and a work queue.
const PATIENCE: Duration = Duration::from_secs(2);

/// Which hook of a device a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// Receive.
    Rx,
    /// Transmit.
    Tx,
    /// Receive, while the program there is replaced.
    Cover,
    /// Either, while ours is put in front of the others.
    Front,
}

impl Side {
    const ALL: [Self; 4] = [Self::Rx, Self::Tx, Self::Cover, Self::Front];

    fn name(self) -> &'static str {
        match self {
            Self::Rx => "rx",
            Self::Tx => "tx",
            Self::Cover => "cover",
            Self::Front => "front",
        }
    }
}

/// A pinned link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub id: u32,
    /// Number of its program.
    pub program: u32,
    /// Its pin.
    pub path: PathBuf,
    /// The device that it is on; 0 if that is gone.
    pub ifindex: u32,
    /// Whether it is a TCX link; else an XDP one.
    pub is_tcx: bool,
}

/// Pin of the link of `slot`.
pub fn pin(links: &Path, slot: u32, side: Side) -> PathBuf {
    links.join(format!("{slot}-{}", side.name()))
}

fn parse(name: &str) -> Option<(u32, Side)> {
    let (slot, name) = name.split_once('-')?;
    let side = Side::ALL.into_iter().find(|side| side.name() == name)?;
    Some((slot.parse().ok()?, side))
}

/// Links by slot and hook.
pub type Links = BTreeMap<(u32, Side), Link>;

/// The links pinned in `directory`.
pub fn links(directory: &Path) -> Result<Links, Error> {
    let entries = fs::read_dir(directory).of_file(directory)?;
    read(entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
}

/// The links pinned at `paths`; those that are not pinned any more are left out.
pub fn read(paths: Vec<PathBuf>) -> Result<Links, Error> {
    let mut found = BTreeMap::new();
    for chunk in paths.chunks(CHUNK) {
        let opened = chunk.iter().map(|path| open(path)).collect::<Result<Vec<_>, _>>()?;
        let devices = devices_of_links()?;
        for (path, link) in chunk.iter().zip(&opened) {
            let key = path.file_name().and_then(|name| parse(name.to_str()?));
            let (Some(key), Some(link)) = (key, link) else { continue };
            let mut link = about(link, path)?;
            link.ifindex = devices.get(&link.id).copied().unwrap_or(0);
            found.insert(key, link);
        }
    }
    Ok(found)
}

/// The link `link`, pinned at `path`, but for its device.
fn about(link: &FdLink, path: &Path) -> Result<Link, Error> {
    let what = || format!("reading link {}", path.display());
    let info = link.info().attempt(what)?;
    let is_tcx = info.link_type().attempt(what)? == LinkType::Tcx;
    Ok(Link { id: info.id(), program: info.program_id(), path: path.to_owned(), ifindex: 0, is_tcx })
}

/// Pins a link to a program on the device with index `ifindex`.
pub fn keep(link: FdLink, path: &Path, ifindex: u32) -> Result<Link, Error> {
    let about = about(&link, path)?;
    link.pin(path).attempt(|| format!("pinning link {}", path.display()))?;
    Ok(Link { ifindex, ..about })
}

/// Gives a link another pin.
pub fn rename(link: Link, path: &Path) -> Result<Link, Error> {
    fs::rename(&link.path, path).of_file(path)?;
    Ok(Link { path: path.to_owned(), ..link })
}

/// The link at a pin; `None` if there is none.
fn open(path: &Path) -> Result<Option<FdLink>, Error> {
    match PinnedLink::from_pin(path) {
        Err(_) if !path.exists() => Ok(None),
        opened => opened.map(|link| Some(link.into())).attempt(|| format!("opening link {}", path.display())),
    }
}

/// The device of every link that this process has open, by the link's number: the kernel tells it in fdinfo.
fn devices_of_links() -> Result<BTreeMap<u32, u32>, Error> {
    let directory = Path::new("/proc/self/fdinfo");
    let entries = fs::read_dir(directory).of_file(directory)?;
    let texts = entries.filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok());
    Ok(texts.filter_map(|text| device_of_link(&text)).collect())
}

fn device_of_link(fdinfo: &str) -> Option<(u32, u32)> {
    let field = |name: &str| fdinfo.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    Some((field("link_id:")?, field("ifindex:")?))
}

/// Takes programs off their hooks and returns when they are.
pub fn detach<'a>(links: impl IntoIterator<Item = &'a Link> + Clone) -> Result<(), Error> {
    let _haste = Haste::make();
    for link in links.clone() {
        load::remove_file(&link.path)?;
    }
    // The kernel lets go of a link that is not pinned any more some time later.
    let until = Instant::now() + PATIENCE;
    while !are_gone(links.clone())? && Instant::now() < until {
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn are_gone<'a>(links: impl IntoIterator<Item = &'a Link> + Clone) -> Result<bool, Error> {
    if links.clone().into_iter().all(|link| link.ifindex == 0) {
        return Ok(true);
    }
    let devices = interfaces::list()?;
    let device = |link: &Link| devices.iter().find(|device| device.ifindex == link.ifindex);
    let on_devices = links.into_iter().filter_map(|link| Some((link, device(link)?)));
    let (tcx, xdp): (Vec<_>, Vec<_>) = on_devices.partition(|(link, _)| link.is_tcx);
    Ok(!xdp.iter().any(|(_, device)| device.xdp.is_some())
        && !tcx.iter().any(|(link, device)| runs(link, device)))
}

/// Whether a TCX program is on its hook. Its link's number goes before it does.
fn runs(link: &Link, device: &Device) -> bool {
    [TcAttachType::Ingress, TcAttachType::Egress].into_iter().any(|hook| {
        // An error: a program is on its way, ours or not.
        SchedClassifier::query_tcx(&device.name, hook)
            .map_or(true, |(_, programs)| programs.iter().any(|program| program.id() == link.program))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_of_links_are_found_again() {
        let path = pin(Path::new("/links"), 12, Side::Tx);
        assert_eq!(path, Path::new("/links/12-tx"));
        assert_eq!(parse("12-tx"), Some((12, Side::Tx)));
        assert_eq!(parse("3-rx"), Some((3, Side::Rx)));
        assert_eq!((parse("x-rx"), parse("3-sx"), parse("3")), (None, None, None));
    }

    #[test]
    fn the_device_of_a_link_is_read_from_fdinfo() {
        let text = "pos:\t0\nflags:\t02\nlink_type:\txdp\nlink_id:\t7\nprog_id:\t9\nifindex:\t14\n";
        assert_eq!(device_of_link(text), Some((7, 14)));
        assert_eq!(device_of_link("pos:\t0\n"), None);
    }
}
