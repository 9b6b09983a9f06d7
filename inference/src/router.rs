//! The router: gives every user a variant and keeps them there.
//!
//! [`assignment`] decides, as a pure function of configuration and user, so that every pod decides alike.

pub mod assignment;
