//! Lets `src/memory.rs` come before the functions of the same names in aya-ebpf.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg-bins=-Wl,--allow-multiple-definition");
}
