//! Tests of the compiler as a whole: what it makes is searched as the kernel does and compared with a reading of the
//! policy that knows no tables.

mod agreement;
pub(crate) mod make;
mod members;
mod naive;
mod plans;
mod roots;
