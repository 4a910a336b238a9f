//! Unsafe code is refused by the compiler everywhere in the agent; who may excuse a module from that is said here.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The kernel's tables as memory.
const EXCUSED: &str = "src/dataplane/memory.rs";

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn one_module_is_excused() {
    let mut all = Vec::new();
    sources(Path::new("src"), &mut all);
    let with = |word: &str| -> Vec<&Path> {
        let has = |path: &&PathBuf| fs::read_to_string(path).expect("a source file").contains(word);
        all.iter().filter(has).map(PathBuf::as_path).collect()
    };
    // The lint by its name: allowed, expected, or denied.
    let mut naming = with("unsafe_code");
    naming.sort();
    assert_eq!(naming, ["src/dataplane/memory.rs", "src/lib.rs", "src/main.rs"].map(Path::new));
    assert_eq!(with("unsafe {"), [Path::new(EXCUSED)]);
    let refusal = |path: &str| fs::read_to_string(path).expect("a source file");
    assert!(refusal("src/lib.rs").contains("\n#![deny(unsafe_code)]\n"));
    assert!(refusal("src/main.rs").contains("\n#![forbid(unsafe_code)]\n"));
}
