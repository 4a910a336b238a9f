//! Frees the slots of connections that have expired, a few at a time: nobody needs that to be right (expiry is decided
//! when a connection is looked up), but a table that nobody sweeps looks fuller than it is.

use std::time::{Duration, Instant};

use sg_common::sweep::MAX_BUCKETS;

use crate::dataplane::{Error, Kernel};

/// How long a pass over all tables takes.
pub const PASS: Duration = Duration::from_secs(30);
/// How often some buckets are looked at.
pub const STEP: Duration = Duration::from_millis(100);

/// Where the sweep is, and what it has found.
#[derive(Clone, Debug, Default)]
pub struct Sweep {
    table: usize,
    bucket: u32,
    started: Option<Instant>,
    freed: u64,
    live: u64,
    /// The last whole pass.
    pub last: Option<Pass>,
}

/// A pass over all tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// Slots that it freed.
    pub freed: u64,
    /// Entries that it found live.
    pub live: u64,
    /// How long it took: no expired entry keeps its slot for longer than that and the next.
    pub took: Duration,
    /// When it was over.
    pub at: Instant,
}

impl Sweep {
    /// Sweeps the next few buckets; how many, the sizes of the tables tell.
    pub fn step(&mut self, kernel: &Kernel) -> Result<(), Error> {
        let buckets = kernel.control().buckets;
        let all: u64 = buckets.iter().copied().map(u64::from).sum();
        let mut budget = all.div_ceil((PASS.as_millis() / STEP.as_millis()) as u64) as u32;
        let started = *self.started.get_or_insert_with(Instant::now);
        while budget > 0 {
            let Some(&size) = buckets.get(self.table) else {
                self.finish(started);
                return Ok(());
            };
            let count = budget.min(MAX_BUCKETS).min(size - self.bucket.min(size));
            let reply = kernel.sweep(self.table as u32, self.bucket, count)?;
            self.freed += u64::from(reply.freed);
            self.live += u64::from(reply.live);
            budget -= count.max(1).min(budget);
            self.bucket += count;
            if self.bucket >= size {
                (self.table, self.bucket) = (self.table + 1, 0);
            }
        }
        Ok(())
    }

    fn finish(&mut self, started: Instant) {
        let pass = Pass { freed: self.freed, live: self.live, took: started.elapsed(), at: Instant::now() };
        *self = Self { last: Some(pass), ..Self::default() };
    }
}
