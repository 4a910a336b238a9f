//! Embeds the BPF object: copies it to `OUT_DIR/sg-ebpf`, for `include_bytes_aligned!`.
//!
//! The object is the file that `SG_EBPF_OBJECT` names, else the one that `cargo xtask build` made. Without one the
//! copy is empty, so that checks, lints and docs need no BPF toolchain; an agent with an empty object cannot enforce.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

/// Names the object to embed; for packagers.
const OBJECT: &str = "SG_EBPF_OBJECT";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={OBJECT}");
    let out = PathBuf::from(variable("OUT_DIR"));
    let embedded = out.join("sg-ebpf");
    match object(&out) {
        Some(object) => {
            println!("cargo::rerun-if-changed={}", object.display());
            let named = |error| io::Error::other(format!("{}: {error}", object.display()));
            fs::copy(&object, embedded).map(drop).map_err(named)
        }
        None => {
            println!(
                "cargo::warning=no BPF object to embed: sg-agent will not enforce; run `cargo xtask build`"
            );
            fs::write(embedded, [])
        }
    }
}

fn object(out: &Path) -> Option<PathBuf> {
    if let Some(given) = env::var_os(OBJECT) {
        return Some(given.into());
    }
    let target = if variable("CARGO_CFG_TARGET_ENDIAN") == "big" { "bpfeb" } else { "bpfel" };
    let below = format!("bpf/{target}-unknown-none/release/sg-ebpf");
    let beside_us = target_dir(out).map(|directory| directory.join(&below));
    let of_the_workspace = Path::new(&variable("CARGO_MANIFEST_DIR")).join("../target").join(&below);
    let candidates: Vec<PathBuf> = beside_us.into_iter().chain([of_the_workspace]).collect();
    let found = candidates.iter().find(|candidate| candidate.is_file()).cloned();
    if found.is_none() {
        watch_for(&candidates[0]);
    }
    found
}

/// Makes cargo notice when `object` appears. Cargo takes a watched file that is missing for changed, every time; so
/// the directory that will hold it is watched, and made.
fn watch_for(object: &Path) {
    if let Some(directory) = object.parent()
        && fs::create_dir_all(directory).is_ok()
    {
        println!("cargo::rerun-if-changed={}", directory.display());
    }
}

/// The target directory above `TARGET[/TRIPLE]/PROFILE/build/…/out`.
fn target_dir(out: &Path) -> Option<&Path> {
    let directory = out.ancestors().find(|ancestor| ancestor.ends_with("build"))?.parent()?.parent()?;
    if directory.ends_with(variable("TARGET")) { directory.parent() } else { Some(directory) }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}
