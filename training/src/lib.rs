//! The offline side: from a shop's transactions to published bundles.
//!
//! One run walks this crate in the order of its folders:
//!
//! 1. [`dataset`]: what the shop's files mean, from a configuration file; opens them as three SQL views;
//! 2. [`features`]: features of users and items as of a cut-off date, as SQL;
//! 3. [`labels`]: what was bought after the cut-off, and sampled pairs that were not;
//! 4. `fit`: workflow, two towers and their index, scorers, text embeddings;
//! 5. [`evaluate`]: how good they are on a later window, pair by pair and end to end, compared with simple baselines;
//! 6. [`publish`]: bundles into object storage; [`report`]: one page for people.
//!
//! Queries run in this process, or, with the feature `ballista`, on the machines of a cluster.
//!
//! [`scoreboard`] holds our models of who buys what beside other people's packages. [`check`] says whether a scorer of one's own gives what its library gives. [`run`] puts the steps
//! together, [`access`] says how stores are reached. Encoding, models and pipelines are `gondola-models`'s, so that what is evaluated here is what
//! is served.

pub mod access;
#[cfg(feature = "ballista")]
pub mod ballista;
pub mod check;
pub mod dataset;
#[cfg(test)]
mod documents;
pub mod evaluate;
pub mod features;
mod fetched;
mod fit;
pub mod labels;
mod machine;
mod progress;
pub mod publish;
pub mod report;
pub mod rows;
pub mod run;
pub mod scoreboard;
pub mod timings;
