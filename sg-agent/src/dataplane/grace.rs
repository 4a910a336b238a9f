//! Grace periods: waiting until every packet that was being judged has been.
//!
//! The kernel waits for one (`synchronize_rcu`) in every TCX link that is made, replaced or taken away (`tcx_entry_sync`,
//! kernel/bpf/tcx.c), 8 to 15 ms each, and holds the lock of all network devices meanwhile. What network devices do
//! themselves under that lock does not wait for so long: `synchronize_net` (net/core/dev.c) asks for an *expedited* grace
//! period, which interrupts the processors instead and ends in some 50 µs. This does the same for our links, by
//! `/sys/kernel/rcu_expedited` (kernel/ksysfs.c). Where an operator has forbidden it (`rcupdate.rcu_normal`), where the file
//! is not there or not writable, everything works and takes its time.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
    thread,
    time::Duration,
};

use rustix::thread::{MembarrierCommand, membarrier};

/// Longer than any packet takes, where the kernel does not say when all packets are done.
const LONGER_THAN_A_PACKET: Duration = Duration::from_millis(100);

/// Whether the kernel expedites grace periods: to it every number but 0 is a yes.
const SWITCH: &str = "/sys/kernel/rcu_expedited";

/// Our yes. If an agent is killed with the switch on, the next one knows whose it was, and turns it off.
const OURS: &str = "29543";
const OFF: &str = "0";

/// While it lives the grace periods of the kernel are short, unless another agent has finished meanwhile.
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
        let is_on = (says(switch, OFF) || says(switch, OURS)) && set(switch, OURS).is_ok();
        Self { switch: is_on.then_some(switch) }
    }
}

impl Drop for Haste {
    fn drop(&mut self) {
        if let Some(switch) = self.switch {
            turn_off(switch);
        }
    }
}

/// Turns the switch off if an agent was killed with it on. At worst it is the switch of one that works at this moment in
/// another network namespace: that one takes its time.
pub fn heal() {
    turn_off(Path::new(SWITCH));
}

/// Turns the switch off if it is ours: whoever has set it meanwhile wants it so.
fn turn_off(switch: &Path) {
    if says(switch, OURS)
        && let Err(error) = set(switch, OFF)
    {
        log::warn!("{}: cannot be set back to {OFF}: {error}", switch.display());
    }
}

fn says(switch: &Path, value: &str) -> bool {
    fs::read_to_string(switch).is_ok_and(|text| text.trim_end() == value)
}

/// Where there is no switch none is made.
fn set(switch: &Path, value: &str) -> io::Result<()> {
    File::options().write(true).truncate(true).open(switch)?.write_all(value.as_bytes())
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

    /// What the switch says with haste, and after it, if it is set `meanwhile`.
    fn with_and_after(says: &str, meanwhile: Option<&str>) -> [String; 2] {
        let switch = switch(says);
        let haste = Haste::at(switch);
        let with = fs::read_to_string(switch).unwrap();
        if let Some(meanwhile) = meanwhile {
            fs::write(switch, meanwhile).unwrap();
        }
        drop(haste);
        let after = fs::read_to_string(switch).unwrap();
        fs::remove_file(switch).unwrap();
        [with, after]
    }

    #[test]
    fn the_switch_is_on_for_as_long_as_it_takes() {
        assert_eq!(with_and_after("0\n", None), [OURS, "0"]);
    }

    #[test]
    fn what_a_killed_agent_left_on_is_turned_off() {
        assert_eq!(with_and_after("29543\n", None), [OURS, "0"]);
    }

    #[test]
    fn what_the_operator_has_turned_on_stays_on() {
        assert_eq!(with_and_after("1\n", None), ["1\n", "1\n"]);
    }

    #[test]
    fn what_the_operator_turns_on_meanwhile_stays_on() {
        assert_eq!(with_and_after("0\n", Some("1\n")), [OURS, "1\n"]);
    }

    #[test]
    fn what_is_no_number_is_left_alone() {
        for strange in ["", "\n", "295430", "-29543", "0x0", "29543 0"] {
            assert_eq!(with_and_after(strange, None), [strange; 2]);
        }
        let bytes = switch("");
        fs::write(bytes, b"\xff\0").unwrap();
        drop(Haste::at(bytes));
        assert_eq!(fs::read(bytes).unwrap(), b"\xff\0");
        fs::remove_file(bytes).unwrap();
    }

    #[test]
    fn a_leftover_is_healed_and_nothing_else_is() {
        for (says, then) in [("29543\n", OFF), ("1\n", "1\n"), ("0\n", "0\n")] {
            let switch = switch(says);
            turn_off(switch);
            assert_eq!(fs::read_to_string(switch).unwrap(), then);
            fs::remove_file(switch).unwrap();
        }
    }

    #[test]
    fn a_panic_turns_it_off() {
        let switch = switch("0\n");
        std::panic::catch_unwind(|| {
            let _haste = Haste::at(switch);
            panic!("on purpose");
        })
        .unwrap_err();
        assert_eq!(fs::read_to_string(switch).unwrap(), OFF);
        fs::remove_file(switch).unwrap();
    }

    #[test]
    fn without_a_switch_nothing_is_made() {
        let nowhere = Path::new("/nowhere/rcu_expedited");
        drop(Haste::at(nowhere));
        assert!(!nowhere.exists());
    }
}
