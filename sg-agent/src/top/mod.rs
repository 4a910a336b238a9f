//! `top`: what goes on, live, on one screen.
//!
//! Pure but for [`sample`], which reads the kernel's tables: two [samples](sample::Sample) make a
//! [`Snapshot`](snapshot::Snapshot), and [`draw`](draw::draw) draws it as the [`View`](view::View) has it.
//!
//! | module | does |
//! |---|---|
//! | [`sample`] | reads what the kernel side counts |
//! | [`rates`] | what happened between two samples |
//! | [`snapshot`] | what there is to draw |
//! | [`view`] | what is looked at, and what keys do about it |
//! | [`tables`] | rows as text, sorted and filtered |
//! | [`draw`], [`theme`] | the screen |
//! | [`numbers`] | numbers in few characters |
//! | [`svg`] | a screen as a picture |

pub mod draw;
pub mod numbers;
pub mod rates;
pub mod sample;
pub mod snapshot;
pub mod svg;
pub mod tables;
pub mod theme;
pub mod view;

#[cfg(test)]
mod tests;

pub use draw::draw;
pub use rates::History;
pub use sample::Sample;
pub use snapshot::Snapshot;
pub use view::View;
