//! Programs that end: everybody's lists ahead of time (`RecommendationJob`) and training (`RecommenderTraining`).
//!
//! A pass over one of them, in reading order:
//!
//! - [`reconcile`](mod@reconcile): the pass itself, from scratch each time;
//! - [`kind`]: what the two kinds have in common; [`lists`] and [`training`]: what each of them looks at, and the pods of its runs;
//!   `executors` are beside a training whose queries run on many machines;
//! - [`observed`]: what there is of its runs; [`state`]: how far a Job has come;
//! - [`plan`](mod@plan): which Jobs and CronJobs there should be, a pure function; [`job`] renders them, under [`names`];
//! - [`apply`]: what is missing is made, and what is left over deleted;
//! - [`report`](mod@report): the status, a pure function.
//!
//! Around it, [`controller`] makes passes out of changes. Kubernetes' own Job and CronJob do what they do well: indexes, retries,
//! schedules, history, time to live. A run is decided once: its Job and the ConfigMap that its pods read never change, so that a pod that
//! takes the place of one that was killed does the same work.
//!
//! These objects are few, so that a pass asks the API server for them instead of keeping caches.

pub mod apply;
pub mod controller;
mod executors;
pub mod job;
pub mod kind;
pub mod lists;
pub mod names;
pub mod observed;
pub mod plan;
pub mod reconcile;
pub mod report;
pub mod state;
#[cfg(test)]
mod tests;
pub mod training;
