//! What the tables do not tell: the life of the daemon.

use std::time::SystemTime;

/// What only the daemon knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DaemonFacts {
    /// When it started.
    pub started: Option<SystemTime>,
    /// Readings of the policy file, the one at the start included.
    pub reloads: Reloads,
    /// When the policy file was last written.
    pub file_modified: Option<SystemTime>,
    /// When the last whole search for expired entries ended.
    pub last_sweep: Option<SystemTime>,
}

/// How readings of the policy file went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reloads {
    /// Those after which the file was in force.
    pub succeeded: u64,
    /// Those after which the policy was what it had been.
    pub failed: u64,
    /// When the last one ended.
    pub last: Option<SystemTime>,
    /// When the last one that succeeded ended.
    pub last_success: Option<SystemTime>,
}

impl Reloads {
    /// Counts one that ended at `now`.
    pub fn count(&mut self, succeeded: bool, now: SystemTime) {
        self.last = Some(now);
        if succeeded {
            self.succeeded += 1;
            self.last_success = Some(now);
        } else {
            self.failed += 1;
        }
    }

    /// Whether the last one succeeded; `None` before the first.
    pub fn is_last_success(&self) -> Option<bool> {
        self.last.map(|last| self.last_success == Some(last))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_last_reload_tells_whether_it_went_well() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let mut reloads = Reloads::default();
        assert_eq!(reloads.is_last_success(), None);
        reloads.count(true, at(1));
        assert_eq!(reloads.is_last_success(), Some(true));
        reloads.count(false, at(2));
        assert_eq!((reloads.is_last_success(), reloads.last_success), (Some(false), Some(at(1))));
        assert_eq!((reloads.succeeded, reloads.failed), (1, 1));
    }
}
