//! The operator against a real API server (level 0: custom resources alone, see `gondola-test-api-server`).
//!
//! Nothing runs pods here. A stand-in says of every Deployment that it is rolled out, and another reports in the resolver's
//! place; both write what kube-controller-manager and the resolver would. Everything else is the operator's own work and
//! the API server's.

#![expect(clippy::unwrap_used, reason = "what is wrong ends a test")]

mod crashes;
mod experiments;
mod faults;
mod leaders;
mod live_traffic;
mod pairs;
mod rights;
mod runs;
mod scale;
mod staleness;
mod steady;
mod world;
