//! Devices that are made anew while a change waits for its confirmation.

use std::time::Duration;

use sg_agent::metrics::{InForce, Totals};
use sg_tests::packets::flag::SYN;

use crate::{POLICY, Scene, parse, text};

/// `POLICY` on trial for a minute after one that lets in port 81 instead.
fn on_trial(devices: &[&str]) -> Scene {
    let mut scene = Scene::new(&POLICY.replace("ports: 80", "ports: 81"), devices);
    let (policy, within) = (parse(POLICY), Some(Duration::from_secs(60)));
    let done = scene.write(|writer| writer.apply_file(&policy, within).map_err(text));
    done.unwrap_or_else(|error| panic!("{error}"));
    scene
}

impl Scene {
    fn advance(&mut self, seconds: u64) {
        self.write(|writer| {
            let kernel = &writer.loaded.kernel;
            let control = kernel.control();
            kernel.set_clock_offset(control.clock_offset + seconds * u64::from(control.hz));
        });
    }

    /// As metrics have it.
    fn dropped_on_unknown_devices(&mut self) -> u64 {
        let read = self.write(|writer| {
            InForce::read(&writer.loaded, writer.place(), &mut Totals::default(), 1).map_err(text)
        });
        let unknown = read.unwrap_or_else(|error| panic!("{error}")).unknown;
        unknown.0.iter().flat_map(|direction| direction.dropped).sum()
    }
}

/// L01: both policies bind the device, the one now and the one that comes back.
#[test]
fn a_device_made_anew_during_a_trial_is_bound_by_both_policies() {
    let mut scene = on_trial(&["tap0"]);
    scene.open_connection("tap0", 1000);
    scene.host.ip("link del tap0");
    scene.host.add_device("tap0");
    assert_eq!(scene.reconcile().bound, ["tap0"]);
    assert_eq!(scene.enforced(), ["tap0"]);
    assert!(!scene.goes_on("tap0", 1000), "the connections were the other's");
    assert!(scene.lets_in("tap0", 1001, 80, SYN) && !scene.lets_in("tap0", 1002, 81, SYN));
    assert!(scene.reconcile().is_empty());
    // The kernel side takes the change back, and nobody has to be alive for it.
    scene.advance(61);
    assert!(!scene.lets_in("tap0", 1003, 80, SYN) && scene.lets_in("tap0", 1004, 81, SYN));
    scene.reconcile();
    assert_eq!(scene.enforced(), ["tap0"]);
    assert!(!scene.lets_in("tap0", 1005, 80, SYN) && scene.lets_in("tap0", 1006, 81, SYN));
    scene.is_settled();
}

/// The same where the change is confirmed.
#[test]
fn a_device_made_anew_during_a_trial_stays_bound_when_that_is_confirmed() {
    let mut scene = on_trial(&["tap0"]);
    scene.host.ip("link del tap0");
    scene.host.add_device("tap0");
    scene.reconcile();
    scene.open_connection("tap0", 1000);
    scene.write(|writer| writer.confirm().map_err(text)).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(scene.enforced(), ["tap0"]);
    assert!(scene.goes_on("tap0", 1000) && !scene.lets_in("tap0", 1002, 81, SYN));
    scene.is_settled();
}

/// H04: a device that neither policy has seen is closed until one of them is there to stay.
#[test]
fn a_device_that_appears_during_a_trial_is_closed_until_it_ends() {
    let mut scene = on_trial(&["tap0"]);
    scene.host.add_device("tap1");
    scene.reconcile();
    for port in [80, 81] {
        assert!(!scene.lets_in("tap1", 1000, port, SYN));
    }
    assert!(scene.dropped_on_unknown_devices() >= 2);
    assert!(scene.reconcile().is_empty());
    scene.write(|writer| writer.confirm().map_err(text)).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(scene.enforced(), ["tap0", "tap1"]);
    assert!(scene.lets_in("tap1", 1000, 80, SYN));
    scene.is_settled();
}
