//! Clients ask over real sockets; a stand-in answers where a variant would, so that no models are needed.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test fails by panicking, and its modules are its own"
)]

#[path = "serving/client.rs"]
mod client;
#[path = "serving/stand_in.rs"]
mod stand_in;

#[path = "serving/analyzing.rs"]
mod analyzing;
#[path = "serving/asking.rs"]
mod asking;
#[path = "serving/hanging.rs"]
mod hanging;
#[path = "serving/leaving.rs"]
mod leaving;
#[path = "serving/ports.rs"]
mod ports;
#[path = "serving/recording.rs"]
mod recording;
#[path = "serving/routing.rs"]
mod routing;
#[path = "serving/stopping.rs"]
mod stopping;
#[path = "serving/terminating.rs"]
mod terminating;
#[path = "serving/watching.rs"]
mod watching;
