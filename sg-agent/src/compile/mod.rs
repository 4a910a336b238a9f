//! From a validated [`Policy`](crate::policy::Policy) to table contents: pure, no kernel, no async.
//!
//! [`plan()`] takes what is in force (a [`State`]), the new policy and the devices it binds, and gives everything that
//! has to be written (a [`Plan`]) with the state that is then in force. It either gives all of it or says which limit
//! is in the way; nothing is touched before. [`State::change_members`] is the short way for single members.
//!
//! | module | does |
//! |---|---|
//! | [`order`] | rules of bound groups in evaluation order; defaults; expiry times |
//! | [`row`], [`layered`] | service -> first rule, and rows laid over rows |
//! | [`prefixes`], [`tree`] | prefixes -> address trees -> lines |
//! | [`heap`] | lines, each stored once |
//! | [`fold`], [`mod@policy`] | ranked rules -> tables -> a chain of policy roots |
//! | [`member_change`], [`group_change`] | single members |
//! | [`members`], [`sets`], [`zones`] | address -> set of groups |
//! | [`interfaces`], [`sources`] | directory entries |
//! | [`counters`] | rule counters, and where they went |
//! | [`fate`] | what becomes of a connection under the next state |
//! | [`changes`], [`mod@plan`], [`planner`], [`state`] | from one state to the next |

pub mod changes;
pub mod clock;
pub mod counters;
pub mod error;
pub mod fate;
pub mod fold;
pub mod group_change;
pub mod heap;
pub mod interfaces;
pub mod layered;
pub mod member_change;
pub mod members;
pub mod order;
pub mod plan;
pub mod planner;
pub mod policy;
pub mod prefixes;
pub mod row;
pub mod sets;
pub mod settings;
pub mod sources;
pub mod state;
pub mod tree;
pub mod zones;

#[cfg(test)]
mod random;
#[cfg(test)]
pub(crate) mod tests;

pub use clock::Clock;
pub use error::DoesNotFit;
pub use group_change::Edit;
pub use interfaces::Binding;
pub use member_change::MemberChange;
pub use plan::{Plan, plan};
pub use state::{Saved, State};
