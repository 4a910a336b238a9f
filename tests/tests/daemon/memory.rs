//! What outlives the daemon, and the host's own restart.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Command};

use sg_tests::daemon::{Daemon, config, keep_dir, reboot, state, write_config};

use super::{Scene, policy};

fn attach(daemon: &Daemon<'_>) {
    let answer =
        daemon.ask(r#"{"attach": {"interface": "tap1", "groups": ["web"], "addresses": ["10.77.2.10"]}}"#);
    assert_eq!(answer["status"], 0, "{answer}");
}

fn memory(scene: &Scene) -> PathBuf {
    keep_dir(&scene.agent).join(format!("netns-{}/policy.json", scene.net.host.inode()))
}

/// Waits until what is remembered names `word`.
#[track_caller]
fn until_remembered(daemon: &mut Daemon<'_>, scene: &Scene, word: &str) {
    let path = memory(scene);
    daemon.wait("its memory", |_| fs::read_to_string(&path).ok().filter(|text| text.contains(word)));
}

/// What `attach` and `apply` have changed is in force after a restart of the daemon and after one of the host.
#[test]
fn changes_outlive_restarts() {
    let scene = Scene::new("80");
    let mut daemon = Daemon::start(&scene.agent);
    attach(&daemon);
    let other = scene.agent.write("other.yaml", &policy("81"));
    let run = scene.agent.run(&["apply", &other.to_string_lossy()]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    scene.expect("web", [false, true]);
    scene.expect("db", [false, true]);
    until_remembered(&mut daemon, &scene, "tap1");
    let mode = fs::metadata(memory(&scene)).expect("the memory").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "a policy is nobody else's business");

    daemon.kill();
    drop(daemon);
    let mut daemon = Daemon::start(&scene.agent);
    scene.expect("web", [false, true]);
    scene.expect("db", [false, true]);

    daemon.kill();
    drop(daemon);
    reboot(&scene.agent);
    scene.expect("web", [true, true]);
    let mut daemon = Daemon::start(&scene.agent);
    scene.expect("web", [false, true]);
    scene.expect("db", [false, true]);

    // The file is another one: it is what counts, beside what was attached.
    daemon.kill();
    drop(daemon);
    reboot(&scene.agent);
    write_config(&scene.agent, &policy("80, 81"));
    let _daemon = Daemon::start(&scene.agent);
    scene.expect("web", [true, true]);
    scene.expect("db", [true, true]);
}

/// H06, H19: after a restart of the host too a bad file keeps what was in force.
#[test]
fn a_bad_file_after_a_reboot() {
    let scene = Scene::new("80");
    let mut daemon = Daemon::start(&scene.agent);
    until_remembered(&mut daemon, &scene, "version");
    daemon.kill();
    drop(daemon);
    reboot(&scene.agent);
    fs::remove_file(config(&scene.agent)).expect("the policy file");
    let daemon = Daemon::start(&scene.agent);
    assert!(daemon.log().contains("REFUSED"), "{}", daemon.log());
    scene.expect("web", [true, false]);
}

/// H17, E09: where nothing can be written a change is refused, clearly, and the old policy stays; it is made when there
/// is room again.
#[test]
fn a_full_disk_changes_nothing() {
    let scene = Scene::new("80");
    let directory = state(&scene.agent);
    fs::create_dir_all(&directory).expect("a directory");
    let small = |arguments: &[&str]| {
        let status = Command::new("mount").args(arguments).arg(&directory).status().expect("mount");
        assert!(status.success());
    };
    small(&["-t", "tmpfs", "-o", "size=256k", "tmpfs"]);
    let unmount = Unmount(directory.clone());
    let daemon = Daemon::start(&scene.agent);
    let filler = directory.join("filler");
    let mut size = 256 << 10;
    while size >= 512 {
        let chunk = vec![0u8; size];
        let grown = [fs::read(&filler).unwrap_or_default(), chunk].concat();
        if fs::write(&filler, grown).is_err() {
            size /= 2;
        }
    }
    let other = scene.agent.write("other.yaml", &policy("81"));
    let run = scene.agent.run(&["apply", &other.to_string_lossy()]);
    assert_eq!(run.status, 3, "{}{}", run.stdout, run.stderr);
    assert!(run.stderr.contains("No space left"), "{}", run.stderr);
    scene.expect("web", [true, false]);
    fs::remove_file(&filler).expect("the filler");
    small(&["-o", "remount,ro"]);
    let run = scene.agent.run(&["apply", &other.to_string_lossy()]);
    assert_eq!(run.status, 3, "{}{}", run.stdout, run.stderr);
    assert!(run.stderr.contains("Read-only file system"), "{}", run.stderr);
    scene.expect("web", [true, false]);
    small(&["-o", "remount,rw"]);
    assert_eq!(scene.agent.run(&["apply", &other.to_string_lossy()]).status, 0);
    scene.expect("web", [false, true]);
    drop(daemon);
    drop(unmount);
}

struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

/// E09: what cannot be remembered is in force all the same, and whoever changed it is told.
#[test]
fn a_change_that_cannot_be_remembered_is_told() {
    let scene = Scene::new("80");
    fs::write(keep_dir(&scene.agent), "in the way").expect("a file");
    fs::set_permissions(keep_dir(&scene.agent), fs::Permissions::from_mode(0o600)).expect("a file");
    let daemon = Daemon::start(&scene.agent);
    let other = scene.agent.write("other.yaml", &policy("81"));
    let run = scene.agent.run(&["apply", &other.to_string_lossy()]);
    assert!(run.status == 0 && run.stderr.contains("not remembered"), "{}{}", run.stdout, run.stderr);
    scene.expect("web", [false, true]);
    assert!(daemon.log().contains("not remembered"));
}
