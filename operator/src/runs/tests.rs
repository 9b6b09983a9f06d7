//! Plans and reports of runs, without a cluster.

use gondola_crds::RecommenderTraining;
use gondola_crds::runs::{RunStatus, RunsStatus};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::kind::RunKind as _;
use super::names::RunNames;
use super::observed::{Observed, run_of};
use super::plan::{Plan, plan, wanted_run};
use super::report::report;
use super::state::{JobState, last_words};
use super::training::Account;
use crate::fixtures::installation;
use crate::reasons;

fn training(change: impl FnOnce(&mut Value)) -> RecommenderTraining {
    let mut object = json!({
        "apiVersion": "gondola.dev/v1alpha1", "kind": "RecommenderTraining",
        "metadata": {"name": "weekly", "namespace": "shop", "uid": "5a1e", "generation": 3},
        "spec": {
            "config": {"name": "dataset", "key": "dataset.yaml"}, "data": {"url": "file:///sales", "volumeClaim": {"name": "sales"}},
            "encoder": {"url": "s3://shop/encoder"}, "artifacts": {"url": "s3://models/grocery", "endpoint": "http://minio:9000"},
        },
    });
    change(&mut object["spec"]);
    serde_json::from_value(object).unwrap()
}

fn planned(training: &RecommenderTraining, observed: &Observed) -> Plan {
    let names = RunNames::of(training).unwrap();
    let account = Account { allowed: true };
    let beside = training.beside(&names, observed, &installation());
    plan(training, &names, observed, beside, || {
        training.parts(&names, &account, &installation())
    })
}

/// As it is once the API server has it.
fn made(plan: &Plan) -> Observed {
    Observed {
        jobs: plan.jobs.clone(),
        configs: plan.configs.clone(),
        schedules: plan.schedules.clone(),
        ..Observed::default()
    }
}

fn with_status(job: &Job, status: Value) -> Job {
    let mut job = job.clone();
    job.status = Some(serde_json::from_value(status).unwrap());
    job
}

fn status(
    training: &RecommenderTraining,
    plan: &Plan,
    observed: &Observed,
    before: &RunsStatus,
) -> RunsStatus {
    let names = RunNames::of(training).unwrap();
    report(
        &names,
        training.runs(),
        before,
        plan,
        observed,
        None,
        training.output(),
    )
    .status
}

fn reason<'a>(status: &'a RunsStatus, type_: &str) -> &'a str {
    let mut conditions = status.conditions.iter();
    conditions
        .find(|known| known.type_ == type_)
        .map_or("", |known| &known.reason)
}

#[test]
fn a_run_is_made_once_and_only_another_wish_makes_another() {
    let weekly = training(|_| {});
    let first = planned(&weekly, &Observed::default());
    assert_eq!((first.jobs.len(), first.configs.len()), (1, 1));
    let observed = made(&first);
    let again = planned(&weekly, &observed);
    assert!(again.jobs.is_empty() && again.configs.is_empty());
    assert_eq!(again.surplus, Default::default());
    for field in [
        "suspend",
        "retries",
        "ttlSecondsAfterFinished",
        "activeDeadlineSeconds",
    ] {
        let value = if field == "suspend" {
            json!(true)
        } else {
            json!(90)
        };
        let same = training(|spec| spec[field] = value);
        assert_eq!(wanted_run(&same), wanted_run(&weekly), "{field}");
    }
    let another = planned(&training(|spec| spec["channel"] = "next".into()), &observed);
    assert_eq!(another.jobs.len(), 1);
    assert_eq!(another.surplus.jobs, [first.jobs[0].name_any()]);
    assert_eq!(
        another.surplus.configs,
        Vec::<String>::new(),
        "both read the same files"
    );
}

#[test]
fn a_run_that_is_remembered_does_not_come_again() {
    let weekly = training(|_| {});
    let first = planned(&weekly, &Observed::default());
    let mut observed = made(&first);
    let ended = json!({
        "succeeded": 1, "completionTime": "2026-11-29T03:34:00Z", "conditions": [{"type": "Complete", "status": "True"}],
    });
    observed.jobs = vec![with_status(&first.jobs[0], ended)];
    let done = status(
        &weekly,
        &planned(&weekly, &observed),
        &observed,
        &RunsStatus::default(),
    );
    assert_eq!(reason(&done, "Complete"), reasons::RUN_COMPLETE);

    let mut weekly = weekly;
    weekly.status = Some(done.clone());
    let nothing = Observed::default();
    let later = planned(&weekly, &nothing);
    assert!(later.jobs.is_empty());
    assert_eq!(status(&weekly, &later, &nothing, &done).run, done.run);
    assert_eq!(
        reason(&status(&weekly, &later, &nothing, &done), "Complete"),
        reasons::RUN_COMPLETE
    );
    // One that was still going on when its Job was deleted by somebody begins again.
    weekly
        .status
        .as_mut()
        .unwrap()
        .run
        .as_mut()
        .unwrap()
        .completion_time = None;
    assert_eq!(planned(&weekly, &nothing).jobs.len(), 1);
}

#[test]
fn jobs_of_a_schedule_are_of_the_run_that_their_names_end_with() {
    let mut job = Job::default();
    job.metadata.name = Some("weekly-1a2b3c4d-29399370".to_owned());
    assert_eq!(run_of(&job), "29399370");
    let nightly = training(|spec| spec["schedule"] = "0 1 * * *".into());
    assert_eq!(wanted_run(&nightly), None);
    let plan = planned(&nightly, &Observed::default());
    assert_eq!(
        (plan.schedules.len(), plan.jobs.len(), plan.configs.len()),
        (1, 0, 1)
    );
    let name = plan.schedules[0].name_any();
    assert!(name.len() <= 52, "{name} leaves no room for the minute");
}

#[test]
fn the_last_word_of_the_last_pod_is_told() {
    let job: Job = serde_json::from_value(json!({
        "metadata": {"name": "weekly-1"}, "status": {"conditions": [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]},
    }))
    .unwrap();
    assert_eq!(
        JobState::of(&job),
        JobState::Failed {
            why: "DeadlineExceeded".to_owned()
        }
    );
    let pod = |name: &str, code: i32, message: &str, at: &str| -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {"batch.kubernetes.io/job-name": "weekly-1"}},
            "status": {"containerStatuses": [{
                "name": "train", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"terminated": {"exitCode": code, "message": message, "finishedAt": at}},
            }]},
        }))
        .unwrap()
    };
    let pods = [
        pod("b", 1, "noise\nerror: the second\n\n", "2026-11-29T02:00:00Z"),
        pod("a", 1, "error: the first", "2026-11-29T01:00:00Z"),
        pod("c", 0, "published", "2026-11-29T03:00:00Z"),
    ];
    assert_eq!(last_words(&job, &pods).as_deref(), Some("error: the second"));
}

#[test]
fn places_are_volumes_and_variables_of_the_pod() {
    let plan = planned(&training(|_| {}), &Observed::default());
    let pod = plan.jobs[0].spec.clone().unwrap().template.spec.unwrap();
    let variables = pod.containers[0].env.clone().unwrap();
    let value = |name: &str| {
        variables
            .iter()
            .find(|variable| variable.name == name)
            .and_then(|found| found.value.clone())
    };
    assert_eq!(
        value("GONDOLA_DATA_FOLDER").as_deref(),
        Some("file:///srv/gondola/data-store/sales")
    );
    assert_eq!(value("GONDOLA_ENCODER").as_deref(), Some("s3://shop/encoder"));
    assert_eq!(value("GONDOLA_STORE").as_deref(), Some("s3://models/grocery"));
    assert_eq!(
        value("GONDOLA_STORE_ENDPOINT").as_deref(),
        Some("http://minio:9000")
    );
    let volumes = pod.volumes.unwrap();
    let claim = volumes
        .iter()
        .find_map(|volume| volume.persistent_volume_claim.clone())
        .unwrap();
    assert_eq!(
        (claim.claim_name.as_str(), claim.read_only),
        ("sales", Some(true))
    );
}

#[test]
fn nothing_is_forgotten_of_a_schedule_whose_jobs_are_gone() {
    let nightly = training(|spec| spec["schedule"] = "0 1 * * *".into());
    let before = RunsStatus {
        run: Some(RunStatus {
            name: "29399370".to_owned(),
            ..RunStatus::default()
        }),
        ..RunsStatus::default()
    };
    let nothing = Observed::default();
    let now = status(&nightly, &planned(&nightly, &nothing), &nothing, &before);
    assert_eq!(now.run, before.run);
    assert_eq!(reason(&now, "Ready"), reasons::AS_REQUESTED);
}

#[test]
fn executors_are_beside_a_pod_that_runs_and_go_with_it() {
    let engine = json!({"ballista": {"executors": 3, "sharedFolder": {"url": "s3://shop/runs"}}});
    let large = training(|spec| spec["engine"] = engine);
    let first = planned(&large, &Observed::default());
    let pod = first.jobs[0].spec.clone().unwrap().template.spec.unwrap();
    let scheduler = &pod.init_containers.as_ref().unwrap()[0];
    assert_eq!(scheduler.restart_policy.as_deref(), Some("Always"));
    let arguments = pod.containers[0].args.clone().unwrap().join(" ");
    assert!(
        arguments.ends_with(
            "--engine ballista://127.0.0.1:50050 --shared-folder $(GONDOLA_SHARED_FOLDERS)/$(GONDOLA_JOB)"
        ),
        "{arguments}"
    );

    let mut observed = made(&first);
    assert!(
        planned(&large, &observed).beside.is_empty(),
        "nobody has an address yet"
    );
    let job = first.jobs[0].name_any();
    let running = |name: &str, address: &str| -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {"batch.kubernetes.io/job-name": job}},
            "status": {"phase": "Running", "podIP": address},
        }))
        .unwrap()
    };
    observed.pods = vec![running("weekly-0", "10.0.0.7")];
    let plan = planned(&large, &observed);
    let executors = plan.beside[0].spec.clone().unwrap();
    assert_eq!((executors.completions, executors.parallelism), (Some(3), Some(3)));
    let arguments = executors.template.spec.unwrap().containers[0]
        .args
        .clone()
        .unwrap()
        .join(" ");
    assert!(
        arguments.starts_with("executor --scheduler 10.0.0.7:50050"),
        "{arguments}"
    );
    observed.beside = plan.beside.clone();
    assert_eq!(planned(&large, &observed).surplus, Default::default());

    // Another pod has taken its place, and then the run is over.
    observed.pods = vec![running("weekly-1", "10.0.0.8")];
    let next = planned(&large, &observed);
    assert_eq!(next.surplus.jobs, [plan.beside[0].name_any()]);
    assert_ne!(next.beside[0].name_any(), plan.beside[0].name_any());
    let ended = json!({"conditions": [{"type": "Complete", "status": "True"}], "completionTime": "2026-11-29T03:34:00Z"});
    observed.jobs = vec![with_status(&first.jobs[0], ended)];
    let over = planned(&large, &observed);
    assert!(over.beside.is_empty());
    assert_eq!(over.surplus.jobs, [plan.beside[0].name_any()]);
}
