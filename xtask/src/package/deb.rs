//! The archive: control files, and `dpkg-deb`, which any Debian has.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use super::content::files;
use crate::{
    exec::{exec, output},
    place::workspace,
};

/// Whom the package names.
pub const MAINTAINER: &str = "The sg contributors <sg-firewall@users.noreply.github.com>";

/// Run by dpkg at installation and removal.
const SCRIPTS: &[&str] = &["postinst", "prerm", "postrm"];
/// What an upgrade never overwrites.
const CONFIGURATION: &str = "/etc/sg/policy.yaml\n";

/// Makes `sg-agent_VERSION_ARCHITECTURE.deb` in `place` of what is below `stage`.
pub fn build(stage: &Path, version: &str, place: &Path) -> Result<PathBuf> {
    let architecture = architecture()?;
    let sums = md5sums(stage)?;
    let control = control(stage, version, &architecture)?;
    let meta = stage.join("DEBIAN");
    fs::create_dir_all(&meta)?;
    for (name, text) in [("control", control.as_str()), ("conffiles", CONFIGURATION), ("md5sums", &sums)] {
        write(&meta.join(name), text, 0o644)?;
    }
    let scripts = workspace()?.join("packaging/debian");
    for name in SCRIPTS {
        write(&meta.join(name), &fs::read_to_string(scripts.join(name)).context(*name)?, 0o755)?;
    }
    let package = place.join(format!("sg-agent_{version}_{architecture}.deb"));
    exec(Command::new("dpkg-deb").args(["--root-owner-group", "-Zxz", "--build"]).arg(stage).arg(&package))?;
    Ok(package)
}

fn architecture() -> Result<String> {
    let said = output(Command::new("dpkg").arg("--print-architecture"));
    Ok(said
        .context("`dpkg --print-architecture` fails: packages are made on Debian or Ubuntu")?
        .trim()
        .to_owned())
}

fn control(stage: &Path, version: &str, architecture: &str) -> Result<String> {
    let template =
        fs::read_to_string(workspace()?.join("packaging/debian/control.in")).context("control.in")?;
    let binary = fs::read(stage.join("usr/bin/sg-agent"))?;
    let libc = oldest_libc(&binary).context("the program names no version of the C library")?;
    let bytes: u64 = files(stage)?.iter().map(|path| fs::metadata(path).map_or(0, |file| file.len())).sum();
    let filled = template
        .replace("@VERSION@", version)
        .replace("@ARCHITECTURE@", architecture)
        .replace("@MAINTAINER@", MAINTAINER)
        .replace("@SIZE@", &bytes.div_ceil(1024).to_string())
        .replace("@LIBC@", &libc);
    ensure!(
        !filled.contains('@') || filled.matches('@').count() == MAINTAINER.matches('@').count(),
        "{filled}"
    );
    Ok(filled)
}

/// The oldest C library that has every symbol that `binary` asks for: the newest `GLIBC_2.x` among its versions.
fn oldest_libc(binary: &[u8]) -> Option<String> {
    const MARK: &[u8] = b"GLIBC_2.";
    let minor = |at: &[u8]| {
        let digits = at.iter().take_while(|byte| byte.is_ascii_digit()).count();
        std::str::from_utf8(&at[..digits]).ok()?.parse::<u32>().ok()
    };
    let asked = binary.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK);
    asked.filter_map(|(at, _)| minor(&binary[at + MARK.len()..])).max().map(|minor| format!("2.{minor}"))
}

fn md5sums(stage: &Path) -> Result<String> {
    let names: Vec<PathBuf> =
        files(stage)?.iter().filter_map(|path| path.strip_prefix(stage).ok().map(Path::to_owned)).collect();
    let hashed = names.iter().filter(|name| !name.starts_with("etc"));
    output(Command::new("md5sum").args(hashed).current_dir(stage)).context("md5sum")
}

fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    fs::write(path, text).with_context(|| path.display().to_string())?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_symbol_decides_how_old_a_c_library_may_be() {
        assert_eq!(oldest_libc(b"\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.9\0").as_deref(), Some("2.34"));
        assert_eq!(oldest_libc(b"none"), None);
        assert_eq!(oldest_libc(b"GLIBC_2.").as_deref(), None);
    }
}
