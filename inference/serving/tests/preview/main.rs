//! Previews on a simulated shop: what a new order would bring, by answers of another.

#![expect(clippy::unwrap_used, reason = "what is wrong ends a test")]

mod coverage;
mod refused;
mod shop;
mod told;
