//! What the fuzz targets share.

pub mod agreement;
pub mod memory;
