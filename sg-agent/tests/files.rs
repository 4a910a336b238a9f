//! Files that are not what they should be: refused quickly, with a name and a reason.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use sg_agent::policy::{self, Code, Loaded, model::Remote};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn write(path: &Path, text: impl AsRef<[u8]>) {
    fs::write(path, text).expect("the folder is writable");
}

/// Loads `path`, which must be refused with `code` and say `word`, without hanging.
fn refused(path: &Path, code: Code, word: &str) -> Loaded {
    let start = Instant::now();
    let loaded = policy::load(path);
    assert!(start.elapsed() < Duration::from_secs(60), "it took {:?}", start.elapsed());
    assert!(loaded.policy.is_none());
    let found = loaded.diagnostics.iter().any(|one| one.code == code && one.message.contains(word));
    assert!(found, "{code} with {word:?} is not in {:#?}", loaded.diagnostics);
    loaded
}

/// A37, Y29
#[test]
fn what_is_not_a_regular_file_is_refused_without_waiting() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let made = Command::new("mkfifo").arg(at("fifo")).status().expect("mkfifo is there");
    assert!(made.success());
    symlink("nobody", at("dangling")).expect("a link");
    symlink("circle", at("circle")).expect("a link");
    refused(&at("fifo"), Code::File, "not a regular file");
    refused(folder.path(), Code::File, "directory");
    refused(Path::new("/dev/zero"), Code::File, "not a regular file");
    refused(&at("dangling"), Code::File, "does not exist");
    refused(&at("circle"), Code::File, "circle");
    refused(&at("missing"), Code::File, "no such file");
}

/// Y29
#[test]
fn an_unreadable_file_is_refused() {
    let folder = folder();
    let path = folder.path().join("rules.yaml");
    write(&path, "version: 1\n");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).expect("permissions");
    // Root reads it all the same.
    if fs::read(&path).is_err() {
        refused(&path, Code::File, "permission denied");
    }
}

/// Y28
#[test]
fn a_huge_file_is_refused_unread() {
    let folder = folder();
    let path = folder.path().join("rules.yaml");
    let file = fs::File::create(&path).expect("a file");
    file.set_len(100 << 20).expect("a sparse file");
    refused(&path, Code::FileSize, "104857600");
}

/// A37
#[test]
fn too_many_values_are_refused() {
    let folder = folder();
    let path = folder.path().join("rules.yaml");
    write(&path, format!("[{}]\n", "a,".repeat(2_100_000)));
    refused(&path, Code::Nodes, "brackets");
}

/// Y30
#[test]
fn byte_order_mark_and_carriage_returns_are_fine() {
    let folder = folder();
    let path = folder.path().join("rules.yaml");
    write(&path, "\u{feff}version: 1\r\nsecurity_groups:\r\n  web: {}\r\n");
    let loaded = policy::load(&path);
    assert!(loaded.is_ok(true), "{:#?}", loaded.diagnostics);
    assert_eq!(loaded.sources.line(Default::default(), 3), Some("  web: {}"));
}

fn with_list(folder: &Path, list: impl AsRef<[u8]>) -> Loaded {
    write(&folder.join("list.netset"), list);
    write(
        &folder.join("rules.yaml"),
        "version: 1\naddress_groups:\n  list: {file: list.netset, addresses: [10.0.0.0/8]}\n\
         security_groups:\n  web:\n    rules:\n      - {direction: ingress, protocol: udp, remote: \"address-group:list\"}\n",
    );
    policy::load(&folder.join("rules.yaml"))
}

#[test]
fn an_address_file_is_merged_sorted_and_freed_of_repeats() {
    let folder = folder();
    let loaded = with_list(
        folder.path(),
        "\u{feff}# list\r\n192.0.2.1 # one\r\n\r\n  2001:db8::/32\r\n10.0.0.0/8\r\n",
    );
    assert!(loaded.is_ok(true), "{:#?}", loaded.diagnostics);
    let policy = loaded.policy.expect("a policy");
    let prefixes: Vec<String> =
        policy.address_groups["list"].prefixes.iter().map(ToString::to_string).collect();
    assert_eq!(prefixes, ["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"]);
    assert_eq!(policy.groups["web"].rules[0].remote, Remote::AddressGroup("list".into()));
}

#[test]
fn faults_of_an_address_file_have_its_lines_and_columns() {
    let folder = folder();
    let loaded = with_list(folder.path(), "10.0.0.0/8\n  10.0.0.1/8 # host bits\nhello\n");
    let at: Vec<(u32, u32, u32)> =
        loaded.diagnostics.iter().map(|one| (one.span.line, one.span.column, one.span.end_column)).collect();
    assert_eq!(at, [(2, 3, 13), (3, 1, 6)]);
    assert!(loaded.sources.name(loaded.diagnostics[0].span.file).ends_with("list.netset"));
}

#[test]
fn a_large_address_file_is_read() {
    let folder = folder();
    let list: String =
        (0..120_000).map(|n| format!("10.{}.{}.{}\n", n >> 16, (n >> 8) & 255, n & 255)).collect();
    let loaded = with_list(folder.path(), list);
    assert_eq!(loaded.policy.expect("a policy").address_groups["list"].prefixes.len(), 120_001);
}

#[test]
fn a_file_of_another_kind_does_not_flood() {
    let folder = folder();
    let loaded = with_list(folder.path(), "x\n".repeat(1_003));
    assert_eq!(loaded.diagnostics.len(), 1_001);
    assert!(loaded.diagnostics.iter().any(|one| one.code == Code::More && one.message.starts_with("3 more")));
}

/// A37, Y10: a path out of the folder.
#[test]
fn an_address_file_stays_in_the_folder() {
    let outer = folder();
    write(&outer.path().join("secret.netset"), "10.0.0.0/8\n");
    let inner = outer.path().join("inner");
    fs::create_dir(&inner).expect("a folder");
    symlink("../secret.netset", inner.join("link.netset")).expect("a link");
    for name in ["../secret.netset", "link.netset", "/etc/hostname", "a/../../secret.netset"] {
        write(&inner.join("rules.yaml"), format!("version: 1\naddress_groups:\n  list: {{file: {name}}}\n"));
        let loaded = refused(&inner.join("rules.yaml"), Code::Path, name);
        assert_eq!(loaded.diagnostics[0].span.line, 3);
    }
}

/// Y24, Y29: a file that is not there, a folder, a circle of links.
#[test]
fn an_address_file_that_cannot_be_read_is_a_fault_where_it_is_named() {
    let folder = folder();
    fs::create_dir(folder.path().join("dir")).expect("a folder");
    symlink("circle", folder.path().join("circle")).expect("a link");
    for name in ["missing.netset", "dir", "circle"] {
        write(
            &folder.path().join("rules.yaml"),
            format!("version: 1\naddress_groups:\n  list: {{file: {name}}}\n"),
        );
        let loaded = refused(&folder.path().join("rules.yaml"), Code::File, name);
        assert_eq!((loaded.diagnostics[0].span.line, loaded.diagnostics[0].span.column), (3, 16));
    }
}

/// A37
#[test]
fn one_large_file_named_often_is_refused() {
    let folder = folder();
    write(&folder.path().join("list.netset"), "# filler\n".repeat(1 << 20));
    let groups: String = (0..20).map(|n| format!("  g{n}: {{file: list.netset}}\n")).collect();
    write(&folder.path().join("rules.yaml"), format!("version: 1\naddress_groups:\n{groups}"));
    refused(&folder.path().join("rules.yaml"), Code::FileSize, "together");
}
