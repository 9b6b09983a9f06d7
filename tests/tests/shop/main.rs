//! Whole shops, from their files to answers: one by one ([`small_shop`]), and for everybody at once ([`batch`]).

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test fails by panicking, and its modules are its own"
)]

mod batch;
mod small_shop;
