//! Clients ask over real sockets; a stand-in answers where a variant would, so that no models are needed.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test fails by panicking, and its modules are its own"
)]

mod access;
mod asking;
mod leaving;
mod open_inference;
mod openapi;
mod security_page;
mod stopping;
mod tls;
