//! Why a cluster runs no queries.

use std::net::SocketAddr;
use std::path::PathBuf;

use ballista_core::error::BallistaError;

use super::release::Release;
use crate::dataset::engine::SchedulerAddress;

/// Why a cluster runs no queries.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Nobody answers where the scheduler should be.
    #[error(
        "cannot reach the scheduler at {scheduler}; start `gondola-ballista scheduler` there, or name another address"
    )]
    Away {
        /// Where.
        scheduler: SchedulerAddress,
        /// The cause.
        #[source]
        source: tonic::transport::Error,
    },
    /// The scheduler is of another release.
    #[error(
        "the scheduler at {scheduler} is {theirs}, and this program {ours}: a plan may mean something else there; run scheduler, \
         executors and gondola-train in one release"
    )]
    OtherRelease {
        /// Where.
        scheduler: SchedulerAddress,
        /// What it is.
        theirs: Release,
        /// What this is.
        ours: Release,
    },
    /// The scheduler is none of ours.
    #[error(
        "what answers at {scheduler} is not a scheduler of Gondola's; start `gondola-ballista scheduler`, which opens the same stores as \
         this program and asks for its release"
    )]
    Foreign {
        /// Where.
        scheduler: SchedulerAddress,
    },
    /// The scheduler failed at the first question.
    #[error("the scheduler at {scheduler} does not answer as it should: {message}")]
    Failing {
        /// Where.
        scheduler: SchedulerAddress,
        /// What it says.
        message: String,
    },
    /// No executor came.
    #[error(
        "no executor of the scheduler at {scheduler} took a task within {seconds} s; start `gondola-ballista executor --scheduler \
         {scheduler}`, or wait longer with --cluster-wait-seconds"
    )]
    NoExecutor {
        /// Where.
        scheduler: SchedulerAddress,
        /// How long was waited.
        seconds: u64,
    },
    /// The machines of the cluster don't see the tables.
    #[error(
        "the machines of the scheduler at {scheduler} can't read {folder}; mount that folder under the same path in scheduler and \
         executors, or give both the settings and credentials of the store"
    )]
    Unseen {
        /// Where.
        scheduler: SchedulerAddress,
        /// The folder, without secrets.
        folder: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A program of the cluster can't listen.
    #[error("cannot listen on {address}; name a port that is free")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// There is no folder to work in.
    #[error("cannot work in {}; name a folder that exists and may be written to with --work-folder", .folder.display())]
    WorkFolder {
        /// Which.
        folder: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A setting that Ballista refuses, or a failure at the start.
    #[error("cannot start {what}")]
    Start {
        /// Which program.
        what: &'static str,
        /// The cause.
        #[source]
        source: BallistaError,
    },
    /// An executor ended without being told to.
    #[error("the executor stopped by itself, as it does when its scheduler is gone; its log says why")]
    Stopped,
}
