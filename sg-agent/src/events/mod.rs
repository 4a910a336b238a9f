//! What happens, as it happens: packets dropped or audited, connections opened and closed.
//!
//! A [`Source`](source::Source) is the one reader of the kernel side's events and gives them names. What somebody wants of
//! them is a [`Selection`](selection::Selection); it is told as a line for people, as JSON, or to the journal.
//!
//! | module | does |
//! |---|---|
//! | [`event`] | an event in words and numbers, as JSON has it |
//! | [`naming`] | names of interfaces, groups and rules for a record of the kernel side |
//! | [`source`] | reads the kernel side's events |
//! | [`hub`] | reads for many |
//! | [`selection`] | which events somebody wants, and how many |
//! | [`line`] | a line for people |
//! | [`journal`] | an entry of systemd's journal |

pub mod event;
pub mod hub;
pub mod journal;
pub mod line;
pub mod naming;
pub mod selection;
pub mod source;

pub use event::{Event, Missed, Told, What};
pub use hub::Hub;
pub use selection::{Selection, Wish};
pub use source::Source;
