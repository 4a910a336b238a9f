//! Pins that somebody has removed: everything that they held is held by this process, and pinned again.

use aya::maps::{MapData, MapInfo};

use super::{
    error::{Attempt as _, Error, OfFile as _},
    kernel::Kernel,
    maps,
    place::Place,
    private, programs,
};

/// Pins again what is not pinned any more of tables and programs; tells what it was. Links are not among them: without
/// its pin a link is gone, and its program off the hook.
pub(super) fn repair(place: &Place, kernel: &mut Kernel) -> Result<Vec<&'static str>, Error> {
    let (pins, links) = (place.pins(), place.links());
    if !links.is_dir() {
        private::create_dir_all(&links).of_file(&links)?;
    }
    let mut missing: Vec<&'static str> =
        programs::NAMES.into_iter().filter(|name| !pins.join(name).exists()).collect();
    for name in &missing {
        kernel.programs.pin(name, &pins.join(name))?;
    }
    let tables: Vec<&'static str> =
        maps::NAMES.into_iter().filter(|name| !pins.join(name).exists()).collect();
    if !tables.is_empty() {
        for id in kernel.programs.tables()? {
            let what = || format!("opening table number {id}");
            let info = MapInfo::from_id(id).attempt(what)?;
            let found = tables.iter().find(|name| info.name_as_str() == Some(name));
            if let Some(name) = found.filter(|name| !pins.join(name).exists()) {
                let table = MapData::from_id(id).attempt(what)?;
                table.pin(pins.join(name)).attempt(|| format!("pinning table {name}"))?;
            }
        }
    }
    missing.extend(tables);
    Ok(missing)
}
