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
}

/// How readings of the policy file went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reloads {
    /// Those after which the file was in force.
    pub succeeded: u64,
    /// Those after which the policy was what it had been.
    pub failed: u64,
    /// Whether the last one succeeded; `None` before the first.
    pub is_last_success: Option<bool>,
    /// When the file was last looked at, if only to see that it says what it said.
    pub last: Option<SystemTime>,
    /// When the last reading that succeeded began.
    pub last_success: Option<SystemTime>,
}
