//! Changes of policy by an agent that stays: under load, of one member, of many interfaces, of nothing.

mod crowd;
mod load;
mod members;
mod same;
