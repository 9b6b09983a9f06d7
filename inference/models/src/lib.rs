//! The models of a recommendation: what answers "what should this user see?" and "what is like this item?".
//!
//! A personalized request walks this crate in the order of its folders:
//!
//! 1. [`features`]: the user's raw row is looked up and turned into numbers by the fitted [`features::Workflow`];
//! 2. [`retrieval`]: the query tower embeds the user, FAISS finds the nearest items, other sources add theirs;
//! 3. [`scoring`]: a model gives every candidate a score (one file a family), from what [`items`] keep for it;
//! 4. [`ordering`]: the best `k` in order;
//! 5. [`pipeline`]: puts the stages together, times each, and loads a whole variant from bundles.
//!
//! [`similarity`] is the second pipeline: text of an item, its embedding, its neighbors. [`dense`] holds the layers
//! that towers and neural scorers share. [`device`] says what models run on; on a GPU, networks answer many users at a time, in
//! candle's tensors (`tensors`). [`network`] has those of other frameworks filled from rows. [`trial`] has files of models tried in a child process before a server trusts them.
//!
//! The same workflow and model code serves and trains (`gondola-training` calls it), so the two can't drift apart.
//!
//! Absent on purpose: sockets, threads, deadlines, stores, Kubernetes. Those are up to the caller.

pub mod dense;
pub mod device;
pub mod features;
pub mod items;
pub mod memory;
pub mod network;
pub mod ordering;
pub mod pipeline;
pub mod retrieval;
pub mod scoring;
pub mod similarity;
mod tensors;
pub mod trial;
