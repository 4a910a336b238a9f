//! The debugging log of the kernel side (aya-log).
//!
//! Its level is a constant of the programs: it is chosen when they are loaded, by `SG_KERNEL_LOG=debug` in the
//! environment of the first `apply`. At `off`, the default, nothing of it is left in the programs.

use std::{convert::Infallible, env, path::Path};

use aya::{Ebpf, programs::Xdp};
use aya_log::EbpfLogger;
use aya_obj::programs::XdpAttachType;
use rustix::event::{PollFd, PollFlags, poll};

use super::{
    environment,
    error::{Attempt as _, Error},
    load, not_loaded,
    place::{Options, Place},
    programs,
};

const VARIABLE: &str = "SG_KERNEL_LOG";
/// aya-log's number for `debug`; below `error` nothing is logged.
const DEBUG: u8 = 4;
const OFF: u8 = 0;
/// aya-log's ring buffer.
const RING: &str = "AYA_LOGS";
/// It is pinned under this name, if the programs write to it.
const PIN: &str = "kernel_log";

/// The level to load programs with.
pub fn level() -> u8 {
    if env::var_os(VARIABLE).is_some_and(|word| word == "debug") { DEBUG } else { OFF }
}

/// Pins the ring buffer of programs loaded just now in `directory`, if they write to it.
pub fn mark(object: &Ebpf, directory: &Path) -> Result<(), Error> {
    let pin = directory.join(PIN);
    load::remove_file(&pin)?;
    match object.map(RING) {
        Some(ring) if level() != OFF => ring.pin(&pin).attempt(|| "pinning the kernel side's log".to_owned()),
        _ => Ok(()),
    }
}

/// Prints what the loaded programs log to standard error, until the process ends.
pub fn follow(options: &Options) -> Result<Infallible, Error> {
    environment::check()?;
    let place = Place::find(options)?;
    let pins = place.pins();
    if !pins.is_dir() {
        return Err(not_loaded(&place));
    }
    if !pins.join(PIN).exists() {
        return Err(Error::Environment(format!(
            "the programs were loaded without {VARIABLE}=debug, they log nothing: `sg-agent unload`, which stops \
             filtering, and `apply` with {VARIABLE}=debug in the environment"
        )));
    }
    let what = || "following the kernel side's log".to_owned();
    let program = Xdp::from_pin(pins.join(programs::XDP), XdpAttachType::Interface).attempt(what)?;
    let id = program.info().attempt(what)?.id();
    // Of its own, whatever the agent's log level.
    let printer = env_logger::Builder::new().filter_level(log::LevelFilter::Debug).build();
    let mut logger = EbpfLogger::init_from_id_with_logger(id, printer).attempt(what)?;
    loop {
        poll(&mut [PollFd::new(&logger, PollFlags::IN)], None).attempt(what)?;
        logger.flush();
    }
}
