//! What Prometheus reads: counters and gauges as OpenMetrics text, over HTTP.
//!
//! | module | does |
//! |---|---|
//! | [`snapshot`] | reads everything that is shown from what is in force, at one moment |
//! | [`rules`] | adds up what rules counted over interfaces that come and go |
//! | [`daemon`] | what only the daemon knows |
//! | [`families`] | a snapshot as families of metrics |
//! | [`page`] | families as text |
//! | [`http`] | serves the text |

pub mod daemon;
pub mod families;
pub mod http;
pub mod page;
pub mod rules;
pub mod snapshot;

pub use daemon::{DaemonFacts, Reloads};
pub use http::serve;
pub use page::text;
pub use rules::Totals;
pub use snapshot::{InForce, Snapshot};

/// Where metrics are served unless somebody says otherwise.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:9817";
/// How many rules are shown unless somebody says otherwise.
pub const DEFAULT_RULES: usize = 10_000;
