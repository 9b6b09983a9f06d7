//! The garbage collector's work, done when it is asked for.
//!
//! As in a cluster, an object goes when it has owners and none of them is there any more (an owner counts only with its
//! uid), and one that waits for its dependents (foreground deletion) goes after them. An owner is looked for in its
//! dependent's namespace: cluster-wide owners are not served here.

use std::collections::BTreeMap;

use anyhow::Context;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, Preconditions,
};
use kube::{Client, ResourceExt};
use serde_json::json;

use crate::ApiServer;
use crate::rename::served_api_version;

/// The finalizer with which an object waits for its dependents.
const FOREGROUND: &str = "foregroundDeletion";

impl ApiServer {
    /// Deletes what a garbage collector would, until nothing is left to delete; says what that was, as `Kind
    /// namespace/name`, in the order of deletion.
    pub async fn collect_garbage(&self) -> anyhow::Result<Vec<String>> {
        let client = self.direct()?;
        let mut collected = Vec::new();
        loop {
            let heap = Heap::look(&client).await?;
            let garbage: Vec<&Object> = heap
                .objects
                .iter()
                .filter(|object| heap.is_garbage(object))
                .collect();
            let waiting = heap.objects.iter().filter(|object| heap.waits_in_vain(object));
            let mut changed = !garbage.is_empty();
            for object in garbage {
                object.delete(&client).await?;
                collected.push(object.to_string());
            }
            for object in waiting {
                object.stop_waiting(&client).await?;
                collected.push(object.to_string());
                changed = true;
            }
            if !changed {
                return Ok(collected);
            }
        }
    }
}

/// Every object that the server has, of every kind.
struct Heap {
    objects: Vec<Object>,
    /// By uid: what they are called.
    alive: BTreeMap<String, Name>,
}

/// An owner reference's text, and the namespace that it is meant in.
#[derive(PartialEq, Eq)]
struct Name {
    api_version: String,
    kind: String,
    namespace: Option<String>,
    name: String,
}

struct Object {
    resource: ApiResource,
    found: DynamicObject,
}

impl Heap {
    async fn look(client: &Client) -> anyhow::Result<Self> {
        let mut objects = Vec::new();
        for resource in resources(client).await? {
            let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
            let found = api.list(&ListParams::default()).await?;
            objects.extend(found.items.into_iter().map(|found| Object {
                resource: resource.clone(),
                found,
            }));
        }
        let alive = objects
            .iter()
            .filter_map(|object| Some((object.found.uid()?, object.name())))
            .collect();
        Ok(Self { objects, alive })
    }

    fn is_garbage(&self, object: &Object) -> bool {
        let owners = object.found.owner_references();
        let goes_already = object.found.metadata.deletion_timestamp.is_some();
        !goes_already && !owners.is_empty() && !owners.iter().any(|owner| self.is_there(owner, object))
    }

    /// An owner that waits for its dependents is no reason to stay.
    fn is_there(&self, owner: &OwnerReference, dependent: &Object) -> bool {
        let meant = Name {
            api_version: served_api_version(&owner.api_version),
            kind: owner.kind.clone(),
            namespace: dependent.found.namespace(),
            name: owner.name.clone(),
        };
        let waits = |object: &Object| object.found.uid().as_ref() == Some(&owner.uid) && object.waits();
        self.alive.get(&owner.uid) == Some(&meant) && !self.objects.iter().any(waits)
    }

    /// Whether an object waits for dependents that are gone.
    fn waits_in_vain(&self, object: &Object) -> bool {
        let uid = object.found.uid();
        let depends = |other: &Object| {
            other
                .found
                .owner_references()
                .iter()
                .any(|owner| Some(&owner.uid) == uid.as_ref())
        };
        object.waits() && !self.objects.iter().any(depends)
    }
}

impl Object {
    fn name(&self) -> Name {
        Name {
            api_version: self.resource.api_version.clone(),
            kind: self.resource.kind.clone(),
            namespace: self.found.namespace(),
            name: self.found.name_any(),
        }
    }

    /// Whether it is being deleted and waits for its dependents.
    fn waits(&self) -> bool {
        let foreground = self
            .found
            .finalizers()
            .iter()
            .any(|finalizer| finalizer == FOREGROUND);
        foreground && self.found.metadata.deletion_timestamp.is_some()
    }

    fn api(&self, client: &Client) -> Api<DynamicObject> {
        match self.found.namespace() {
            Some(namespace) => Api::namespaced_with(client.clone(), &namespace, &self.resource),
            None => Api::all_with(client.clone(), &self.resource),
        }
    }

    async fn delete(&self, client: &Client) -> anyhow::Result<()> {
        let this_one = Preconditions {
            uid: self.found.uid(),
            resource_version: None,
        };
        let how = DeleteParams::background().preconditions(this_one);
        self.api(client)
            .delete(&self.found.name_any(), &how)
            .await
            .with_context(|| format!("cannot delete {self}"))?;
        Ok(())
    }

    async fn stop_waiting(&self, client: &Client) -> anyhow::Result<()> {
        let finalizers: Vec<&String> = self
            .found
            .finalizers()
            .iter()
            .filter(|name| *name != FOREGROUND)
            .collect();
        let patch = json!({"metadata": {
            "finalizers": finalizers, "resourceVersion": self.found.resource_version(),
        }});
        let name = self.found.name_any();
        self.api(client)
            .patch(&name, &PatchParams::default(), &Patch::Merge(&patch))
            .await?;
        Ok(())
    }
}

impl std::fmt::Display for Object {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let namespace = self
            .found
            .namespace()
            .map(|namespace| namespace + "/")
            .unwrap_or_default();
        write!(
            formatter,
            "{} {namespace}{}",
            self.resource.kind,
            self.found.name_any()
        )
    }
}

/// Every kind that the server serves, under the server's names.
async fn resources(client: &Client) -> anyhow::Result<Vec<ApiResource>> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let definitions = definitions.list(&ListParams::default()).await?;
    let resources = definitions
        .items
        .into_iter()
        .map(|definition| definition.spec)
        .filter_map(|spec| {
            let version = spec.versions.iter().find(|version| version.storage)?.name.clone();
            Some(ApiResource {
                api_version: format!("{}/{version}", spec.group),
                group: spec.group,
                version,
                kind: spec.names.kind,
                plural: spec.names.plural,
            })
        });
    Ok(resources.collect())
}
