//! To come.

pub mod index;
