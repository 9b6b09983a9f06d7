//! The pod of a variant: models on compute threads, behind a server.
//!
//! [`compute`] has the threads and the queue in front of them; [`local`] is a variant in this process as a
//! [`Recommender`](gondola_protocol::Recommender); [`live`] is what happens while it serves; [`batch`] has the lists of all users, ahead of time,
//! [`preview`](mod@preview) what a variant would bring that nobody was shown, and [`replay`](mod@replay) answers that were logged, made again.
//!
//! The program `gondola-inference` has the commands `serve` (one variant's pod), `fetch` (brings its bundles before it starts), `up`
//! (a whole pipeline on this machine: every variant, the router in front of them, and its experiment), `batch`, `preview` and `replay`.

pub mod batch;
pub mod compute;
pub mod live;
pub mod local;
pub mod preview;
pub mod replay;
