//! The package on a clean Debian: makes a root file system once, and runs `tests/tests/package.rs` on it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result};

use crate::{
    exec::{cargo, exec},
    place::{target_dir, workspace},
    privilege::Privilege,
    setup, test,
};

const PROGRAMS: &[setup::Program] = &[
    ("systemd-nspawn", "systemd-container", "runs a Debian with its own systemd"),
    ("mmdebstrap", "mmdebstrap", "makes that Debian"),
    ("nsenter", "util-linux", "looks into it"),
];

/// The Debian that the package is tried on.
const SUITE: &str = "bookworm";
/// Beside what every Debian has.
const INCLUDE: &str = "--include=systemd,systemd-sysv,dbus,iproute2";

/// Installs `package` and then `next`; success is a test that passed.
pub fn run(package: &Path, next: &Path) -> Result<ExitCode> {
    setup::programs_for_a_verb(PROGRAMS)?;
    let mut cargo = cargo();
    cargo.args(["test", "--package", "sg-tests", "--test", "package", "--", "--ignored", "--nocapture"]);
    cargo.current_dir(workspace()?);
    cargo.env("SG_PACKAGE", package).env("SG_PACKAGE_NEXT", next).env("SG_ROOTFS", rootfs()?);
    test::as_root(&mut cargo)?;
    exec(&mut cargo).map(|()| ExitCode::SUCCESS)
}

/// The archive of a root file system, made if it is not there.
fn rootfs() -> Result<PathBuf> {
    let place = target_dir()?.join("package");
    let archive = place.join(format!("{SUITE}.tar"));
    if archive.is_file() {
        return Ok(archive);
    }
    let unfinished = place.join(format!("{SUITE}-unfinished.tar"));
    let mut make = Privilege::probe().command("mmdebstrap").context("a root file system is made as root")?;
    exec(make.args(["--variant=minbase", INCLUDE, SUITE]).arg(&unfinished))?;
    fs::rename(&unfinished, &archive).with_context(|| archive.display().to_string())?;
    Ok(archive)
}
