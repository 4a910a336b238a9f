//! What is going on: connections, packets and rules as the commands show them. Pure; what the kernel counted and what
//! is in force come in, rows that serialise to the promised JSON come out.
//!
//! | module | does |
//! |---|---|
//! | [`connection`] | an entry of a conntrack table in words |
//! | [`filter`] | which connections somebody asks for |
//! | [`counts`] | packets and drops of an interface |
//! | [`hits`] | rules with what they decided |
//! | [`names`] | interfaces by name |
//! | [`parse`] | what is written on the command line |
//! | [`time`] | kernel ticks as times |
//! | [`table`] | columns for people |

pub mod connection;
pub mod counts;
pub mod filter;
pub mod hits;
pub mod names;
pub mod parse;
pub mod table;
pub mod time;
