//! Bundles: immutable folders of model files in object storage, published and fetched with their digests checked.
//!
//! ```text
//! <store>/<name>/<version>/manifest.json      what the bundle is, and every file's size and sha256; written last
//! <store>/<name>/<version>/<file>...
//! <store>/<name>/channels/<channel>.json      the version that a channel points to
//! ```
//!
//! No manifest, no bundle: a publisher that dies half way leaves nothing that anyone can resolve. A version is a digest of
//! its content, so it never changes; only channels move, and they move with a compare-and-swap.
//!
//! A way through, in the order of a bundle's life:
//!
//! - [`reference`](mod@reference): how a bundle is named, `name@channel` or `name/version`; [`digest`]: sha256 as a type;
//! - [`manifest`]: the manifest and the bounds that it is held to; [`contract`]: which bundles can be served together;
//! - [`store`]: where bundles are; [`publish`](mod@publish): a folder becomes a bundle, a channel moves;
//! - [`resolve`](mod@resolve): from a reference to a checked manifest; [`resolve_together`] for a set; [`locate`](mod@locate): from a
//!   digest back to a reference;
//! - [`cache`] and [`fetch`]: from a manifest to a verified folder on this machine's disk;
//! - [`guard`]: panics of libraries over damaged files, as errors.
//!
//! Promises: bytes reach a caller only after their sha256 was checked; a manifest can't name a path outside its folder; sizes
//! are bounded before anything is allocated; what was fetched once is not fetched again.
//!
//! Absent on purpose: Kubernetes, and anything about what the files mean.

#![forbid(unsafe_code)]
#![allow(
    clippy::result_large_err,
    reason = "an error is made once and ends a fetch of megabytes; its names and values are worth their bytes"
)]

pub mod cache;
pub mod contract;
pub mod digest;
pub mod fetch;
pub mod guard;
pub mod kind;
pub mod locate;
pub mod manifest;
pub mod publish;
pub mod reference;
pub mod resolve;
pub mod store;
pub mod together;

#[cfg(test)]
mod testing;

pub use cache::{BundleFolder, Cache, CacheError};
pub use contract::{Contract, Metric};
pub use digest::Digest;
pub use fetch::FetchError;
pub use kind::Kind;
pub use locate::locate;
pub use manifest::{BundleFile, Manifest, ManifestError};
pub use publish::{
    BundleDescription, ChannelError, ChannelMove, PublishError, Published, publish, set_channel,
};
pub use reference::{Reference, ReferenceError, Target};
pub use resolve::{ResolveError, Resolved, TogetherError, resolve, resolve_together};
pub use store::{Access, Store, StoreError};
pub use together::{ContractError, check_kind, check_sources, check_together};
