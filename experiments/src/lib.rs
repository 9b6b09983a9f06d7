//! A/B experiments.

#![forbid(unsafe_code)]

pub mod statistics;
