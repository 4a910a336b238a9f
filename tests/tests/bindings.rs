//! Bindings made by `attach`, and groups that are in use.

use sg_tests::{
    agent::{Agent, Run},
    netns::Netns,
};

struct Scene {
    host: Netns,
    agent: Agent,
}

/// These groups, and `tap0` bound to `web`.
fn policy(groups: &[&str]) -> String {
    file(groups, &["tap0"])
}

fn file(groups: &[&str], interfaces: &[&str]) -> String {
    let groups: String = groups.iter().map(|name| format!("  {name}: {{rules: []}}\n")).collect();
    let entry = |name: &&str| format!("  - {{name: \"{name}\", role: guest, groups: [web]}}\n");
    let entries: String = interfaces.iter().map(entry).collect();
    format!("version: 1\nsecurity_groups:\n{groups}interfaces:\n{entries}")
}

impl Scene {
    fn with(policy: &str) -> Self {
        let host = Netns::with_devices(&["tap0", "tap1", "tap2"]);
        let agent = Agent::new(&host);
        agent.apply(policy);
        Self { host, agent }
    }

    #[track_caller]
    fn does(&self, command: &str) -> Run {
        let run = self.agent.run(&command.split_whitespace().collect::<Vec<_>>());
        assert_eq!(run.status, 0, "{command}: {}{}", run.stdout, run.stderr);
        run
    }

    /// Interfaces that are enforced, with their groups.
    fn bound(&self) -> Vec<String> {
        let all = self.agent.status().interfaces.into_iter().filter(|one| one.enforced);
        all.map(|one| format!("{}: {}", one.name, one.groups.join(" "))).collect()
    }

    /// A policy that is refused because groups are in use: changes nothing.
    #[track_caller]
    fn refused(&self, policy: &str, said: &[&str]) {
        let before = (self.agent.status().generation, self.bound());
        let run = self.agent.try_apply(policy);
        assert_eq!(run.status, 4, "{}{}", run.stdout, run.stderr);
        for said in said {
            assert!(run.stderr.contains(said), "{said} in {}", run.stderr);
        }
        assert_eq!((self.agent.status().generation, self.bound()), before);
    }
}

#[test]
fn what_attach_binds_outlives_the_next_policy_file() {
    let scene = Scene::with(&policy(&["web", "db"]));
    scene.does("attach tap1 --group db");
    scene.agent.apply(&policy(&["web", "db", "more"]));
    assert_eq!(scene.bound(), ["tap0: web", "tap1: db"]);
    // A file that names the interface decides.
    scene.agent.apply(&file(&["web", "db"], &["tap0", "tap1"]));
    assert_eq!(scene.bound(), ["tap0: web", "tap1: web"]);
    scene.agent.apply(&policy(&["web", "db"]));
    assert_eq!(scene.bound(), ["tap0: web"]);
    // A pattern does not name it.
    scene.does("attach tap1 --group db");
    scene.agent.apply(&file(&["web", "db"], &["tap?"]));
    assert_eq!(scene.bound(), ["tap0: web", "tap1: db", "tap2: web"]);
    scene.agent.apply(&policy(&["web", "db"]));
    scene.does("detach tap1");
    scene.agent.apply(&policy(&["web", "db", "more"]));
    assert_eq!(scene.bound(), ["tap0: web"]);
}

#[test]
fn a_rollback_keeps_what_was_attached_since() {
    let scene = Scene::with(&policy(&["web", "db"]));
    scene.agent.apply(&policy(&["web", "db", "more"]));
    scene.does("attach tap1 --group db");
    scene.does("rollback");
    assert_eq!(scene.bound(), ["tap0: web", "tap1: db"]);
    let run = scene.agent.run(&["rollback"]);
    assert_eq!(run.status, 4, "attach is no change of the policy file: {}", run.stdout);
}

#[test]
fn a_group_in_use_cannot_be_taken_away() {
    let scene = Scene::with(&policy(&["web", "db", "spare"]));
    scene.does("attach tap1 --group db");
    scene.does("attach tap2 --group db --group web");
    scene.refused(&policy(&["web"]), &["`db`", "tap1, tap2, bound by `attach`: "]);
    // A group that nobody uses may go.
    scene.agent.apply(&policy(&["web", "db"]));
    scene.does("detach tap1");
    scene.does("detach tap2");
    scene.agent.apply(&policy(&["web"]));
    // Nor may the file drop the interface together with its group.
    let other = file(&["web"], &["tap1"]).replace("web", "app");
    scene.refused(
        &other,
        &["`web` is in use by tap0, which the file does not bind: ", "or `sg-agent detach tap0`"],
    );
    let run = scene.agent.try_apply(&file(&["web", "app"], &["tap1"]));
    assert!(run.stderr.ends_with("sg-agent: tap0 is not filtered any more\n"), "{}", run.stderr);
    scene.agent.apply(&other);
    assert_eq!(scene.bound(), ["tap1: app"]);
}

#[test]
fn an_interface_that_the_file_drops_is_named() {
    let scene = Scene::with(&file(&["web"], &["tap0", "tap1"]));
    let path = scene.agent.write("policy.yaml", &policy(&["web"]));
    let run = scene.does(&format!("apply --json {}", path.display()));
    assert_eq!(run.stderr, "sg-agent: tap1 is not filtered any more\n");
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(report["lost"], serde_json::json!(["tap1"]));
    scene.host.ip("link del tap0");
    let path = scene.agent.write("policy.yaml", &file(&["web"], &["tap2"]));
    let run = scene.does(&format!("apply {}", path.display()));
    assert_eq!(run.stderr, "", "a device that is gone is not missed");
}

#[test]
fn a_hook_may_detach_twice_and_not_misspell() {
    let scene = Scene::with(&policy(&["web"]));
    scene.does("attach tap1 --group web");
    scene.does("detach tap1");
    let generation = scene.agent.status().generation;
    assert_eq!(scene.does("detach tap1").stdout, "tap1: was not bound\n");
    assert_eq!(scene.agent.run(&["detach", "tpa1"]).status, 1);
    assert_eq!(scene.agent.run(&["attach", "tpa1"]).status, 3);
    assert_eq!(scene.agent.status().generation, generation);
}

#[test]
fn a_renamed_device_is_told_by_its_new_name() {
    let scene = Scene::with(&policy(&["web"]));
    scene.host.ip("link set tap0 down");
    scene.host.ip("link set tap0 name tap9");
    assert!(scene.does("status").stdout.contains("now called tap9"));
}

#[test]
fn a_device_that_is_gone_uses_nothing() {
    let scene = Scene::with(&policy(&["web", "db"]));
    scene.does("attach tap1 --group db");
    scene.host.ip("link del tap1");
    let run = scene.agent.try_apply(&policy(&["web"]));
    assert_eq!(run.status, 0, "{}", run.stderr);
    assert!(run.stderr.contains("tap1 is gone: its binding by `attach` is forgotten"), "{}", run.stderr);
    assert_eq!(scene.bound(), ["tap0: web"]);
}

#[test]
fn attaching_to_a_default_group_that_is_not_there_warns() {
    let scene = Scene::with(&policy(&["web"]));
    let run = scene.does("attach tap1");
    assert!(run.stderr.contains("there is no group `default`: nothing passes"), "{}", run.stderr);
    scene.agent.apply(&policy(&["web", "default"]));
    assert_eq!(scene.bound(), ["tap0: web", "tap1: default"]);
    assert_eq!(scene.does("attach tap2").stderr, "");
    scene.refused(&policy(&["web"]), &["`default`", "tap1, tap2, bound by `attach`"]);
}

/// What a pattern of the file binds is bound by it again once a hook has taken its own binding back.
#[test]
fn a_pattern_holds_again_after_a_detach() {
    let scene = Scene::with(&file(&["web", "db"], &["tap?"]));
    scene.does("attach tap1 --group db");
    assert_eq!(scene.bound(), ["tap0: web", "tap1: db", "tap2: web"]);
    let told = scene.does("detach tap1").stdout;
    assert!(told.starts_with("tap1: bound by the pattern tap? again"), "{told}");
    assert_eq!(scene.bound(), ["tap0: web", "tap1: web", "tap2: web"]);
    assert_eq!(scene.agent.run(&["detach", "tap1"]).status, 1);
}
