//! The debugging log of the kernel side (aya-log).
//!
//! Its level is a constant of the programs: it is chosen when they are loaded, by `SG_KERNEL_LOG=debug` in the
//! environment of the first `apply`. At `off`, the default, nothing of it is left in the programs.

use std::{convert::Infallible, env};

use aya::programs::Xdp;
use aya_log::EbpfLogger;
use aya_obj::programs::XdpAttachType;
use rustix::event::{PollFd, PollFlags, poll};

use super::{
    error::{Attempt as _, Error},
    place::{Options, Place},
    programs,
};

const VARIABLE: &str = "SG_KERNEL_LOG";
/// aya-log's number for `debug`; below `error` nothing is logged.
const DEBUG: u8 = 4;
const OFF: u8 = 0;

/// The level to load programs with.
pub fn level() -> u8 {
    if env::var_os(VARIABLE).is_some_and(|word| word == "debug") { DEBUG } else { OFF }
}

/// Prints what the loaded programs log to standard error, until the process ends.
pub fn follow(options: &Options) -> Result<Infallible, Error> {
    let pin = Place::find(options)?.pins().join(programs::XDP);
    let what = || format!("following the kernel side's log (was it loaded with {VARIABLE}=debug?)");
    let program = Xdp::from_pin(&pin, XdpAttachType::Interface).map_err(|_| Error::NotLoaded)?;
    let id = program.info().attempt(what)?.id();
    // Of its own, whatever the agent's log level.
    let printer = env_logger::Builder::new().filter_level(log::LevelFilter::Debug).build();
    let mut logger = EbpfLogger::init_from_id_with_logger(id, printer).attempt(what)?;
    loop {
        poll(&mut [PollFd::new(&logger, PollFlags::IN)], None).attempt(what)?;
        logger.flush();
    }
}
