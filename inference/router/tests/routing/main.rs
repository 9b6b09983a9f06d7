//! Clients ask over real sockets; a stand-in answers where a variant would, so that no models are needed.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test fails by panicking, and its modules are its own"
)]

mod analyzing;
mod hanging;
mod ports;
mod recording;
mod resolving;
mod routing;
mod secure;
mod terminating;
mod traces;
mod watching;
