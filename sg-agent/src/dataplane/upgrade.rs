//! Other programs for tables that stay: an agent that was built with another BPF object takes over what an agent of the
//! same ABI has loaded.
//!
//! The programs are loaded with the tables in use, and take the place of the old ones link by link; each packet is judged
//! by the one or the other, with the same policy and connections. The object that programs were loaded from is told by the
//! name of a directory beside their pins (a BPF file system holds no files). It is renewed last: who was interrupted is
//! followed by somebody who does all of it again.
//!
//! Of another ABI nobody can read the tables. New ones are made beside them; once a policy is in force there, each link
//! gets our program and moves over ([`take_links`]), and the rest of the other version goes. No device is without a
//! program meanwhile. Connections are not carried over: those that are open are new to the new tables.

use std::{
    collections::BTreeMap,
    fs,
    hash::{DefaultHasher, Hasher as _},
    path::{Path, PathBuf},
};

use aya::programs::{
    ProgramError, SchedClassifier, Xdp, links::PinnedLink, tc::SchedClassifierLink, xdp::XdpLink,
};

use super::{
    error::{Attempt as _, Error, OfFile as _},
    grace::Haste,
    links::{self, Link, Side},
    load::{self, Sizes},
    place::Place,
    programs::Programs,
    store::Hooks,
};

/// What the name of the directory begins with.
const MARK: &str = "object-";

/// Says beside the pins in `directory` which object they were loaded from.
pub fn mark(directory: &Path) -> Result<(), Error> {
    let path = directory.join(current());
    fs::create_dir(&path).of_file(&path)
}

/// The name that stands for the embedded object. Another release of the hash makes another name: programs are then
/// replaced by the same.
fn current() -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(load::object());
    format!("{MARK}{:016x}", hasher.finish())
}

/// Replaces the pinned programs, if they were loaded from another object than ours; tells whether they were.
pub fn renew(place: &Place, sizes: &Sizes, hooks: &Hooks) -> Result<bool, Error> {
    let old = marks(&place.pins())?;
    if load::object().is_empty() || old.iter().any(|path| path.ends_with(current())) {
        return Ok(false);
    }
    if hooks.values().any(|hook| hook.has_clsact) {
        return Err(Error::InUse(
            "the loaded programs are of another build and hang on clsact filters, which cannot be replaced without a \
             gap: `sg-agent unload` first, which stops filtering, or keep the build"
                .to_owned(),
        ));
    }
    let unfinished = place.unfinished_pins();
    load::remove(&unfinished)?;
    fs::create_dir(&unfinished).of_file(&unfinished)?;
    let done =
        load::programs_for(&place.pins(), sizes, &unfinished).and_then(|()| take_over(place, &unfinished));
    load::remove(&unfinished)?;
    done?;
    for path in old {
        load::remove(&path)?;
    }
    mark(&place.pins())?;
    log::info!("the programs were replaced by those of this build");
    Ok(true)
}

/// Puts the programs pinned in `fresh` on every link, then in the place of the old pins.
fn take_over(place: &Place, fresh: &Path) -> Result<(), Error> {
    let mut programs = Programs::open(fresh)?;
    for ((_, side), link) in links::links(&place.links())? {
        update(&mut programs, side, &link)?;
    }
    for name in super::programs::NAMES {
        let path = place.pins().join(name);
        fs::rename(fresh.join(name), &path).of_file(&path)?;
    }
    Ok(())
}

/// The directories of other versions.
pub fn others(place: &Place) -> Vec<PathBuf> {
    let entries = fs::read_dir(place.root()).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path()).filter(|path| *path != place.pins() && is_version(path));
    paths.collect()
}

fn is_version(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.strip_prefix('v').is_some_and(|number| number.parse::<u32>().is_ok())
}

/// The links of other versions.
pub fn links_of_others(place: &Place) -> Result<Vec<Link>, Error> {
    let directories = others(place).into_iter().map(|other| other.join("links")).filter(|path| path.is_dir());
    let all: Vec<_> = directories.map(|directory| links::links(&directory)).collect::<Result<_, _>>()?;
    Ok(all.into_iter().flat_map(BTreeMap::into_values).collect())
}

/// Fails if another version is loaded that cannot be taken over from.
pub fn check_others(place: &Place, hooks: &Hooks) -> Result<(), Error> {
    match others(place).first() {
        Some(other) if hooks.values().any(|hook| hook.has_clsact) => Err(Error::InUse(format!(
            "{} is of another version and hangs on clsact filters, which cannot be replaced without a gap: \
             `sg-agent unload` first, which stops filtering",
            other.display()
        ))),
        _ => Ok(()),
    }
}

/// Takes the links of other versions over: our programs go on them, and their pins to those of the devices in `slots`
/// (slots by device index).
pub fn take_links(place: &Place, programs: &mut Programs, slots: &BTreeMap<u32, u32>) -> Result<(), Error> {
    for other in others(place) {
        let directory = other.join("links");
        let found = if directory.is_dir() { links::links(&directory)? } else { BTreeMap::new() };
        for ((_, side), link) in found {
            let Some(slot) = slots.get(&link.ifindex) else { continue };
            let pin = links::pin(&place.links(), *slot, side);
            if !pin.exists() {
                update(programs, side, &link)?;
                fs::rename(&link.path, &pin).of_file(&pin)?;
            }
        }
    }
    Ok(())
}

/// Removes what other versions have left.
pub fn remove_others(place: &Place) -> Result<(), Error> {
    others(place).iter().try_for_each(|other| load::remove(other))
}

/// Puts our program on `link`, if it is on a device still.
fn update(programs: &mut Programs, side: Side, link: &Link) -> Result<(), Error> {
    let _haste = Haste::make();
    let what = || format!("replacing the program of link {}", link.path.display());
    let pinned = PinnedLink::from_pin(&link.path).attempt(what)?;
    let opened = aya::programs::links::FdLink::from(pinned);
    match (link.is_tcx, side) {
        (false, _) => replace_xdp(&mut programs.xdp, opened.try_into().attempt(what)?),
        (true, Side::Tx) => replace(&mut programs.tcx_egress, opened.try_into().attempt(what)?),
        (true, Side::Rx | Side::Cover | Side::Front) => {
            replace(&mut programs.tcx_ingress, opened.try_into().attempt(what)?)
        }
    }
    .or_else(|error| if is_severed(&error) { Ok(()) } else { Err(error) })
    .attempt(what)
}

/// Whether the device of the link is gone.
fn is_severed(error: &ProgramError) -> bool {
    matches!(error, ProgramError::SyscallError(error) if error.io_error.raw_os_error() == Some(libc::ENOLINK))
}

fn replace_xdp(program: &mut Xdp, link: XdpLink) -> Result<(), ProgramError> {
    let id = program.attach_to_link(link)?;
    program.take_link(id).map(drop)
}

fn replace(program: &mut SchedClassifier, link: SchedClassifierLink) -> Result<(), ProgramError> {
    let id = program.attach_to_link(link)?;
    program.take_link(id).map(drop)
}

/// The directories that say which object the pins in `directory` were loaded from.
fn marks(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = fs::read_dir(directory).of_file(directory)?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let is_mark =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(MARK));
    Ok(paths.filter(is_mark).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_of_versions_are_told_from_others() {
        assert!(is_version(Path::new("/b/sg/v0")) && is_version(Path::new("/b/sg/v12")));
        assert!(!is_version(Path::new("/b/sg/v1-unfinished")) && !is_version(Path::new("/b/sg/links")));
    }

    #[test]
    fn a_mark_has_no_dot() {
        // bpffs refuses them.
        assert!(current().starts_with(MARK) && !current().contains('.'));
    }
}
