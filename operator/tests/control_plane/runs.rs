//! Lists and trainings: the Jobs and schedules that the operator makes of them, and what it says of their runs. The test does what
//! Kubernetes' own controllers of Jobs would.

use std::collections::BTreeMap;

use anyhow::Context as _;
use gondola_crds::runs::RunsStatus;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{ResourceExt as _, core::gvk};
use serde_json::{Value, json};

use crate::world::{World, experiment, is_operator, pipeline, until};

const NAMESPACE: &str = "shop";
/// The service account's name is that of every namespace.
const DEFAULT_ACCOUNT: &str = "default";

fn lists(spec: Value) -> Value {
    let mut all = json!({
        "apiVersion": "gondola.dev/v1alpha1", "kind": "RecommendationJob", "metadata": {"name": "mails"},
        "spec": {"pipeline": "grocery", "variant": "dlrm", "output": {"url": "s3://shop/lists/"}},
    });
    merge(&mut all["spec"], spec);
    all
}

fn training(spec: Value) -> Value {
    let mut all = json!({
        "apiVersion": "gondola.dev/v1alpha1", "kind": "RecommenderTraining", "metadata": {"name": "weekly"},
        "spec": {
            "config": {"name": "dataset", "key": "dataset.yaml"}, "data": {"url": "s3://shop/sales"},
            "encoder": {"url": "s3://shop/encoder"},
            "artifacts": {"url": "s3://models/grocery", "credentials": {"secretRef": {"name": "models-s3"}}},
        },
    });
    merge(&mut all["spec"], spec);
    all
}

fn merge(into: &mut Value, fields: Value) {
    for (name, value) in fields.as_object().into_iter().flatten() {
        into[name] = value.clone();
    }
}

/// Objects that ask for runs, their Jobs and their schedules.
struct Runs<'a>(&'a World);

impl Runs<'_> {
    fn api(&self, kind: &str) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("gondola.dev", "v1alpha1", kind));
        Api::namespaced_with(self.0.client.clone(), NAMESPACE, &resource)
    }

    async fn apply(&self, object: &Value) -> anyhow::Result<DynamicObject> {
        let api = self.api(object["kind"].as_str().context("a kind")?);
        let name = object["metadata"]["name"].as_str().context("a name")?;
        Ok(api
            .patch(name, &PatchParams::apply("user").force(), &Patch::Apply(object))
            .await?)
    }

    /// The status, once a condition is as wanted for the newest generation.
    async fn wait_for(&self, object: &Value, condition: &str, reason: &str) -> anyhow::Result<RunsStatus> {
        let api = self.api(object["kind"].as_str().context("a kind")?);
        let name = object["metadata"]["name"].as_str().context("a name")?;
        let seen = std::sync::Mutex::new(Value::Null);
        let outcome = until(&format!("{name} has {condition} for {reason}"), || async {
            let live = api.get(name).await?;
            *seen.lock().unwrap() = live.data["status"].clone();
            let status: RunsStatus = serde_json::from_value(live.data["status"].clone()).unwrap_or_default();
            let mut conditions = status.conditions.iter();
            let there = conditions.any(|known| known.type_ == condition && known.reason == reason);
            Ok((there && status.observed_generation == live.metadata.generation).then_some(status))
        })
        .await;
        outcome.with_context(|| seen.lock().unwrap().to_string())
    }

    async fn jobs(&self) -> anyhow::Result<BTreeMap<String, Job>> {
        let api: Api<Job> = Api::namespaced(self.0.client.clone(), NAMESPACE);
        let jobs = api.list(&ListParams::default()).await?;
        Ok(jobs.into_iter().map(|job| (job.name_any(), job)).collect())
    }

    async fn wait_for_jobs(&self, count: usize) -> anyhow::Result<BTreeMap<String, Job>> {
        until(&format!("there are {count} Jobs"), || async {
            let jobs = self.jobs().await?;
            Ok((jobs.len() == count).then_some(jobs))
        })
        .await
    }

    async fn schedules(&self) -> anyhow::Result<Vec<CronJob>> {
        let api: Api<CronJob> = Api::namespaced(self.0.client.clone(), NAMESPACE);
        Ok(api.list(&ListParams::default()).await?.items)
    }

    async fn configs(&self) -> anyhow::Result<Vec<ConfigMap>> {
        let api: Api<ConfigMap> = Api::namespaced(self.0.client.clone(), NAMESPACE);
        Ok(api
            .list(&ListParams::default().labels("gondola.dev/runs-of"))
            .await?
            .items)
    }

    /// What the controller of Jobs says of one.
    async fn say(&self, job: &str, status: Value) -> anyhow::Result<()> {
        let api: Api<Job> = Api::namespaced(self.0.client.clone(), NAMESPACE);
        let patch = Patch::Merge(json!({"status": status}));
        api.patch_status(job, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    async fn complete(&self, job: &str, parts: i32) -> anyhow::Result<()> {
        let status = json!({
            "succeeded": parts, "startTime": "2026-11-29T03:30:00Z", "completionTime": "2026-11-29T03:34:00Z",
            "conditions": [{"type": "Complete", "status": "True"}],
        });
        self.say(job, status).await
    }
}

async fn ready_pipeline(world: &World, spec: &Value) -> anyhow::Result<()> {
    world.apply(NAMESPACE, spec).await?;
    world.wait_for(NAMESPACE, "grocery", "Ready", "True").await?;
    Ok(())
}

fn only<T: Clone>(map: &BTreeMap<String, T>) -> (String, T) {
    assert_eq!(map.len(), 1);
    let (name, value) = map.first_key_value().unwrap();
    (name.clone(), value.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_one_job_that_is_made_once() -> anyhow::Result<()> {
    let Some(world) = World::start().await? else {
        return Ok(());
    };
    let (operator, runs) = (world.operator()?, Runs(&world));
    let mails = lists(json!({"shards": 4, "parallelism": 2, "k": 20, "retries": 5}));
    runs.apply(&mails).await?;
    let waiting = runs.wait_for(&mails, "Reconciling", "PipelineNotFound").await?;
    assert!(
        waiting.conditions[0].message.contains("\"grocery\""),
        "{waiting:?}"
    );
    ready_pipeline(&world, &pipeline(&[("dlrm", 50, 1), ("forest", 50, 1)])).await?;

    let (name, job) = only(&runs.wait_for_jobs(1).await?);
    let spec = job.spec.clone().unwrap();
    assert_eq!(spec.completion_mode.as_deref(), Some("Indexed"));
    assert_eq!(
        (spec.completions, spec.parallelism, spec.backoff_limit_per_index),
        (Some(4), Some(2), Some(5))
    );
    let pod = spec.template.spec.unwrap();
    let arguments = pod.containers[0].args.clone().unwrap();
    let wanted = [
        "batch",
        "--shard",
        "$(JOB_COMPLETION_INDEX)/4",
        "--out",
        "$(GONDOLA_OUT)/$(GONDOLA_JOB)",
        "--k",
        "20",
    ];
    assert_eq!(arguments, wanted);
    let order = runs.configs().await?.remove(0).data.unwrap()["order.json"].clone();
    assert!(
        order.contains("\"version\": \"v1\"") && order.contains("\"name\": \"dlrm\""),
        "{order}"
    );

    // The pipeline serves something newer: what runs, goes on as it began.
    world.publish(Some("v2"));
    until("the pipeline serves v2", || async {
        let order: Api<ConfigMap> = Api::namespaced(world.client.clone(), NAMESPACE);
        let orders = order
            .list(&ListParams::default().labels("gondola.dev/variant=dlrm"))
            .await?;
        let texts = orders
            .items
            .iter()
            .filter_map(|config| config.data.as_ref()?.get("order.json"));
        Ok(texts.clone().any(|text| text.contains("\"v2\"")).then_some(()))
    })
    .await?;
    runs.say(
        &name,
        json!({"succeeded": 3, "startTime": "2026-11-29T03:30:00Z"}),
    )
    .await?;
    until("the status has the progress", || async {
        let status = runs.wait_for(&mails, "Complete", "Running").await?;
        Ok((status.run.unwrap().progress.as_deref() == Some("3/4")).then_some(()))
    })
    .await?;
    assert_eq!(only(&runs.jobs().await?).0, name);
    runs.complete(&name, 4).await?;
    let done = runs.wait_for(&mails, "Complete", "RunComplete").await?;
    assert_eq!(done.run.as_ref().unwrap().progress.as_deref(), Some("4/4"));
    assert_eq!(
        done.last_successful_time.as_ref().unwrap().0.to_string(),
        "2026-11-29T03:34:00Z"
    );

    // Its time to live is over: that is no reason to run again.
    let api: Api<Job> = Api::namespaced(world.client.clone(), NAMESPACE);
    api.delete(&name, &DeleteParams::background()).await?;
    world.wait_until_quiet().await?;
    assert!(runs.jobs().await?.is_empty());
    runs.wait_for(&mails, "Complete", "RunComplete").await?;
    assert!(
        runs.configs().await?.is_empty(),
        "nobody reads the order any more"
    );

    // Another wish is another run, with what is served now.
    runs.apply(&lists(json!({"shards": 2}))).await?;
    let (second, _) = only(&runs.wait_for_jobs(1).await?);
    assert_ne!(second, name);
    let order = runs.configs().await?.remove(0).data.unwrap()["order.json"].clone();
    assert!(order.contains("\"version\": \"v2\""), "{order}");
    operator.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_has_their_own_variant_in_a_job_for_each() -> anyhow::Result<()> {
    let Some(world) = World::start().await? else {
        return Ok(());
    };
    let (operator, runs) = (world.operator()?, Runs(&world));
    let mut shop = pipeline(&[("dlrm", 50, 1), ("forest", 50, 1), ("mlp", 0, 1)]);
    ready_pipeline(&world, &shop).await?;
    let mut own = lists(json!({"shards": 2}));
    own["spec"].as_object_mut().unwrap().remove("variant");
    runs.apply(&own).await?;
    let jobs = runs.wait_for_jobs(2).await?;
    let outs: Vec<String> = jobs
        .values()
        .map(|job| {
            job.spec.clone().unwrap().template.spec.unwrap().containers[0]
                .args
                .clone()
                .unwrap()[4]
                .clone()
        })
        .collect();
    for variant in ["dlrm", "forest"] {
        let out = format!("$(GONDOLA_OUT)/{variant}/$(GONDOLA_JOB)");
        assert!(outs.contains(&out), "{outs:?}");
    }
    let configs = runs.configs().await?;
    assert!(
        configs
            .iter()
            .all(|config| config.data.as_ref().unwrap()["routes.json"].contains("\"dlrm\""))
    );
    let names: Vec<&String> = jobs.keys().collect();
    runs.complete(names[0], 2).await?;
    let status = runs.wait_for(&own, "Complete", "Running").await?;
    assert_ne!(
        status.run.unwrap().completion_time.map(|time| time.0),
        Some("2026-11-29T03:34:00Z".parse()?)
    );
    runs.complete(names[1], 2).await?;
    let status = runs.wait_for(&own, "Complete", "RunComplete").await?;
    assert_eq!(status.run.unwrap().progress.as_deref(), Some("4/4"));

    // Nobody can say ahead of time whom a header will name.
    shop["spec"]["experiment"] = experiment("dlrm", "forest");
    shop["spec"]["experiment"]["unit"] = json!({"header": "x-household"});
    ready_pipeline(&world, &shop).await?;
    own["spec"]["k"] = 5.into();
    runs.apply(&own).await?;
    let refused = runs.wait_for(&own, "Ready", "OwnVariantUnknown").await?;
    assert!(
        refused.conditions[0].message.contains("x-household"),
        "{refused:?}"
    );
    operator.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_takes_what_is_served_when_a_run_begins() -> anyhow::Result<()> {
    let Some(world) = World::start().await? else {
        return Ok(());
    };
    let (operator, runs) = (world.operator()?, Runs(&world));
    ready_pipeline(&world, &pipeline(&[("dlrm", 50, 1)])).await?;
    let nightly = lists(
        json!({"schedule": "30 3 * * *", "timeZone": "Europe/Berlin", "successfulJobsHistoryLimit": 2}),
    );
    runs.apply(&nightly).await?;
    runs.wait_for(&nightly, "Ready", "AsRequested").await?;
    let schedule = runs.schedules().await?.remove(0);
    assert_eq!(schedule.spec.schedule, "30 3 * * *");
    assert_eq!(schedule.spec.concurrency_policy.as_deref(), Some("Forbid"));
    assert_eq!(schedule.spec.successful_jobs_history_limit, Some(2));
    world.wait_until_quiet().await?;

    // As the controller of schedules makes one.
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {
            "name": format!("{}-29399370", schedule.name_any()),
            "labels": schedule.spec.job_template.metadata.clone().unwrap().labels,
            "ownerReferences": [{
                "apiVersion": "batch/v1", "kind": "CronJob", "name": schedule.name_any(), "uid": schedule.uid(),
                "controller": true,
            }],
        },
        "spec": schedule.spec.job_template.spec,
    });
    let api: Api<Job> = Api::namespaced(world.client.clone(), NAMESPACE);
    let made = api
        .create(&Default::default(), &serde_json::from_value(job)?)
        .await?;
    let status = runs.wait_for(&nightly, "Complete", "Running").await?;
    assert_eq!(status.run.unwrap().name, "29399370");
    world.publish(Some("v2"));
    until(
        "the schedule has the newer order beside the older one",
        || async {
            let configs = runs.configs().await?;
            let has = |version: &str| {
                let texts = configs
                    .iter()
                    .map(|config| config.data.as_ref().unwrap()["order.json"].clone());
                texts
                    .into_iter()
                    .any(|text| text.contains(&format!("\"{version}\"")))
            };
            Ok((has("v1") && has("v2")).then_some(()))
        },
    )
    .await?;
    runs.complete(&made.name_any(), 1).await?;
    runs.wait_for(&nightly, "Complete", "RunComplete").await?;

    runs.apply(&lists(json!({"schedule": "30 3 * * *", "suspend": true})))
        .await?;
    runs.wait_for(&nightly, "Suspended", "Suspended").await?;
    assert_eq!(runs.schedules().await?[0].spec.suspend, Some(true));
    world.wait_until_quiet().await?;
    world.server.traffic().forget();
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let writes = world.server.traffic().writes();
    assert!(
        !writes.iter().any(|seen| is_operator(&seen.request)),
        "nothing changed"
    );

    // Without a schedule it is one run again, and the schedule with its Jobs goes.
    runs.apply(&lists(json!({}))).await?;
    until("the schedule is gone", || async {
        Ok(runs.schedules().await?.is_empty().then_some(()))
    })
    .await?;
    operator.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_training_says_what_it_came_to() -> anyhow::Result<()> {
    let Some(world) = World::start().await? else {
        return Ok(());
    };
    let (operator, runs) = (world.operator()?, Runs(&world));
    let promotion = json!({"promotion": {"channel": "stable", "metric": "nDCG", "minLift": "0.5%"}});
    let weekly = training(promotion);
    runs.apply(&weekly).await?;
    let (name, job) = only(&runs.wait_for_jobs(1).await?);
    let spec = job.spec.unwrap();
    assert_eq!((spec.completions, spec.backoff_limit), (Some(1), Some(3)));
    let pod = spec.template.spec.unwrap();
    let arguments = pod.containers[0].args.clone().unwrap().join(" ");
    assert!(
        arguments.ends_with(
            "--channel candidate --promote-to stable --if-better ndcg --min-lift 0.5% --test-latest"
        ),
        "{arguments}"
    );
    assert_eq!(pod.service_account_name.as_deref(), Some(DEFAULT_ACCOUNT));
    assert_eq!(pod.restart_policy.as_deref(), Some("Never"));

    runs.apply(&training(
        json!({"suspend": true, "promotion": weekly["spec"]["promotion"]}),
    ))
    .await?;
    until("the Job is suspended", || async {
        Ok(runs.jobs().await?[&name]
            .spec
            .as_ref()
            .unwrap()
            .suspend
            .filter(|suspended| *suspended)
            .map(drop))
    })
    .await?;
    runs.apply(&weekly).await?;
    until("the Job goes on", || async {
        let suspended = runs.jobs().await?[&name].spec.as_ref().unwrap().suspend;
        Ok((suspended == Some(false)).then_some(()))
    })
    .await?;

    let pods = ApiResource::from_gvk(&gvk::GroupVersionKind::gvk("", "v1", "Pod"));
    let pods: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), NAMESPACE, &pods);
    let mut labels = spec.template.metadata.unwrap().labels.unwrap();
    labels.insert("batch.kubernetes.io/job-name".to_owned(), name.clone());
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "weekly-0", "labels": labels}});
    pods.create(&Default::default(), &serde_json::from_value(pod)?)
        .await?;
    let said = "error: the store is away\nerror: cannot read s3://shop/sales: not found; check --data\n";
    let status = json!({"status": {"containerStatuses": [{
        "name": "train", "image": "x", "imageID": "x", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": 1, "message": said}},
    }]}});
    pods.patch_status("weekly-0", &PatchParams::default(), &Patch::Merge(status))
        .await?;
    let failed = json!({"conditions": [{
        "type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "too many failed pods",
        "lastTransitionTime": "2026-11-29T03:34:00Z",
    }]});
    runs.say(&name, failed).await?;
    let status = runs.wait_for(&weekly, "Complete", "RunFailed").await?;
    let message = &status
        .conditions
        .iter()
        .find(|known| known.type_ == "Complete")
        .unwrap()
        .message;
    assert!(
        message.ends_with("BackoffLimitExceeded: too many failed pods; its pod said: error: cannot read s3://shop/sales: not found; check --data"),
        "{message}"
    );
    operator.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_run_says_why() -> anyhow::Result<()> {
    let Some(world) = World::start().await? else {
        return Ok(());
    };
    let (operator, runs) = (world.operator()?, Runs(&world));
    ready_pipeline(&world, &pipeline(&[("dlrm", 50, 1)])).await?;
    let unknown = lists(json!({"variant": "mlp"}));
    runs.apply(&unknown).await?;
    let status = runs.wait_for(&unknown, "Stalled", "VariantNotFound").await?;
    assert!(
        status.conditions[0].message.contains("pipeline grocery has dlrm"),
        "{status:?}"
    );
    let away = training(json!({"artifacts": {"url": "s3://models/grocery", "serviceAccountName": "root"}}));
    runs.apply(&away).await?;
    runs.wait_for(&away, "Stalled", "ServiceAccountNotAllowed")
        .await?;
    for (wrong, wanted) in [
        (
            lists(json!({"parallelism": 3, "shards": 2})),
            "parallelism is above shards",
        ),
        (
            lists(json!({"pods": {"image": "somebody/else"}})),
            "pods.image and pods.env are the pipeline's",
        ),
        (
            lists(json!({"timeZone": "Europe/Berlin"})),
            "timeZone is set without a schedule",
        ),
        (
            training(json!({"promotion": {"channel": "candidate", "metric": "MAP"}})),
            "nothing would be compared",
        ),
        (
            lists(json!({"output": {"url": "s3://x", "volumeClaim": {"name": "y"}}})),
            "is not a file:// URL",
        ),
    ] {
        let refused = runs.apply(&wrong).await.unwrap_err().to_string();
        assert!(refused.contains(wanted), "{refused}");
    }
    assert!(runs.jobs().await?.is_empty());
    operator.stop().await
}
