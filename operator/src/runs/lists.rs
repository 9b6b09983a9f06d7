//! Everybody's lists: what a `RecommendationJob` looks at, and the pods of its runs.
//!
//! A pod is given a copy of the order that the variant's own pods have, so that lists are what those pods answer, and the routes where
//! users' own variants are asked for.

use std::collections::BTreeMap;

use gondola_crds::runs::{Runs, RunsStatus};
use gondola_crds::spec::{PodOverrides, Variant};
use gondola_crds::store::Place;
use gondola_crds::{RecommendationJob, RecommenderPipeline};
use gondola_wire::routes::{ROUTES_KEY, Route, Routes};
use gondola_wire::serve_order::{ORDER_FILE, ServeOrder};
use gondola_wire::variables;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, PodSpec};
use kube::api::Api;
use kube::{Client, ResourceExt as _};

use super::job::{FILES_FOLDER, JOB_VARIABLE};
use super::kind::{Part, RunKind, Work, allows_use};
use super::names::RunNames;
use crate::finding::Finding;
use crate::names::{Component, Names, controls};
use crate::observed::parsed;
use crate::pipeline::Pipeline;
use crate::plan::Installation;
use crate::plan::pod::{self, Access, BUNDLES_FOLDER, StoreUse};
use crate::plan::variant::ORDER_VOLUME;
use crate::policy::{self, Objection, Policy};
use crate::reasons;

/// Where the credentials of the output's store are mounted.
const OUT_CREDENTIALS_FOLDER: &str = "/etc/gondola/out-credentials";
/// Where the list of users is mounted.
const USERS_FOLDER: &str = "/etc/gondola/users";

/// What the lists depend on.
#[derive(Clone, Debug, Default)]
pub struct Serving {
    /// The pipeline; none where there is none of that name.
    pub pipeline: Option<Pipeline>,
    /// Whether the service account that it names may be used.
    pub account_allowed: bool,
    /// The order that the newest pods of each variant have, by the variant's name.
    pub orders: BTreeMap<String, ServeOrder>,
    /// The routes of its routers.
    pub routes: Option<Routes>,
}

impl RunKind for RecommendationJob {
    type Inputs = Serving;

    fn runs(&self) -> &Runs {
        &self.spec.runs
    }

    fn status(&self) -> Option<&RunsStatus> {
        self.status.as_ref()
    }

    fn output(&self) -> Option<&str> {
        Some(&self.spec.output.url)
    }

    async fn look(&self, client: &Client, namespace: &str) -> Result<Serving, kube::Error> {
        let pipelines: Api<RecommenderPipeline> = Api::namespaced(client.clone(), namespace);
        let found = pipelines.get_opt(&self.spec.pipeline).await?;
        let Some(pipeline) = found.and_then(|pipeline| Pipeline::try_from(&pipeline).ok()) else {
            return Ok(Serving::default());
        };
        let account = pipeline.spec.artifacts.service_account_name.as_deref();
        let mut serving = Serving {
            account_allowed: allows_use(client, namespace, account).await?,
            ..Serving::default()
        };
        let configs: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
        let routes = configs.get_opt(&pipeline.names.routes()).await?;
        serving.routes = routes.and_then(|routes| parsed(&routes, ROUTES_KEY));
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
        for variant in &pipeline.spec.variants {
            let name = pipeline.names.component(Component::Variant(&variant.name));
            let Some(order) = deployments
                .get_opt(&name)
                .await?
                .and_then(|live| order_of(&live, &pipeline.names))
            else {
                continue;
            };
            let order = configs.get_opt(&order).await?;
            if let Some(order) = order.and_then(|order| parsed(&order, ORDER_FILE)) {
                serving.orders.insert(variant.name.clone(), order);
            }
        }
        serving.pipeline = Some(pipeline);
        Ok(serving)
    }

    fn parts(
        &self,
        names: &RunNames,
        serving: &Serving,
        installation: &Installation,
    ) -> Result<Vec<Part>, Finding> {
        let spec = &self.spec;
        let pipeline = serving.pipeline.as_ref().ok_or_else(|| {
            let name = &spec.pipeline;
            Finding::unmet(
                reasons::PIPELINE_NOT_FOUND,
                format!("spec.pipeline is {name:?}, and there is no such RecommenderPipeline in this namespace; apply it, or name another"),
            )
        })?;
        if let Some(objection) = objection(self, serving, pipeline, &installation.policy) {
            return Err(Finding::stuck(objection.reason(), objection.to_string()));
        }
        let lists = Lists {
            job: self,
            names,
            pipeline,
            installation,
        };
        match &spec.variant {
            Some(name) => {
                let variant = pipeline
                    .spec
                    .variants
                    .iter()
                    .find(|variant| variant.name == *name);
                let variant = variant.ok_or_else(|| no_such_variant(name, pipeline))?;
                Ok(vec![lists.part(variant, serving, None)?])
            }
            None => lists.own_variants(serving),
        }
    }
}

/// The ConfigMap of the order that a Deployment of this pipeline gives its pods.
fn order_of(live: &Deployment, names: &Names) -> Option<String> {
    if !controls(names.uid(), live.owner_references()) {
        return None;
    }
    let mut volumes = live.spec.template.spec.as_ref()?.volumes.iter().flatten();
    volumes.find_map(|volume| {
        (volume.name == ORDER_VOLUME).then(|| Some(volume.config_map.as_ref()?.name.clone()))?
    })
}

fn no_such_variant(name: &str, pipeline: &Pipeline) -> Finding {
    let known: Vec<&str> = pipeline
        .spec
        .variants
        .iter()
        .map(|variant| &*variant.name)
        .collect();
    Finding::stuck(
        reasons::VARIANT_NOT_FOUND,
        format!(
            "spec.variant is {name:?}, and pipeline {} has {}; name one of these, or none for each user's own",
            pipeline.names.pipeline(),
            known.join(", ")
        ),
    )
}

fn objection(
    job: &RecommendationJob,
    serving: &Serving,
    pipeline: &Pipeline,
    policy: &Policy,
) -> Option<Objection> {
    let place = |field, url, endpoint| policy::Place { field, url, endpoint };
    let (output, artifacts) = (&job.spec.output, &pipeline.spec.artifacts);
    let places = [
        place("spec.output", &*output.url, output.endpoint.as_deref()),
        place(
            "the pipeline's spec.artifacts",
            &*artifacts.url,
            artifacts.endpoint.as_deref(),
        ),
    ];
    let pods = [
        ("spec.pods".to_owned(), job.spec.runs.pods.as_ref()),
        ("the pipeline's spec.pods".to_owned(), pipeline.spec.pods.as_ref()),
    ];
    policy::account(artifacts, serving.account_allowed)
        .or_else(|| policy::objection_to(&places, &pods, policy))
}

/// What the pods of lists are rendered from.
struct Lists<'a> {
    job: &'a RecommendationJob,
    names: &'a RunNames,
    pipeline: &'a Pipeline,
    installation: &'a Installation,
}

impl Lists<'_> {
    /// A part for each variant that gets users.
    fn own_variants(&self, serving: &Serving) -> Result<Vec<Part>, Finding> {
        let routes = serving
            .routes
            .as_ref()
            .ok_or_else(|| self.not_ready("its routes are not there yet"))?;
        let header = routes
            .experiment
            .as_ref()
            .and_then(|experiment| experiment.unit_header.as_ref());
        if let Some(header) = header {
            return Err(Finding::unmet(
                reasons::OWN_VARIANT_UNKNOWN,
                format!(
                    "the experiment of pipeline {} splits users by the header {header:?} of their requests, so that nobody can say ahead of time which variant they get; name one with spec.variant",
                    self.pipeline.names.pipeline()
                ),
            ));
        }
        let with_users = routes.variants.iter().filter(|route| gets_users(routes, route));
        let variants = with_users.filter_map(|route| {
            let mut variants = self.pipeline.spec.variants.iter();
            variants.find(|variant| variant.name == route.name)
        });
        variants
            .map(|variant| self.part(variant, serving, Some(routes)))
            .collect()
    }

    fn not_ready(&self, why: &str) -> Finding {
        let pipeline = self.pipeline.names.pipeline();
        Finding::pending(
            reasons::PIPELINE_NOT_READY,
            format!("pipeline {pipeline} serves nothing yet: {why}"),
        )
    }

    /// The part of one variant; for its own users alone where routes are given.
    fn part(&self, variant: &Variant, serving: &Serving, routes: Option<&Routes>) -> Result<Part, Finding> {
        let order = serving.orders.get(&variant.name);
        let order =
            order.ok_or_else(|| self.not_ready(&format!("variant {} has no bundles", variant.name)))?;
        let text = |value: Result<String, serde_json::Error>| {
            value.expect("what was read from JSON can be written as JSON")
        };
        let mut files = BTreeMap::from([(ORDER_FILE.to_owned(), text(serde_json::to_string_pretty(order)))]);
        if let Some(routes) = routes {
            files.insert(ROUTES_KEY.to_owned(), text(serde_json::to_string(routes)));
        }
        let spec = &self.job.spec;
        let of_variant = pod::overrides(self.pipeline.spec.pods.as_ref(), variant.pods.as_ref());
        let overrides = pod::overrides(Some(&of_variant), spec.runs.pods.as_ref());
        let shards = spec.shards.unwrap_or(1);
        Ok(Part {
            own: variant.name.clone(),
            pod: self.pod(variant, order, routes.is_some(), &overrides),
            files,
            work: Work::Shards {
                shards,
                parallelism: spec.parallelism.unwrap_or(shards),
            },
            overrides,
        })
    }

    fn pod(&self, variant: &Variant, order: &ServeOrder, own: bool, overrides: &PodOverrides) -> PodSpec {
        let spec = &self.job.spec;
        let shard = format!("$(JOB_COMPLETION_INDEX)/{}", spec.shards.unwrap_or(1));
        let folder = if own {
            format!("{}/", variant.name)
        } else {
            String::new()
        };
        let out = format!("$({})/{folder}$({JOB_VARIABLE})", variables::OUT);
        let program = self.installation.images.of(variant);
        let mut container = pod::container(
            "batch",
            program,
            &["batch", "--shard", &shard, "--out", &out],
            overrides,
        );
        let bytes = order.bundles.bytes();
        container.resources = Some(
            spec.runs
                .resources
                .clone()
                .unwrap_or_else(|| pod::loading_resources(bytes)),
        );
        pod::set(
            &mut container,
            variables::ORDER,
            format!("{FILES_FOLDER}/{ORDER_FILE}"),
        );
        pod::set(
            &mut container,
            variables::NAMESPACE,
            self.pipeline.names.namespace(),
        );
        pod::set(&mut container, variables::BUNDLES, BUNDLES_FOLDER);
        if own {
            pod::set(
                &mut container,
                variables::ROUTES,
                format!("{FILES_FOLDER}/{ROUTES_KEY}"),
            );
        }
        let arguments = container.args.get_or_insert_default();
        if let Some(k) = spec.k {
            arguments.extend(["--k".to_owned(), k.to_string()]);
        }
        let users = spec.users.as_ref().map(|users| &users.config_map);
        if let Some(users) = users {
            arguments.extend(["--users".to_owned(), format!("{USERS_FOLDER}/{}", users.key)]);
        }
        let mut pod = pod::spec(
            self.pipeline.artifacts_account(),
            self.names.label_selector(),
            overrides,
            self.installation,
        );
        pod.containers = vec![container];
        if let Some(users) = users {
            pod::mount(
                &mut pod,
                pod::config_map("users", &users.name),
                USERS_FOLDER,
                Access::Read,
            );
        }
        pod::mount(&mut pod, pod::bundles(bytes), BUNDLES_FOLDER, Access::Write);
        pod::reads_store(&mut pod, &self.pipeline.spec.artifacts);
        writes(&mut pod, &spec.output);
        pod
    }
}

/// Whether routers send users to a variant: the arms of an experiment, the control among them, or who has a share.
fn gets_users(routes: &Routes, route: &Route) -> bool {
    match &routes.experiment {
        Some(experiment) => experiment.arms.iter().any(|arm| arm.variant == route.name),
        None => route.weight > 0 || !route.buckets.is_empty(),
    }
}

/// Lets a pod's containers write to a place.
fn writes(pod: &mut PodSpec, place: &Place) {
    StoreUse {
        name: "out-",
        url: place.url.trim_end_matches('/'),
        endpoint: place.endpoint.as_deref(),
        credentials: place
            .credentials
            .as_ref()
            .map(|credentials| &credentials.secret_ref),
        claim: place.volume_claim.as_ref(),
        credentials_folder: OUT_CREDENTIALS_FOLDER,
        credentials_variable: variables::OUT_CREDENTIALS,
        endpoint_variable: variables::OUT_ENDPOINT,
        url_variable: variables::OUT,
        access: Access::Write,
    }
    .grant(pod);
}
