//! Changes of policy by an agent that stays: of one member, of many interfaces, of nothing.

mod crowd;
mod members;
mod same;
