//! To come.

pub mod bert;
pub mod clip;
pub mod encoder;
