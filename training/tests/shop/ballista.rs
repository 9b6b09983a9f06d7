//! Queries on a cluster of processes: the rows of each query of ours beside those of the local engine, executors that die, and what
//! is said when a cluster runs nothing.

mod lost_executor;
mod no_cluster;
mod same_rows;
mod stores;
