//! What this machine has: runs the compilers and the package manager, changes nothing.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    exec::{find_program, isolated, output},
    toolchain::{
        AptOffer, Compiler, LINKER_LLVMS, Origin, minor_of, read_candidate, read_nightlies, read_version,
    },
};

/// Every compiler that may be able to build the kernel side: the nightlies of rustup, and the system's own.
pub fn compilers() -> Vec<Compiler> {
    let nightlies = rustup_nightlies()
        .into_iter()
        .filter_map(|(name, directory)| compiler(Origin::RustupNightly(name), &directory.join("bin/rustc")));
    let system =
        system_rustcs().into_iter().filter_map(|rustc| compiler(Origin::System(rustc.clone()), &rustc));
    nightlies.chain(system).collect()
}

/// The host triple of the compiler that builds the host side.
pub fn host() -> Option<String> {
    let (_, _, host) = read_version(&output(Command::new("rustc").arg("-vV"))?)?;
    Some(host)
}

/// What apt offers, by the lists that it has now.
pub fn apt_offer() -> AptOffer {
    let candidate = |package: &str| output(isolated("apt-cache").args(["policy", package]));
    let offered = |package: &str| candidate(package).is_some_and(|policy| read_candidate(&policy).is_some());
    let rustc_web = candidate("rustc-web").as_deref().and_then(read_candidate).and_then(minor_of);
    AptOffer {
        rustc_web: rustc_web.filter(|_| offered("rust-web-src")),
        llvm_dev: LINKER_LLVMS.into_iter().filter(|llvm| offered(&format!("llvm-{llvm}-dev"))).collect(),
    }
}

/// The LLVM versions whose development files are installed.
pub fn installed_llvms() -> Vec<u32> {
    LINKER_LLVMS.into_iter().filter(|llvm| llvm_prefix(*llvm).join("bin/llvm-config").is_file()).collect()
}

/// Where Debian, Ubuntu and LLVM's own packages install LLVM `version`.
pub fn llvm_prefix(version: u32) -> PathBuf {
    format!("/usr/lib/llvm-{version}").into()
}

/// The version of the bpf-linker on the search path, if it runs.
pub fn bpf_linker() -> Option<String> {
    let printed = output(isolated("bpf-linker").arg("--version"))?;
    Some(printed.trim().strip_prefix("bpf-linker ")?.to_owned())
}

fn rustup_nightlies() -> Vec<(String, PathBuf)> {
    if find_program("rustup").is_none() {
        return Vec::new();
    }
    let list = output(isolated("rustup").args(["toolchain", "list", "-v"]));
    list.as_deref().map(read_nightlies).unwrap_or_default()
}

/// Debian's, and Ubuntu's versioned ones.
fn system_rustcs() -> Vec<PathBuf> {
    let versioned = fs::read_dir("/usr/lib").into_iter().flatten().filter_map(|entry| {
        let directory = entry.ok()?.path();
        directory.file_name()?.to_str()?.starts_with("rust-1.").then(|| directory.join("bin/rustc"))
    });
    let mut rustcs: Vec<PathBuf> = versioned.filter(|rustc| rustc.is_file()).collect();
    // The highest version first, whatever the order of the directory.
    rustcs.sort();
    rustcs.reverse();
    rustcs.insert(0, "/usr/bin/rustc".into());
    rustcs
}

fn compiler(origin: Origin, rustc: &Path) -> Option<Compiler> {
    let (minor, llvm, _) = read_version(&output(isolated(rustc).arg("-vV"))?)?;
    let sysroot = output(isolated(rustc).args(["--print", "sysroot"]))?;
    let core = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core/src/lib.rs");
    Some(Compiler { origin, minor, llvm, core_source: core.is_file() })
}
