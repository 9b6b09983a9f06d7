//! Making it so: server-side apply of what should be, and an end to what should not.
//!
//! Every object is sent whole, under one field manager, so that a field that is no longer wanted goes by being left out.
//! Nothing is sent that is there already: an object carries the hash of what was sent last, and is compared with that.
//! Caches may be old, so that nothing is written on their word alone: a write names the version that it was decided on, and the
//! first of a pass comes after a look at whether the spec is still the newest.

pub mod covers;

use std::fmt::Debug;
use std::sync::Arc;

use gondola_crds::{RecommenderPipeline, RecommenderPipelineStatus};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::observe::{ByName, Observed, Rollout};
use crate::plan::extensions::Extension;
use crate::plan::manifest::short_hash;
use crate::plan::{Children, Plan};
use covers::covers;

/// The field manager of children.
pub const MANAGER: &str = "gondola-operator";
/// The field manager of statuses.
pub const STATUS_MANAGER: &str = "gondola-operator-status";
/// The annotation with the hash of what was sent last.
const APPLIED: &str = "gondola.dev/applied";

/// Why an object could not be brought about.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Somebody else has the name.
    #[error("{kind} {name} is there already and is not of this pipeline; delete or rename one of them")]
    NameConflict {
        /// The object's kind.
        kind: String,
        /// Its name.
        name: String,
    },
    /// The API server says that it can't be.
    #[error("the API server refuses {kind} {name}: {message}")]
    Refused {
        /// The object's kind.
        kind: String,
        /// Its name.
        name: String,
        /// What the API server says.
        message: String,
    },
    /// The operator may not.
    #[error("the operator may not write {kind} {name}: {message}; grant it what the chart grants")]
    Forbidden {
        /// The object's kind.
        kind: String,
        /// Its name.
        name: String,
        /// What the API server says.
        message: String,
    },
    /// What the caches know is not what is there.
    #[error("{kind} {name} is not as it is known here; the pass is made again when the change has arrived")]
    Outdated {
        /// The object's kind.
        kind: String,
        /// Its name.
        name: String,
    },
    /// It failed, and may go well the next time.
    #[error("{kind} {name} could not be written")]
    Unavailable {
        /// The object's kind.
        kind: String,
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
}

impl Failure {
    /// The failure and its cause in one line.
    pub fn with_cause(&self) -> String {
        match std::error::Error::source(self) {
            Some(cause) => format!("{self}: {cause}"),
            None => self.to_string(),
        }
    }

    fn new(kind: String, name: String, error: kube::Error) -> Self {
        match &error {
            kube::Error::Api(status) if status.is_forbidden() => Self::Forbidden {
                kind,
                name,
                message: status.message.clone(),
            },
            kube::Error::Api(status) if status.is_conflict() => Self::Outdated { kind, name },
            // 400 and 422: the same request fails the same way again.
            kube::Error::Api(status) if [400, 422].contains(&status.code) => Self::Refused {
                kind,
                name,
                message: status.message.clone(),
            },
            _ => Self::Unavailable {
                kind,
                name,
                source: Box::new(error),
            },
        }
    }
}

/// What became of each object.
#[derive(Debug, Default)]
pub struct Applied {
    /// Deployments that were changed in this pass: what the caches say of their rollout is of before.
    changed_deployments: Vec<String>,
    failures: Vec<Failure>,
    writes: usize,
}

impl Applied {
    /// The first failure, in the order of application.
    pub fn first_failure(&self) -> Option<&Failure> {
        self.failures.first()
    }

    /// Whether something turned out to be other than the caches know it: then nothing that follows from them counts.
    pub fn is_outdated(&self) -> bool {
        let mut failures = self.failures.iter();
        failures.any(|failure| matches!(failure, Failure::Outdated { .. }))
    }

    /// How many objects were written or deleted.
    pub fn writes(&self) -> usize {
        self.writes
    }

    /// A rollout as the caches know it, corrected by what this pass did.
    pub fn correct(&self, deployment: &str, rollout: Rollout) -> Rollout {
        let changed = self.changed_deployments.iter().any(|name| name == deployment);
        if changed {
            Rollout {
                complete: false,
                missed_deadline: None,
                ..rollout
            }
        } else {
            rollout
        }
    }

    /// Counts an outcome, and says whether something was written.
    fn take(&mut self, outcome: Result<Outcome, Failure>) -> bool {
        let written = matches!(outcome, Ok(Outcome::Written));
        self.writes += usize::from(written);
        self.failures.extend(outcome.err());
        written
    }
}

/// What was done about one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It was as it should be.
    Unchanged,
    /// It was sent.
    Written,
}

/// Objects of one pipeline, as the API server has them.
struct Applier<'a> {
    client: &'a Client,
    pipeline: &'a RecommenderPipeline,
    /// Set once the spec was found to be the newest there is.
    confirmed: OnceCell<()>,
}

/// Brings about what should be: configuration before the pods that mount it, and the end of things last. A failure is a
/// value, and keeps nothing else from being tried.
pub async fn children(
    client: &Client,
    pipeline: &RecommenderPipeline,
    plan: &Plan,
    observed: &Observed,
) -> Applied {
    let applier = Applier {
        client,
        pipeline,
        confirmed: OnceCell::new(),
    };
    let mut applied = Applied::default();
    // Taken apart without `..`, so that a kind that nobody applies does not compile.
    let Children {
        accounts,
        roles,
        bindings,
        configs,
        services,
        policies,
        deployments,
        budgets,
        autoscalers,
        extensions,
    } = &plan.children;
    applier
        .apply_all(accounts, &observed.accounts, &mut applied)
        .await;
    applier.apply_all(roles, &observed.roles, &mut applied).await;
    applier
        .apply_all(bindings, &observed.bindings, &mut applied)
        .await;
    applier.apply_all(configs, &observed.configs, &mut applied).await;
    applier
        .apply_all(services, &observed.services, &mut applied)
        .await;
    applier
        .apply_all(policies, &observed.policies, &mut applied)
        .await;
    let changed = applier
        .apply_all(deployments, &observed.deployments, &mut applied)
        .await;
    applied.changed_deployments = changed;
    applier.apply_all(budgets, &observed.budgets, &mut applied).await;
    applier
        .apply_all(autoscalers, &observed.autoscalers, &mut applied)
        .await;
    for (extension, wanted) in extensions {
        let outcome = applier.extension(*extension, wanted.as_ref()).await;
        applied.take(outcome);
    }
    // Something that can't be brought about may be in the way of what stands in for it: nothing ends before all is there.
    if applied.failures.is_empty() {
        applier.end_surplus(plan, observed, &mut applied).await;
    }
    applied
}

impl Applier<'_> {
    fn namespace(&self) -> String {
        self.pipeline.namespace().unwrap_or_default()
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace())
    }

    /// Applies objects of one kind, and gives the names of those that were written.
    async fn apply_all<K>(&self, wanted: &[K], live: &ByName<K>, applied: &mut Applied) -> Vec<String>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        let api = self.api::<K>();
        let mut written = Vec::new();
        for object in wanted {
            let name = object.name_any();
            let cached = live.get(&name).map(Arc::as_ref);
            let outcome = self.apply(&api, &K::kind(&()), object, cached).await;
            if applied.take(outcome) {
                written.push(name);
            }
        }
        written
    }

    async fn apply<K>(
        &self,
        api: &Api<K>,
        kind: &str,
        wanted: &K,
        cached: Option<&K>,
    ) -> Result<Outcome, Failure>
    where
        K: Resource + Clone + Debug + Serialize + DeserializeOwned,
    {
        let name = wanted.name_any();
        let failed = |error| Failure::new(kind.to_owned(), name.clone(), error);
        // An object of somebody else does not carry our label, so that caches don't have it.
        let live = match cached {
            Some(cached) => Some(cached.clone()),
            None => api.get_opt(&name).await.map_err(failed)?,
        };
        if let Some(live) = &live
            && !self.owns(live.owner_references())
        {
            let kind = kind.to_owned();
            return Err(Failure::NameConflict { kind, name });
        }
        let wanted =
            with_hash(serde_json::to_value(wanted).map_err(|error| failed(kube::Error::SerdeError(error)))?);
        let version = live.as_ref().and_then(ResourceExt::resource_version);
        let live = live.map(|live| serde_json::to_value(live).unwrap_or_default());
        if live.is_some_and(|live| covers(&live, &wanted)) {
            return Ok(Outcome::Unchanged);
        }
        self.confirm().await?;
        tracing::info!(kind, name, namespace = self.namespace(), "applying");
        let wanted = at_version(wanted, version);
        let parameters = PatchParams::apply(MANAGER).force();
        api.patch(&name, &parameters, &Patch::Apply(&wanted))
            .await
            .map_err(failed)?;
        Ok(Outcome::Written)
    }

    /// Asks, before the first write of a pass, whether the spec that it was planned from is still the newest: a cache that was
    /// filled by a server that lags behind would have us undo what was done for a newer one.
    async fn confirm(&self) -> Result<(), Failure> {
        let ask = async || {
            let (kind, name) = (
                RecommenderPipeline::kind(&()).into_owned(),
                self.pipeline.name_any(),
            );
            let live = self.api::<RecommenderPipeline>().get_metadata_opt(&name).await;
            let live = live.map_err(|error| Failure::new(kind.clone(), name.clone(), error))?;
            let known = &self.pipeline.metadata;
            let same = live.is_some_and(|live| {
                live.metadata.uid == known.uid
                    && live.metadata.generation == known.generation
                    && live.metadata.deletion_timestamp.is_none()
            });
            same.then_some(()).ok_or(Failure::Outdated { kind, name })
        };
        self.confirmed.get_or_try_init(ask).await.copied()
    }

    /// Applies an object of an API that this cluster has, or ends it where the spec wants none.
    async fn extension(
        &self,
        extension: Extension,
        wanted: Option<&DynamicObject>,
    ) -> Result<Outcome, Failure> {
        let resource = extension.resource();
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.namespace(), &resource);
        if let Some(wanted) = wanted {
            return self.apply(&api, &resource.kind, wanted, None).await;
        }
        let name = self.pipeline.name_any();
        let failed = |error| Failure::new(resource.kind.clone(), name.clone(), error);
        match api.get_opt(&name).await.map_err(failed)? {
            Some(live) if self.owns(live.owner_references()) => {
                self.retire(&api, &resource.kind, &live).await
            }
            Some(_) | None => Ok(Outcome::Unchanged),
        }
    }

    /// Whether this very pipeline owns something: one of the same name that was deleted and made again is another.
    fn owns(&self, owners: &[OwnerReference]) -> bool {
        let uid = self.pipeline.uid().unwrap_or_default();
        owners
            .iter()
            .any(|owner| owner.controller == Some(true) && owner.uid == uid)
    }

    /// Ends what is of this pipeline and should not be there any more.
    async fn end_surplus(&self, plan: &Plan, observed: &Observed, applied: &mut Applied) {
        let children = &plan.children;
        self.end(&children.deployments, &observed.deployments, &[], applied)
            .await;
        self.end(&children.autoscalers, &observed.autoscalers, &[], applied)
            .await;
        self.end(&children.budgets, &observed.budgets, &[], applied).await;
        self.end(&children.services, &observed.services, &[], applied)
            .await;
        self.end(&children.policies, &observed.policies, &[], applied)
            .await;
        self.end(&children.configs, &observed.configs, &plan.kept_configs, applied)
            .await;
        self.end(&children.bindings, &observed.bindings, &[], applied)
            .await;
        self.end(&children.roles, &observed.roles, &[], applied).await;
        self.end(&children.accounts, &observed.accounts, &[], applied)
            .await;
    }

    async fn end<K>(&self, wanted: &[K], live: &ByName<K>, kept: &[String], applied: &mut Applied)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let api = self.api::<K>();
        let surplus = live
            .values()
            .filter(|object| self.owns(object.owner_references()))
            .filter(|object| {
                let name = object.name_any();
                object.meta().deletion_timestamp.is_none()
                    && !kept.contains(&name)
                    && wanted.iter().all(|wanted| wanted.name_any() != name)
            });
        for object in surplus {
            let outcome = self.retire(&api, &K::kind(&()), object.as_ref()).await;
            applied.take(outcome);
        }
    }

    /// Deletes exactly the object that was seen, never one that has taken its name, or has changed since.
    async fn retire<K>(&self, api: &Api<K>, kind: &str, object: &K) -> Result<Outcome, Failure>
    where
        K: Resource + Clone + Debug + DeserializeOwned,
    {
        self.confirm().await?;
        let name = object.name_any();
        let parameters = DeleteParams {
            preconditions: Some(Preconditions {
                uid: object.uid(),
                resource_version: object.resource_version(),
            }),
            ..DeleteParams::background()
        };
        tracing::info!(kind, name, "deleting");
        match api.delete(&name, &parameters).await {
            Ok(_) => Ok(Outcome::Written),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(Outcome::Unchanged),
            Err(error) => Err(Failure::new(kind.to_owned(), name, error)),
        }
    }
}

/// Adds the hash of an object to it, so that a field that was taken out of it is noticed.
fn with_hash(mut object: Value) -> Value {
    let hash = short_hash(&object.to_string());
    object["metadata"]["annotations"][APPLIED] = Value::String(hash);
    object
}

/// Makes a write one of exactly the object that was looked at: it fails if somebody has changed it since.
fn at_version(mut object: Value, version: Option<String>) -> Value {
    if let Some(version) = version {
        object["metadata"]["resourceVersion"] = Value::String(version);
    }
    object
}

/// What became of a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusOutcome {
    /// It says already what it should.
    Unchanged,
    /// It was written.
    Written,
    /// The pipeline is not what the caches know any more.
    Outdated,
}

/// Writes the status, unless it says already what it should.
pub async fn status(
    client: &Client,
    pipeline: &RecommenderPipeline,
    status: &RecommenderPipelineStatus,
) -> Result<StatusOutcome, kube::Error> {
    if pipeline.status.as_ref() == Some(status) {
        return Ok(StatusOutcome::Unchanged);
    }
    let api: Api<RecommenderPipeline> =
        Api::namespaced(client.clone(), &pipeline.namespace().unwrap_or_default());
    let patch = json!({
        "apiVersion": RecommenderPipeline::api_version(&()),
        "kind": RecommenderPipeline::kind(&()),
        "metadata": {"name": pipeline.name_any(), "uid": pipeline.uid()},
        "status": status,
    });
    let patch = at_version(patch, pipeline.resource_version());
    let parameters = PatchParams::apply(STATUS_MANAGER).force();
    match api
        .patch_status(&pipeline.name_any(), &parameters, &Patch::Apply(&patch))
        .await
    {
        Ok(_) => Ok(StatusOutcome::Written),
        Err(kube::Error::Api(status)) if status.is_conflict() => Ok(StatusOutcome::Outdated),
        Err(error) => Err(error),
    }
}
