//! A real Kubernetes API server for custom resources, for tests that need one and have no cluster.
//!
//! [`ApiServer::start`] starts etcd and Kubernetes' own library for serving custom resources
//! (`k8s.io/apiextensions-apiserver`; `scripts/api-server.sh` makes the program) and puts a proxy in front of them. A
//! client of the proxy finds the kinds that an operator works with: [`kinds::KINDS`] are registered as custom
//! resources, those of groups that a custom resource can't have (the core group, `apps`, `policy`,
//! `autoscaling`) under a stand-in group, and the proxy renames in paths and bodies (see [`rename`]).
//!
//! What is real: storage, resource versions, watches, field management, server-side apply with its conflicts,
//! preconditions, optimistic locking, finalizers, the `status` subresource, and for Gondola's own kind the schema, its
//! defaults and its CEL rules.
//!
//! What is not:
//! - The built-in kinds are neither defaulted (but for a port's protocol) nor checked: a Deployment without containers is
//!   accepted, a `data` that is not a map as well, and a Service gets no address. Every object counts its `generation`, a ConfigMap's too.
//! - Lists in the built-in kinds have keys where an operator's objects need them (containers, variables, ports, volumes,
//!   conditions; the module `schema` names them all); server-side apply takes any other list as one value, owned whole.
//!   Strategic merge patch is not served (415).
//! - No controller runs: no ReplicaSets or Pods from a Deployment, no EndpointSlices from a Service, and no garbage
//!   collector ([`ApiServer::collect_garbage`] does its work when it is called). A test writes the status that it
//!   wants to be read.
//! - Of the subresources `status` is served, and `scale` of what has replicas; no `eviction`, `log` or `token`.
//! - There are no users and no permissions, any namespace name can be used, and `Namespace` itself is not served.
//! - Discovery: of a group and version only (`/apis/GROUP/VERSION`, `/api/v1`); `/apis` is not found.
//! - Bodies of the renamed kinds have to be JSON, as every kube-rs client writes them (server-side apply too).
//!
//! The proxy records every request and spoils those that a test tells it to: [`traffic`]. What goes past it
//! ([`ApiServer::direct`]) is neither recorded nor renamed.

mod binaries;
mod garbage;
pub mod kinds;
mod past;
mod process;
mod proxy;
pub mod rename;
mod schema;
mod server;
pub mod traffic;

pub use server::ApiServer;
pub use traffic::{Action, Fault, Injected, Request, Seen, Traffic};
