//! Making it so: server-side apply of what should be, and an end to what should not.
//!
//! Every object is sent whole, under one field manager, so that a field that is no longer wanted goes by being left out.
//! Nothing is sent that is there already: an object carries the hash of what was sent last, and is compared with that.
//! Caches may be old, so that nothing is written on their word alone: a write names the version that it was decided on, and the
//! first of a pass comes after a look at whether the spec is still the newest.

pub mod admission;
pub mod covers;
pub mod failure;
pub mod status;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use gondola_crds::RecommenderPipeline;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::extension::Extension;
use crate::names::Names;
use crate::observe::{ByName, Observed, Rollout};
use crate::plan::manifest::short_hash;
use crate::plan::{Children, Kept, Plan, Scale};
use admission::{Admission, Overridden};
use covers::difference;
use failure::Failure;

/// The field manager of children.
pub const MANAGER: &str = "gondola-operator";
/// The field manager of numbers of pods.
pub const SCALE_MANAGER: &str = "gondola-operator-scale";
/// The field manager of statuses.
pub const STATUS_MANAGER: &str = "gondola-operator-status";
/// The annotation with the hash of what was sent last.
const APPLIED: &str = "gondola.dev/applied";

/// What became of each object.
#[derive(Debug, Default)]
pub struct Applied {
    /// Deployments that were changed in this pass: what the caches say of their rollout is of before.
    changed_deployments: Vec<String>,
    failures: Vec<Failure>,
    overridden: Vec<Overridden>,
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

    /// Where objects are not what was sent, since somebody changes them on their way in.
    pub fn overridden(&self) -> &[Overridden] {
        &self.overridden
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
                refused: None,
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

/// What stays of a kind although nobody asks for it: by its name, or by its variant.
#[derive(Clone, Copy)]
struct Keep<'a> {
    kept: &'a Kept,
    names: &'a BTreeSet<String>,
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
    admission: &'a Admission,
    /// Set once the spec was found to be the newest there is.
    confirmed: OnceCell<()>,
}

/// Brings about what should be: configuration before the pods that mount it, and the end of things last. A failure is a
/// value, and keeps nothing else from being tried.
pub async fn children(
    client: &Client,
    admission: &Admission,
    pipeline: &RecommenderPipeline,
    plan: &Plan,
    observed: &Observed,
) -> Applied {
    let applier = Applier::new(client, admission, pipeline);
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
        scales,
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
    for scale in scales {
        applier.scale(scale, observed, &mut applied).await;
    }
    applier.apply_all(budgets, &observed.budgets, &mut applied).await;
    applier
        .apply_all(autoscalers, &observed.autoscalers, &mut applied)
        .await;
    for (extension, wanted) in extensions {
        let live = &observed.extensions[extension];
        applier
            .extension(*extension, wanted.as_ref(), live, &mut applied)
            .await;
    }
    // Something that can't be brought about may be in the way of what stands in for it: nothing ends before all is there.
    if applied.failures.is_empty() {
        applier.end_surplus(plan, observed, &mut applied).await;
    }
    applied
}

/// Brings about only what keeps users from harm while all else is suspended: that an experiment is rolled back, and that routers hear
/// of it.
pub async fn safety(
    client: &Client,
    admission: &Admission,
    pipeline: &RecommenderPipeline,
    plan: &Plan,
    observed: &Observed,
) -> Applied {
    let applier = Applier::new(client, admission, pipeline);
    let mut applied = Applied::default();
    let names = Names::of(pipeline);
    if observed
        .routes(&names)
        .is_some_and(|routes| routes != plan.routed.routes)
    {
        let safe = [names.ledger(), names.routes()];
        let configs = plan
            .children
            .configs
            .iter()
            .filter(|config| safe.contains(&config.name_any()));
        let configs: Vec<_> = configs.cloned().collect();
        applier.apply_all(&configs, &observed.configs, &mut applied).await;
    }
    applied
}

/// Whether everything is there already as it is planned, so that nothing would be written.
pub fn is_done(plan: &Plan, observed: &Observed) -> bool {
    let Children {
        accounts,
        roles,
        bindings,
        configs,
        services,
        policies,
        deployments,
        budgets,
        scales,
        autoscalers,
        extensions: _,
    } = &plan.children;
    let scaled = |scale: &Scale| {
        let live = observed.deployments.get(&scale.deployment);
        live.is_some_and(|live| is_scaled(live, scale))
    };
    all_there(accounts, &observed.accounts)
        && all_there(roles, &observed.roles)
        && all_there(bindings, &observed.bindings)
        && all_there(configs, &observed.configs)
        && all_there(services, &observed.services)
        && all_there(policies, &observed.policies)
        && all_there(deployments, &observed.deployments)
        && all_there(budgets, &observed.budgets)
        && all_there(autoscalers, &observed.autoscalers)
        && scales.iter().all(scaled)
}

/// Whether a Deployment asks for as many pods as are planned; one that names no number has one.
fn is_scaled(live: &Deployment, scale: &Scale) -> bool {
    live.spec.replicas.unwrap_or(1) == scale.replicas
}

fn all_there<K: Resource<DynamicType = ()> + Serialize>(wanted: &[K], live: &ByName<K>) -> bool {
    wanted.iter().all(|wanted| {
        let hash = |object: &K| object.annotations().get(APPLIED).cloned();
        let Ok(value) = serde_json::to_value(wanted) else {
            return false;
        };
        let sent = with_hash(value)["metadata"]["annotations"][APPLIED].clone();
        live.get(&wanted.name_any())
            .is_some_and(|live| hash(live).map(Value::String) == Some(sent))
    })
}

impl<'a> Applier<'a> {
    fn new(client: &'a Client, admission: &'a Admission, pipeline: &'a RecommenderPipeline) -> Self {
        Self {
            client,
            pipeline,
            admission,
            confirmed: OnceCell::new(),
        }
    }

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
            let outcome = self.apply(&api, &K::kind(&()), object, cached, applied).await;
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
        applied: &mut Applied,
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
        let value =
            |object: &K| serde_json::to_value(object).map_err(|error| failed(kube::Error::SerdeError(error)));
        let wanted = with_hash(value(wanted)?);
        let before = live.as_ref().map(&value).transpose()?;
        if let Some(before) = &before
            && self.is_as_sent(kind, &name, &wanted, before, applied)
        {
            return Ok(Outcome::Unchanged);
        }
        self.confirm().await?;
        tracing::info!(kind, name, namespace = self.namespace(), "applying");
        let version = live.as_ref().and_then(ResourceExt::resource_version);
        let intent = at_version(wanted.clone(), version.clone());
        let parameters = PatchParams::apply(MANAGER).force();
        let became = api
            .patch(&name, &parameters, &Patch::Apply(&intent))
            .await
            .map_err(failed)?;
        let same = version.is_some() && became.resource_version() == version;
        let mut became = value(&became)?;
        // As the caches have it.
        if let Some(metadata) = became["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        if difference(&became, &wanted).is_some() {
            self.admission.remember(&wanted, &became);
            self.is_as_sent(kind, &name, &wanted, &became, applied);
        }
        Ok(if same {
            Outcome::Unchanged
        } else {
            Outcome::Written
        })
    }

    /// Whether an object is what was sent, or what the cluster's admission makes of it every time; then it is noted where it differs.
    fn is_as_sent(
        &self,
        kind: &str,
        name: &str,
        wanted: &Value,
        live: &Value,
        applied: &mut Applied,
    ) -> bool {
        let Some(path) = difference(live, wanted) else {
            self.admission.forget(live);
            return true;
        };
        let known = self.admission.knows(wanted, live);
        if known {
            applied.overridden.push(Overridden {
                kind: kind.to_owned(),
                name: name.to_owned(),
                path,
            });
        }
        known
    }

    /// Sets how many pods a Deployment has, where it has another number. A Deployment that was changed in this pass is looked at in the
    /// next one. It is a field manager of its own that does it: what it sets stays when nobody sets it any more.
    async fn scale(&self, scale: &Scale, observed: &Observed, applied: &mut Applied) {
        let Some(live) = observed.deployments.get(&scale.deployment) else {
            return;
        };
        let changed = applied.changed_deployments.contains(&scale.deployment);
        if changed || !self.owns(live.owner_references()) || is_scaled(live, scale) {
            return;
        }
        let outcome = self.set_replicas(scale, live).await;
        applied.take(outcome);
    }

    async fn set_replicas(&self, scale: &Scale, live: &Deployment) -> Result<Outcome, Failure> {
        let Scale { deployment, replicas } = scale;
        self.confirm().await?;
        tracing::info!(deployment, replicas, namespace = self.namespace(), "scaling");
        let patch = at_version(json!({"spec": {"replicas": replicas}}), live.resource_version());
        let parameters = PatchParams {
            field_manager: Some(SCALE_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let api = self.api::<Deployment>();
        api.patch(deployment, &parameters, &Patch::Merge(&patch))
            .await
            .map_err(|error| Failure::new("Deployment".to_owned(), deployment.clone(), error))?;
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
        live: &ByName<DynamicObject>,
        applied: &mut Applied,
    ) {
        let resource = extension.resource();
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.namespace(), &resource);
        let live = live.get(&self.pipeline.name_any()).map(Arc::as_ref);
        let outcome = match (wanted, live) {
            (Some(wanted), live) => self.apply(&api, &resource.kind, wanted, live, applied).await,
            (None, Some(live)) if self.owns(live.owner_references()) => {
                self.retire(&api, &resource.kind, live).await
            }
            (None, Some(_) | None) => return,
        };
        applied.take(outcome);
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
        let none = BTreeSet::new();
        let kept = |names| Keep {
            kept: &plan.kept,
            names,
        };
        self.end(
            &children.deployments,
            &observed.deployments,
            kept(&plan.kept.deployments),
            applied,
        )
        .await;
        self.end(&children.autoscalers, &observed.autoscalers, kept(&none), applied)
            .await;
        self.end(&children.budgets, &observed.budgets, kept(&none), applied)
            .await;
        self.end(&children.services, &observed.services, kept(&none), applied)
            .await;
        self.end(&children.policies, &observed.policies, kept(&none), applied)
            .await;
        self.end(
            &children.configs,
            &observed.configs,
            kept(&plan.kept.configs),
            applied,
        )
        .await;
        self.end(&children.bindings, &observed.bindings, kept(&none), applied)
            .await;
        self.end(&children.roles, &observed.roles, kept(&none), applied)
            .await;
        self.end(
            &children.accounts,
            &observed.accounts,
            kept(&plan.kept.accounts),
            applied,
        )
        .await;
    }

    async fn end<K>(&self, wanted: &[K], live: &ByName<K>, keep: Keep<'_>, applied: &mut Applied)
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
                    && !keep.kept.keeps(object.as_ref(), keep.names)
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
