//! Prometheus, which the dashboard and the alert rules are tested against: from the search path, or from the
//! distribution's package, unpacked into the target directory. It is not installed: its package would start a service,
//! and brings the pieces of a web site that no test looks at.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    exec::{exec, find_program, output},
    place::target_dir,
    setup::{Apt, say},
};

/// What the tests run, all of one Debian package.
const PROGRAMS: [&str; 2] = ["prometheus", "promtool"];
const PACKAGE: &str = "prometheus";

/// Set where there is no Prometheus, so that the tests that need it pass: without it, they fail.
pub const WITHOUT: &str = "SG_WITHOUT_PROMETHEUS";

/// Finds the programs, or fetches them.
pub fn provide() -> Result<()> {
    let place = target_dir()?.join("tools");
    if PROGRAMS.iter().all(|name| find_program(name).is_some() || unpacked(&place, name).is_file()) {
        say("found", "prometheus, promtool");
        return Ok(());
    }
    for program in ["apt-get", "dpkg-deb"] {
        find_program(program).with_context(|| format!("there is no {program} here to fetch it with"))?;
    }
    say(
        "fetch",
        &format!("{PACKAGE}: judges the dashboard and the alert rules; nothing is installed or started"),
    );
    let fetched = fetch(&place).or_else(|_| {
        Apt::new().refresh();
        fetch(&place)
    });
    fetched?;
    match PROGRAMS.iter().find(|name| output(Command::new(unpacked(&place, name)).arg("--version")).is_none())
    {
        Some(name) => bail!("{name} was fetched, but it does not run"),
        None => Ok(()),
    }
}

/// Where a program of the package is once that is unpacked; the tests look there too.
fn unpacked(place: &Path, program: &str) -> PathBuf {
    place.join("usr/bin").join(program)
}

/// Fetches the package (apt checks its signed sums) and unpacks it.
fn fetch(place: &Path) -> Result<()> {
    let archive = place.join("archive");
    fs::create_dir_all(&archive)?;
    let mut apt = Command::new("apt-get");
    apt.args(["download", "-q", "-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20", PACKAGE]);
    exec(apt.current_dir(&archive))?;
    let found = fs::read_dir(&archive)?.filter_map(|entry| Some(entry.ok()?.path()));
    let package = found.max().context("apt-get has left no package")?;
    exec(Command::new("dpkg-deb").arg("--extract").arg(package).arg(place))?;
    Ok(fs::remove_dir_all(archive)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_where_the_package_has_them() {
        assert_eq!(unpacked(Path::new("/t/tools"), "promtool"), Path::new("/t/tools/usr/bin/promtool"));
    }
}
