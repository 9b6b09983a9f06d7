//! The reasons of conditions. They are API: scripts and alerts read them, so they must not change.
//!
//! The resolver's words are in [`gondola_wire::resolution::RefusalReason`].

/// Everything is as the spec wants it.
pub const SERVING: &str = "Serving";
/// At least one variant answers.
pub const ANSWERING: &str = "Answering";
/// No pod answers yet, or no pod answers any longer.
pub const NOT_ANSWERING: &str = "NotAnswering";
/// Every reference resolves to a bundle, and the bundles are compatible.
pub const RESOLVED: &str = "Resolved";
/// The resolver has not looked yet at what the spec names now.
pub const RESOLVING: &str = "Resolving";
/// Pods of the newest rollout are being started.
pub const ROLLING_OUT: &str = "RollingOut";
/// A rollout took longer than `spec.progressDeadlineSeconds`.
pub const PROGRESS_DEADLINE_EXCEEDED: &str = "ProgressDeadlineExceeded";
/// An object with a name that we need belongs to somebody else.
pub const NAME_CONFLICT: &str = "NameConflict";
/// The API server refuses an object that follows from the spec.
pub const INVALID_SPEC: &str = "InvalidSpec";
/// The API server did not accept an object; it is retried.
pub const APPLY_FAILED: &str = "ApplyFailed";
/// The operator lacks a right.
pub const FORBIDDEN: &str = "Forbidden";
/// The service account that the spec names does not allow its use.
pub const SERVICE_ACCOUNT_NOT_ALLOWED: &str = "ServiceAccountNotAllowed";
/// The store is not permitted by the operator's configuration.
pub const STORE_NOT_ALLOWED: &str = "StoreNotAllowed";
/// The image is not permitted by the operator's configuration.
pub const IMAGE_NOT_ALLOWED: &str = "ImageNotAllowed";
/// A variable of the environment would change which store is read.
pub const ENVIRONMENT_NOT_ALLOWED: &str = "EnvironmentNotAllowed";
/// A webhook or a policy of the cluster denies an object.
pub const ADMISSION_DENIED: &str = "AdmissionDenied";
/// The namespace's quota is used up.
pub const QUOTA_EXCEEDED: &str = "QuotaExceeded";
/// This release can't read the object.
pub const INVALID_OBJECT: &str = "InvalidObject";
/// The cluster's admission changes objects.
pub const CHANGED_BY_ADMISSION: &str = "ChangedByAdmission";
/// A channel points elsewhere than when the experiment began.
pub const CHANNEL_MOVED: &str = "ChannelMoved";
/// The Gateways accept the route.
pub const ACCEPTED: &str = "Accepted";
/// A Gateway refuses the route.
pub const ROUTE_REFUSED: &str = "RouteRefused";
/// No Gateway has reported on the route.
pub const ROUTE_PENDING: &str = "RoutePending";
/// The cluster doesn't have the API that the spec needs.
pub const API_MISSING: &str = "ApiMissing";
/// Metrics are scraped.
pub const MONITORED: &str = "Monitored";
/// A variant that was removed serves until others do.
pub const LEAVING: &str = "VariantLeaving";
/// `spec.suspend` is set.
pub const SUSPENDED: &str = "Suspended";
/// Users of a variant whose pods don't answer get another one.
pub const FALLBACK_TO_CONTROL: &str = "FallbackToControl";
/// What was served before goes on, since what the spec names now can't be served.
pub const LAST_GOOD: &str = "LastGoodBundles";
/// Everything serves as the spec says.
pub const AS_SPECIFIED: &str = "AsSpecified";
/// `spec.experiment` can't be run as it is written.
pub const INVALID_EXPERIMENT: &str = "InvalidExperiment";
/// A Job or a CronJob is there as the spec says.
pub const AS_REQUESTED: &str = "AsRequested";
/// The pipeline that the spec names is not there.
pub const PIPELINE_NOT_FOUND: &str = "PipelineNotFound";
/// The pipeline has no variant of that name.
pub const VARIANT_NOT_FOUND: &str = "VariantNotFound";
/// The pipeline serves nothing yet.
pub const PIPELINE_NOT_READY: &str = "PipelineNotReady";
/// Requests alone say which variant a user gets.
pub const OWN_VARIANT_UNKNOWN: &str = "OwnVariantUnknown";
/// Nothing has run yet.
pub const NOT_RUN_YET: &str = "NotRunYet";
/// A run goes on.
pub const RUNNING: &str = "Running";
/// A pod of a run waits for something that is missing.
pub const POD_CANNOT_START: &str = "PodCannotStart";
/// The newest run gave what it should.
pub const RUN_COMPLETE: &str = "RunComplete";
/// The newest run failed.
pub const RUN_FAILED: &str = "RunFailed";
