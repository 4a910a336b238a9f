//! The userspace half of `sg`: policy language, compiler, dataplane control and command line.
#![deny(unsafe_code)]

pub mod cli;
pub mod compile;
pub mod daemon;
pub mod dataplane;
pub mod events;
pub mod explain;
pub mod import;
pub mod metrics;
pub mod observe;
pub mod policy;
pub mod top;
