//! Why a packet would pass or not: a frame that the loaded program is asked about, and its answer in words.
//!
//! Nothing here judges: the verdict is the program's. What is added is the name of the rule behind the number, and,
//! where no rule matched, which one was nearest.
//!
//! | module | does |
//! |---|---|
//! | [`asked`] | the question as it was put |
//! | [`packet`] | the packet that it means: nothing left open |
//! | [`frame`] | the packet as bytes |
//! | [`answer`] | the program's reply with the names of group and rule |
//! | [`nearest`] | the rule that comes closest, and what differs |
//! | [`words`] | the answer for people |

pub mod answer;
pub mod asked;
pub mod frame;
pub mod nearest;
pub mod packet;
pub mod words;

pub use answer::{Answer, answer};
pub use asked::{Asked, Incomplete};
pub use packet::Packet;
