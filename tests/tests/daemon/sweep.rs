//! Expired connections are freed while the daemon runs; live ones are not.

use sg_tests::{
    clock::Clock,
    daemon::Daemon,
    traffic::{PATIENT, udp},
};

use super::{Scene, live};

/// H18, C08: slots come back, whatever time a pass takes, and a connection that is live keeps its own.
#[test]
fn expired_connections_are_freed_and_live_ones_are_not() {
    let scene = Scene::new("80");
    let mut daemon = Daemon::start(&scene.agent);
    let client = scene.net.machine("client");
    for _ in 0..20 {
        assert!(udp(&client.ns, client.v4(), scene.at("web", 80), PATIENT));
    }
    let mut held = live::connect(&scene, scene.at("web", 80));
    assert!(held.echoes(PATIENT));
    let used = || scene.agent.counters().loaded.kernel.table_use(0).expect("the fill");
    let connections = || used().connections;
    assert_eq!(connections(), 21);
    // Beyond what datagrams live for, and within what an established connection does.
    Clock::of(&scene.net.host).advance_seconds(200);
    daemon.wait("a sweep", |_| (connections() == 1).then_some(()));
    assert!(held.echoes(PATIENT));
    assert_eq!(connections(), 1);
}
