//! Grace periods: waiting until every packet that was being judged has been.
//!
//! The kernel waits for one (`synchronize_rcu`) in every TCX link that is made, replaced or taken away (`tcx_entry_sync`,
//! kernel/bpf/tcx.c), 8 to 15 ms each, and holds the lock of all network devices meanwhile. What network devices do
//! themselves under that lock does not wait for so long: `synchronize_net` (net/core/dev.c) asks for an *expedited* grace
//! period, which interrupts the processors instead and ends in some 50 µs. This does the same for our links, by
//! `/sys/kernel/rcu_expedited` (kernel/ksysfs.c). Where an operator has forbidden it (`rcupdate.rcu_normal`), where the file
//! is not there or not writable, everything works and takes its time.

use std::{fs, path::Path, thread, time::Duration};

use rustix::thread::{MembarrierCommand, membarrier};

/// Longer than any packet takes, where the kernel does not say when all packets are done.
const LONGER_THAN_A_PACKET: Duration = Duration::from_millis(100);

/// Whether the kernel expedites grace periods: to it every number but 0 is a yes.
const SWITCH: &str = "/sys/kernel/rcu_expedited";

/// Our yes. If an agent is killed with the switch on, the next one knows whose it was, and turns it off.
const OURS: &str = "29543";

/// While it lives the grace periods of the kernel are short.
#[derive(Debug)]
pub struct Haste {
    switch: Option<&'static Path>,
}

impl Haste {
    /// Turns the switch on, if nobody else has.
    pub fn make() -> Self {
        Self::at(Path::new(SWITCH))
    }

    fn at(switch: &'static Path) -> Self {
        let is_free = fs::read_to_string(switch).is_ok_and(|text| ["0", OURS].contains(&text.trim_end()));
        let is_on = is_free && fs::write(switch, OURS).is_ok();
        Self { switch: is_on.then_some(switch) }
    }
}

impl Drop for Haste {
    fn drop(&mut self) {
        if let Some(switch) = self.switch
            && let Err(error) = fs::write(switch, "0")
        {
            log::warn!("{}: cannot be set back to 0: {error}", switch.display());
        }
    }
}

/// Returns when every packet that was being judged has been.
pub fn grace_period() {
    let _haste = Haste::make();
    // The global barrier waits for an RCU grace period; programs run inside RCU read sections. Kernels with
    // `nohz_full` CPUs refuse it.
    if membarrier(MembarrierCommand::Global).is_err() {
        thread::sleep(LONGER_THAN_A_PACKET);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file in place of the kernel's switch.
    fn switch(says: &str) -> &'static Path {
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path().keep().unwrap();
        fs::write(&path, says).unwrap();
        Box::leak(path.into_boxed_path())
    }

    /// What the switch says with haste, and after it.
    fn with_and_after(says: &str) -> [String; 2] {
        let switch = switch(says);
        let haste = Haste::at(switch);
        let with = fs::read_to_string(switch).unwrap();
        drop(haste);
        let after = fs::read_to_string(switch).unwrap();
        fs::remove_file(switch).unwrap();
        [with, after]
    }

    #[test]
    fn the_switch_is_on_for_as_long_as_it_takes() {
        assert_eq!(with_and_after("0\n"), [OURS, "0"]);
    }

    #[test]
    fn what_a_killed_agent_left_on_is_turned_off() {
        assert_eq!(with_and_after("29543\n"), [OURS, "0"]);
    }

    #[test]
    fn what_the_operator_has_turned_on_stays_on() {
        assert_eq!(with_and_after("1\n"), ["1\n", "1\n"]);
    }

    #[test]
    fn without_a_switch_nothing_is_made() {
        let nowhere = Path::new("/nowhere/rcu_expedited");
        drop(Haste::at(nowhere));
        assert!(!nowhere.exists());
    }
}
