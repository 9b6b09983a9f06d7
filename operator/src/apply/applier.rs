//! One pass's writes to the API server: each names the version that it was decided on.

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

use super::admission::{Admission, Overridden};
use super::covers::difference;
use super::failure::Failure;
use super::{APPLIED, Applied, MANAGER, SCALE_MANAGER};
use crate::extension::Extension;
use crate::kinds::{ByName, Kind, Row};
use crate::names::{controls, short_hash};
use crate::observed::Observed;
use crate::pipeline::Pipeline;
use crate::plan::{Kept, Scale};

/// The outcome of applying one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It already was as planned.
    Unchanged,
    /// It was sent.
    Written,
}

/// Objects of one pipeline, as the API server has them.
pub(super) struct Applier<'a> {
    client: &'a Client,
    pipeline: &'a Pipeline,
    admission: &'a Admission,
    /// Set once the spec was found to be the newest there is.
    confirmed: OnceCell<()>,
}

impl<'a> Applier<'a> {
    pub(super) fn new(client: &'a Client, admission: &'a Admission, pipeline: &'a Pipeline) -> Self {
        Self {
            client,
            pipeline,
            admission,
            confirmed: OnceCell::new(),
        }
    }

    fn namespace(&self) -> &str {
        self.pipeline.names.namespace()
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), self.namespace())
    }

    /// Applies objects of one kind.
    pub(super) async fn apply_all<K: Kind>(&self, wanted: &[K], live: &ByName<K>) -> Applied {
        let api = self.api::<K>();
        let mut applied = Applied::default();
        for object in wanted {
            let name = object.name_any();
            let cached = live.get(&name).map(Arc::as_ref);
            let kind = K::kind(&());
            let outcome = self.apply(&api, &kind, object, cached, &mut applied).await;
            if applied.take(outcome) {
                applied.sent.insert((kind.into_owned(), name));
            }
        }
        applied
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

    /// Whether an object is what was sent, or what the cluster's admission makes of it every time; in that case the
    /// difference is recorded.
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

    /// Sets the number of pods of a Deployment if it differs. A Deployment that was changed in this pass waits for the
    /// next one. This uses a field manager of its own, so that the number stays when the spec no longer sets it.
    pub(super) async fn scale(&self, scale: &Scale, observed: &Observed, applied: &mut Applied) {
        let Some(live) = observed.children.deployments.get(&scale.deployment) else {
            return;
        };
        let changed = applied.has_sent("Deployment", &scale.deployment);
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

    /// Checks, before the first write of a pass, that the spec that it was planned from is still the newest: with a
    /// cache filled from a lagging server we would undo what was done for a newer one.
    async fn confirm(&self) -> Result<(), Failure> {
        let ask = async || {
            let names = &self.pipeline.names;
            let (kind, name) = (
                RecommenderPipeline::kind(&()).into_owned(),
                names.pipeline().to_owned(),
            );
            let live = self.api::<RecommenderPipeline>().get_metadata_opt(&name).await;
            let live = live.map_err(|error| Failure::new(kind.clone(), name.clone(), error))?;
            let same = live.is_some_and(|live| {
                live.metadata.uid.as_deref() == Some(names.uid())
                    && live.metadata.generation == Some(self.pipeline.generation)
                    && live.metadata.deletion_timestamp.is_none()
            });
            same.then_some(()).ok_or(Failure::Outdated { kind, name })
        };
        self.confirmed.get_or_try_init(ask).await.copied()
    }

    /// Applies an object of an API that this cluster has, or deletes it if the spec wants none.
    pub(super) async fn extension(
        &self,
        extension: Extension,
        wanted: Option<&DynamicObject>,
        live: &ByName<DynamicObject>,
        applied: &mut Applied,
    ) {
        let resource = extension.resource();
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), self.namespace(), &resource);
        let live = live.get(self.pipeline.names.pipeline()).map(Arc::as_ref);
        let outcome = match (wanted, live) {
            (Some(wanted), live) => self.apply(&api, &resource.kind, wanted, live, applied).await,
            (None, Some(live)) if self.owns(live.owner_references()) => {
                self.delete(&api, &resource.kind, live).await
            }
            (None, Some(_) | None) => return,
        };
        applied.take(outcome);
    }

    /// Whether this very pipeline owns an object.
    fn owns(&self, owners: &[OwnerReference]) -> bool {
        controls(self.pipeline.names.uid(), owners)
    }

    /// Deletes the pipeline's objects that are no longer wanted.
    pub(super) async fn delete_surplus<K: Kind>(&self, row: Row<'_, K>, kept: &Kept) -> Applied {
        let api = self.api::<K>();
        let surplus = row
            .live
            .values()
            .filter(|object| self.owns(object.owner_references()))
            .filter(|object| {
                let name = object.name_any();
                object.meta().deletion_timestamp.is_none()
                    && !kept.keeps(object.as_ref(), row.kept)
                    && row.wanted.iter().all(|wanted| wanted.name_any() != name)
            });
        let mut applied = Applied::default();
        for object in surplus {
            let outcome = self.delete(&api, &K::kind(&()), object.as_ref()).await;
            applied.take(outcome);
        }
        applied
    }

    /// Deletes exactly the object that was seen, never one that has taken its name, or has changed since.
    async fn delete<K>(&self, api: &Api<K>, kind: &str, object: &K) -> Result<Outcome, Failure>
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

/// Whether a Deployment asks for as many pods as are planned; one that names no number has one.
pub(super) fn is_scaled(live: &Deployment, scale: &Scale) -> bool {
    live.spec.replicas.unwrap_or(1) == scale.replicas
}

/// Adds the hash of an object to it, so that a field that was taken out of it is noticed.
pub(super) fn with_hash(mut object: Value) -> Value {
    let hash = short_hash(&object.to_string());
    object["metadata"]["annotations"][APPLIED] = Value::String(hash);
    object
}

/// Binds a write to the version of the object that was read: it fails if somebody has changed the object since.
pub(super) fn at_version(mut object: Value, version: Option<String>) -> Value {
    if let Some(version) = version {
        object["metadata"]["resourceVersion"] = Value::String(version);
    }
    object
}
