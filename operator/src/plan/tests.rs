use gondola_crds::RecommenderPipeline;
use gondola_crds::spec::PodOverrides;
use gondola_wire::decision::{Decision, Reason, Verdict};
use gondola_wire::resolution::VariantResolution;
use gondola_wire::serve_order::{ORDER_FILE, ServeOrder};
use gondola_wire::variables;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, PodSpec};
use k8s_openapi::jiff::Timestamp;

use super::*;
use std::sync::Arc;

use crate::fixtures::{
    Cluster, bundles, changed, checked, deployment_of, pipeline, refusal, secured, with_experiment,
};

fn resolved(version: &str) -> impl Fn(&str) -> VariantResolution {
    move |_| VariantResolution::Resolved(bundles(version))
}

/// The names of the planned Deployments.
fn deployments(plan: &Plan) -> Vec<String> {
    plan.children
        .deployments
        .iter()
        .map(ResourceExt::name_any)
        .collect()
}

fn deployment<'a>(plan: &'a Plan, name: &str) -> &'a Deployment {
    let mut all = plan.children.deployments.iter();
    all.find(|deployment| deployment.name_any() == name).unwrap()
}

fn pod_of<'a>(plan: &'a Plan, name: &str) -> &'a PodSpec {
    let deployment = deployment(plan, name);
    deployment.spec.template.spec.as_ref().unwrap()
}

fn routed(plan: &Plan) -> Vec<&str> {
    plan.routed
        .routes
        .variants
        .iter()
        .map(|route| route.name.as_str())
        .collect()
}

#[test]
fn before_the_first_report_there_is_only_who_makes_it_and_who_waits_for_it() {
    let plan = Cluster::empty().plan(&pipeline());
    assert_eq!(deployments(&plan), ["grocery--resolver", "grocery--router"]);
    assert_eq!(routed(&plan), ["dlrm"], "the control is always there");
}

#[test]
fn what_the_resolver_found_is_rolled_out_pinned() {
    let pipeline = pipeline();
    let mut cluster = Cluster::empty();
    let plan = cluster.report(&pipeline, resolved("v1")).plan(&pipeline);
    let names = [
        "grocery--resolver",
        "grocery--router",
        "grocery--dlrm",
        "grocery--forest",
    ];
    assert_eq!(deployments(&plan), names);
    let config = plan
        .children
        .configs
        .iter()
        .find(|config| config.immutable == Some(true));
    let text = &config.unwrap().data.as_ref().unwrap()[ORDER_FILE];
    let order: ServeOrder = serde_json::from_str(text).expect("pods read it as an order");
    assert_eq!(order.bundles.retrieval.pinned(), "two-tower/v1");
    assert!(!text.contains("@stable"), "{text}");
}

#[test]
fn a_change_of_weights_changes_the_routes_and_no_pod() {
    let mut cluster = Cluster::empty();
    let before = pipeline();
    let first = cluster.report(&before, resolved("v1")).obey(&before, |_| true);
    let after = changed("dlrm@stable, weight: 50", "dlrm@stable, weight: 90");
    for reported in [false, true] {
        if reported {
            cluster.report(&after, resolved("v1"));
        }
        let second = cluster.plan(&after);
        assert_eq!(second.routed.routes.variants[0].weight, 90);
        // Before the report the pods are left as they are.
        for deployment in &second.children.deployments {
            assert!(
                first.children.deployments.contains(deployment),
                "reported: {reported}"
            );
        }
    }
}

#[test]
fn a_new_version_makes_new_pods_with_a_new_order() {
    let pipeline = pipeline();
    let mut cluster = Cluster::empty();
    let first = cluster
        .report(&pipeline, resolved("v1"))
        .obey(&pipeline, |_| true);
    let second = cluster.report(&pipeline, resolved("v2")).plan(&pipeline);
    let name = deployment_of(&pipeline, "dlrm");
    assert_ne!(
        deployment(&first, &name).spec.template,
        deployment(&second, &name).spec.template
    );
    assert!(orders(&first).iter().all(|name| !orders(&second).contains(name)));
}

/// Names of the orders that a plan renders.
fn orders(plan: &Plan) -> Vec<String> {
    let configs = plan.children.configs.iter();
    let immutable = configs.filter(|config| config.immutable == Some(true));
    immutable.map(ResourceExt::name_any).collect()
}

#[test]
fn what_older_pods_mount_stays_from_the_moment_at_which_a_rollout_begins() {
    let pipeline = pipeline();
    let mut cluster = Cluster::empty();
    let first = cluster
        .report(&pipeline, resolved("v1"))
        .obey(&pipeline, |_| true);
    let second = cluster.report(&pipeline, resolved("v2")).plan(&pipeline);
    for name in orders(&first) {
        assert!(
            second.kept.names.configs.contains(&name),
            "{name} is mounted by pods that serve"
        );
    }
    // It stays while a ReplicaSet could make such pods again: an undone rollout starts.
    cluster.obey(&pipeline, |_| true);
    let settled = cluster.plan(&pipeline);
    assert!(
        orders(&first)
            .iter()
            .all(|name| settled.kept.names.configs.contains(name))
    );
    cluster.observed.replica_sets.clear();
    let forgotten = cluster.plan(&pipeline);
    assert!(
        orders(&first)
            .iter()
            .all(|name| !forgotten.kept.names.configs.contains(name))
    );
}

#[test]
fn an_account_that_older_pods_run_as_stays() {
    let before = pipeline();
    let mut cluster = Cluster::empty();
    cluster.report(&before, resolved("v1")).obey(&before, |_| true);
    let after = changed(
        "credentials: {secretRef: {name: models-s3}}",
        "serviceAccountName: models",
    );
    let plan = cluster.report(&after, resolved("v1")).plan(&after);
    assert!(
        plan.children
            .accounts
            .iter()
            .all(|account| account.name_any() != "grocery--artifacts")
    );
    assert!(plan.kept.names.accounts.contains("grocery--artifacts"));
}

#[test]
fn one_edit_is_one_rollout() {
    let before = pipeline();
    let mut cluster = Cluster::empty();
    cluster.report(&before, resolved("v1")).obey(&before, |_| true);
    let mut after = changed("candidates: 200", "candidates: 400");
    after.spec.variants[0].weight = 10;
    after.spec.variants[0].replicas = Some(5);
    let waiting = cluster.plan(&after);
    assert!(
        !deployments(&waiting).contains(&"grocery--dlrm".to_owned()),
        "its pods are left as they are"
    );
    assert!(waiting.kept.names.deployments.contains("grocery--dlrm"));
    assert_eq!(
        waiting.routed.routes.variants[0].weight, 10,
        "weights are no rollout"
    );
    let scaled = Scale {
        deployment: "grocery--dlrm".into(),
        replicas: 5,
    };
    assert!(waiting.scales.contains(&scaled), "nor is their number");
    let known = cluster.report(&after, resolved("v1")).plan(&after);
    assert!(deployments(&known).contains(&"grocery--dlrm".to_owned()));
}

#[test]
fn a_refusal_falls_back_to_what_serves_and_not_to_what_never_did() {
    let pipeline = pipeline();
    let mut cluster = Cluster::empty();
    cluster
        .report(&pipeline, resolved("v1"))
        .obey(&pipeline, |_| true);
    // The second version never gets ready: pods of the first serve.
    cluster.report(&pipeline, resolved("v2"));
    let stuck = cluster.plan(&pipeline);
    let old = Arc::clone(cluster.observed.replica_sets.values().next().unwrap());
    cluster.obey(&pipeline, |_| false);
    cluster
        .observed
        .replica_sets
        .insert(old.name_any(), Arc::clone(&old));
    drop(stuck);
    for set in cluster.observed.replica_sets.values_mut() {
        let serves = serde_json::to_string(&set.spec.template).unwrap().contains("v1");
        Arc::make_mut(set).status.as_mut().unwrap().ready_replicas = Some(i32::from(serves));
    }
    let plan = cluster.report(&pipeline, |_| refusal()).plan(&pipeline);
    let Serves::LastGood(served, _) = &plan.variants[0].1 else {
        panic!("{:?}", plan.variants[0]);
    };
    assert_eq!(*served, bundles("v1"));
    assert!(
        deployments(&plan).contains(&"grocery--dlrm".to_owned()),
        "it is rolled back to what serves"
    );
}

#[test]
fn a_refusal_leaves_running_pods_alone() {
    let pipeline = pipeline();
    let mut cluster = Cluster::empty();
    let good = cluster
        .report(&pipeline, resolved("v1"))
        .obey(&pipeline, |_| true);
    let refused = cluster.report(&pipeline, |_| refusal()).plan(&pipeline);
    assert!(
        refused
            .children
            .deployments
            .iter()
            .all(|deployment| good.children.deployments.contains(deployment))
    );
    assert!(
        refused.kept.names.deployments.contains("grocery--dlrm"),
        "its pods are left as they are"
    );
    assert!(matches!(refused.variants[0].1, Serves::LastGood(..)));
}

#[test]
fn one_variants_refusal_leaves_the_others_be() {
    let pipeline = pipeline();
    let mut cluster = Cluster::empty();
    cluster.report(&pipeline, |variant| match variant {
        "dlrm" => refusal(),
        _ => VariantResolution::Resolved(bundles("v1")),
    });
    let plan = cluster.plan(&pipeline);
    assert!(deployments(&plan).contains(&"grocery--forest".to_owned()));
    assert!(!deployments(&plan).contains(&"grocery--dlrm".to_owned()));
}

#[test]
fn a_variant_gets_users_when_its_first_pod_answers_and_keeps_them_when_pods_fail() {
    let pipeline = pipeline();
    let mut cluster = Cluster::empty();
    cluster
        .report(&pipeline, resolved("v1"))
        .obey(&pipeline, |_| false);
    assert_eq!(routed(&cluster.plan(&pipeline)), ["dlrm"]);
    cluster.obey(&pipeline, |name| name == "grocery--forest");
    assert_eq!(routed(&cluster.obey(&pipeline, |_| true)), ["dlrm", "forest"]);
    cluster.obey(&pipeline, |_| false);
    assert_eq!(routed(&cluster.plan(&pipeline)), ["dlrm", "forest"]);
}

const FOREST: &str = "\n  - {name: forest, scorer: forest@stable, weight: 50, resources: {requests: {cpu: 500m}}, autoscaling: {minReplicas: 2, maxReplicas: 5}}";

#[test]
fn a_variant_that_is_removed_leaves_the_routes_and_everything_of_it() {
    let mut cluster = Cluster::empty();
    let before = pipeline();
    cluster.report(&before, resolved("v1")).obey(&before, |_| true);
    let after = changed(FOREST, "");
    let plan = cluster.plan(&after);
    assert_eq!(routed(&plan), ["dlrm"]);
    assert!(!deployments(&plan).contains(&"grocery--forest".to_owned()));
    assert!(!plan.kept.variants.contains("forest"));
    assert!(plan.children.autoscalers.is_empty());
}

#[test]
fn a_variant_that_is_replaced_serves_until_the_one_that_takes_its_users_answers() {
    let mut cluster = Cluster::empty();
    let before = changed(FOREST, "");
    cluster.report(&before, resolved("v1"));
    for _ in 0..2 {
        cluster.obey(&before, |_| true);
    }
    let mut after = before.clone();
    after.metadata.generation = Some(3);
    after.spec.control = Some("challenger".into());
    after.spec.variants[0].name = "challenger".into();
    // Not resolved, then resolved and not ready: dlrm is still there, and still has everybody.
    let plan = cluster.obey(&after, |name| name != "grocery--challenger");
    assert_eq!(routed(&plan), ["dlrm"]);
    assert_eq!(plan.routed.routes.control, "dlrm");
    cluster.report(&after, resolved("v1"));
    for _ in 0..2 {
        let plan = cluster.obey(&after, |name| name != "grocery--challenger");
        assert_eq!(routed(&plan), ["dlrm"]);
        assert!(plan.kept.variants.contains("dlrm"));
        assert_eq!(plan.routed.awaited, ["challenger"]);
    }
    assert!(
        cluster
            .observed
            .children
            .deployments
            .contains_key("grocery--dlrm")
    );
    // It answers: it takes everybody, and the old one may go.
    cluster.obey(&after, |_| true);
    let plan = cluster.plan(&after);
    assert_eq!(
        (routed(&plan), plan.routed.routes.control.as_str()),
        (vec!["challenger"], "challenger")
    );
    assert!(plan.kept.variants.is_empty());
}

#[test]
fn the_order_of_variants_means_nothing() {
    let mut cluster = Cluster::empty();
    let before = pipeline();
    cluster.report(&before, resolved("v1"));
    for _ in 0..2 {
        cluster.obey(&before, |_| true);
    }
    let mut after = before.clone();
    after.spec.variants.reverse();
    let owned = |plan: &Plan| -> std::collections::BTreeMap<String, Vec<gondola_wire::routes::BucketRange>> {
        let routes = plan.routed.routes.variants.iter();
        routes
            .map(|route| (route.name.clone(), route.buckets.clone()))
            .collect()
    };
    let (first, second) = (cluster.plan(&before), cluster.plan(&after));
    assert_eq!(owned(&first), owned(&second));
    assert_eq!(first.routed.routes.control, second.routed.routes.control);
}

#[test]
fn weights_move_the_fewest_users_also_when_what_routers_were_told_is_lost() {
    let mut cluster = Cluster::empty();
    let mut pipeline = pipeline();
    cluster.report(&pipeline, resolved("v1"));
    for _ in 0..2 {
        cluster.obey(&pipeline, |_| true);
    }
    let owner = |plan: &Plan, bucket: u16| -> String {
        let owns = |route: &&gondola_wire::routes::Route| {
            let mut ranges = route.buckets.iter();
            ranges.any(|range| (range.start..range.end).contains(&bucket))
        };
        plan.routed
            .routes
            .variants
            .iter()
            .find(owns)
            .unwrap()
            .name
            .clone()
    };
    let first = cluster.plan(&pipeline);
    cluster.status(&mut pipeline);
    pipeline.spec.variants[0].weight = 30;
    pipeline.spec.variants[1].weight = 70;
    let second = cluster.plan(&pipeline);
    let moved = (0..10_000)
        .filter(|bucket| owner(&first, *bucket) != owner(&second, *bucket))
        .count();
    assert_eq!(moved, 2_000);
    cluster.observed.children.configs.remove("grocery--routes");
    let after_a_loss = cluster.plan(&pipeline);
    assert_eq!(second.routed.routes, after_a_loss.routed.routes);
}

#[test]
fn a_number_of_pods_is_never_applied_and_scaled_only_where_the_spec_says_it() {
    let pipeline = pipeline();
    let mut cluster = Cluster::empty();
    cluster
        .report(&pipeline, resolved("v1"))
        .obey(&pipeline, |_| true);
    let scales = |cluster: &Cluster, pipeline: &RecommenderPipeline| -> Vec<(String, i32)> {
        let scales = cluster.plan(pipeline).scales;
        scales
            .into_iter()
            .map(|scale| (scale.deployment, scale.replicas))
            .collect()
    };
    let named = |name: &str, replicas| (format!("grocery--{name}"), replicas);
    // The forest has one pod, and its autoscaler would begin below its own minimum.
    assert_eq!(
        scales(&cluster, &pipeline),
        [named("router", 2), named("dlrm", 2), named("forest", 2)]
    );
    let set = |cluster: &mut Cluster, name: &str, replicas| {
        let deployment = cluster.observed.children.deployments.get_mut(name).unwrap();
        Arc::make_mut(deployment).spec.replicas = Some(replicas);
    };
    set(&mut cluster, "grocery--forest", 20);
    assert_eq!(
        scales(&cluster, &pipeline),
        [named("router", 2), named("dlrm", 2)],
        "20 stay 20"
    );
    let plan = cluster.plan(&pipeline);
    assert!(
        plan.children
            .deployments
            .iter()
            .all(|deployment| deployment.spec.replicas.is_none())
    );
    assert_eq!(plan.children.autoscalers.len(), 1);
    // Switched off, it keeps what there is; and a number that nobody gives is somebody else's.
    let mut without = pipeline.clone();
    without.spec.variants[1].autoscaling = None;
    without.spec.variants[0].replicas = None;
    set(&mut cluster, "grocery--dlrm", 7);
    assert_eq!(scales(&cluster, &without), [named("router", 2)]);
    let budgets: Vec<String> = plan.children.budgets.iter().map(ResourceExt::name_any).collect();
    assert_eq!(budgets, ["grocery--router", "grocery--dlrm", "grocery--forest"]);
}

#[test]
fn how_many_pods_are_replaced_at_once_can_be_said() {
    let pipeline = changed(
        "  variants:",
        "  rollout: {maxSurge: 25%, maxUnavailable: 1}\n  variants:",
    );
    let plan = Cluster::empty().report(&pipeline, resolved("v1")).plan(&pipeline);
    let strategy = deployment(&plan, "grocery--dlrm").spec.strategy.clone().unwrap();
    let rolling = serde_json::to_value(strategy.rolling_update.unwrap()).unwrap();
    assert_eq!(
        rolling,
        serde_json::json!({"maxSurge": "25%", "maxUnavailable": 1})
    );
}

fn is_restricted(pod: &PodSpec) -> bool {
    let context = pod.security_context.as_ref().unwrap();
    let seccomp = context.seccomp_profile.as_ref().unwrap();
    let mut containers = pod.init_containers.iter().flatten().chain(&pod.containers);
    let container = |container: &k8s_openapi::api::core::v1::Container| {
        let context = container.security_context.as_ref().unwrap();
        let dropped = context.capabilities.as_ref().unwrap().drop.as_ref().unwrap();
        context.allow_privilege_escalation == Some(false)
            && context.read_only_root_filesystem == Some(true)
            && context.privileged.is_none()
            && dropped == &["ALL"]
    };
    context.run_as_non_root == Some(true)
        && seccomp.type_ == "RuntimeDefault"
        && pod.host_network.is_none()
        && pod.host_pid.is_none()
        && containers.all(container)
}

#[test]
fn every_pod_meets_the_restricted_standard() {
    let pipeline = pipeline();
    let mut cluster = Cluster::empty();
    let plan = cluster.report(&pipeline, resolved("v1")).plan(&pipeline);
    for deployment in &plan.children.deployments {
        let pod = deployment.spec.template.spec.as_ref().unwrap();
        assert!(is_restricted(pod), "{}", deployment.name_any());
        let talks = ["grocery--router", "grocery--resolver"].contains(&deployment.name_any().as_str());
        assert_eq!(
            pod.automount_service_account_token,
            Some(talks),
            "{}",
            deployment.name_any()
        );
    }
}

#[test]
fn a_variant_on_gpus_has_their_image_and_says_so_to_its_pods() {
    let mut pipeline = changed(
        "weight: 50, replicas: 2, ",
        "weight: 50, replicas: 2, device: CUDA, ",
    );
    let plan = Cluster::empty().report(&pipeline, resolved("v1")).plan(&pipeline);
    let image = |name: &str| pod_of(&plan, name).containers[0].image.clone().unwrap();
    assert_eq!(image("grocery--dlrm"), "gondola-inference-cuda:test");
    assert_eq!(image("grocery--forest"), "gondola-inference:test");
    assert_eq!(image("grocery--router"), "gondola-router:test");
    let told = |plan: &Plan| {
        let of_dlrm = |config: &&ConfigMap| config.name_any().starts_with("grocery--dlrm-");
        let config = plan.children.configs.iter().find(of_dlrm).unwrap();
        config.data.as_ref().unwrap()[ORDER_FILE].clone()
    };
    assert!(told(&plan).contains(r#""device": "CUDA""#), "{}", told(&plan));
    // An image that the pipeline names is used as it is.
    pipeline.spec.variants[0].pods = Some(PodOverrides {
        image: Some("ours:1".into()),
        ..PodOverrides::default()
    });
    let plan = Cluster::empty().report(&pipeline, resolved("v1")).plan(&pipeline);
    let pod = pod_of(&plan, "grocery--dlrm");
    assert_eq!(pod.containers[0].image.as_deref(), Some("ours:1"));
}

#[test]
fn what_a_variant_overrides_stands_and_lists_are_joined() {
    let text = "weight: 50, replicas: 2, ";
    let pipeline = changed(
        "  variants:",
        "  pods: {image: 'ours:1', nodeSelector: {pool: a}, log: warn, env: [{name: A, value: '1'}]}\n  variants:",
    );
    let mut with_variant = serde_json::to_value(&pipeline).unwrap();
    with_variant["spec"]["variants"][0]["pods"] = serde_json::json!({"image": "ours:2", "nodeSelector": {"gpu": "yes"}, "env": [{"name": "A", "value": "2"}]});
    let pipeline: RecommenderPipeline = serde_json::from_value(with_variant).unwrap();
    let plan = Cluster::empty().report(&pipeline, resolved("v1")).plan(&pipeline);
    let pod = pod_of(&plan, "grocery--dlrm");
    let serve = &pod.containers[0];
    assert_eq!(serve.image.as_deref(), Some("ours:2"), "{text}");
    assert_eq!(pod.node_selector.as_ref().unwrap().len(), 2);
    let value = |name: &str| {
        let variable = serve
            .env
            .as_ref()
            .unwrap()
            .iter()
            .find(|variable| variable.name == name);
        variable.and_then(|variable| variable.value.clone())
    };
    assert_eq!(value("A").as_deref(), Some("2"));
    assert_eq!(value("GONDOLA_LOG").as_deref(), Some("warn"));
    // The image is of what runs models; a router has none.
    let router = pod_of(&plan, "grocery--router");
    assert_eq!(router.containers[0].image.as_deref(), Some("gondola-router:test"));
}

#[test]
fn the_longest_names_fit() {
    let pipeline = changed("name: grocery,", &format!("name: {},", "p".repeat(30)));
    let mut long = serde_json::to_value(&pipeline).unwrap();
    long["spec"]["variants"][0]["name"] = "v".repeat(31).into();
    let pipeline: RecommenderPipeline = serde_json::from_value(long).unwrap();
    let plan = Cluster::empty().report(&pipeline, resolved("v1")).plan(&pipeline);
    for service in &plan.children.services {
        assert!(service.name_any().len() <= 63, "{}", service.name_any());
    }
    for deployment in &plan.children.deployments {
        let labels = deployment.labels().values();
        assert!(labels.map(String::len).all(|length| length <= 63));
    }
}

#[test]
fn the_same_state_gives_the_same_plan_and_a_plan_that_is_obeyed_changes_nothing_more() {
    let pipeline = pipeline();
    let mut cluster = Cluster::empty();
    cluster.report(&pipeline, resolved("v1"));
    for _ in 0..3 {
        cluster.obey(&pipeline, |_| true);
    }
    let settled = cluster.plan(&pipeline).children;
    let again = cluster.obey(&pipeline, |_| true).children;
    assert_eq!(format!("{settled:?}"), format!("{again:?}"));
}

#[test]
fn rendered_objects_are_as_reviewed() {
    let pipeline = changed(
        "  variants:",
        "  networkPolicy: {egress: [{to: [{ipBlock: {cidr: 10.1.0.0/16}}]}]}\n  gateway: {parentRefs: [{name: public, namespace: edge}], hostnames: [shop.example]}\n  monitoring: {interval: 30s, labels: {release: prometheus}}\n  variants:",
    );
    let mut cluster = Cluster::empty();
    cluster.observed.extensions = Extension::ALL
        .map(|extension| (extension, Default::default()))
        .into();
    let Plan {
        children, extensions, ..
    } = cluster.report(&pipeline, resolved("v1")).plan(&pipeline);
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
    } = children;
    insta::assert_yaml_snapshot!("rights", (accounts, roles, bindings));
    insta::assert_yaml_snapshot!("configuration", configs);
    insta::assert_yaml_snapshot!("pods", deployments);
    insta::assert_yaml_snapshot!("network", (services, policies));
    insta::assert_yaml_snapshot!("scaling", (budgets, autoscalers));
    let extensions: Vec<_> = extensions.into_iter().map(|(_, object)| object).collect();
    insta::assert_yaml_snapshot!("extensions", extensions);
}

/// A cluster in which everything of a pipeline with an experiment runs.
fn running(pipeline: &RecommenderPipeline) -> Cluster {
    let mut cluster = Cluster::empty();
    cluster.observed.now = Timestamp::from_millisecond(1_793_577_600_000).unwrap();
    cluster.report(pipeline, resolved("v1")).obey(pipeline, |_| true);
    cluster.obey(pipeline, |_| true);
    cluster
}

#[test]
fn an_experiment_has_an_analyzer_and_routers_that_record() {
    let plan = running(&with_experiment()).plan(&with_experiment());
    insta::assert_yaml_snapshot!("analyzer", deployment(&plan, "grocery--analyzer"));
    insta::assert_yaml_snapshot!(
        "recording_router",
        deployment(&plan, "grocery--router").spec.template.spec
    );
    let first = plan.children.configs[0].name_any();
    assert_eq!(
        first, "grocery--experiment",
        "what is decided is written before what follows from it"
    );
}

#[test]
fn nobody_takes_part_before_the_arms_answer() {
    let pipeline = with_experiment();
    let traffic = |plan: &Plan| {
        plan.routed
            .routes
            .experiment
            .as_ref()
            .map(|experiment| experiment.traffic_buckets.count())
    };
    let mut cluster = Cluster::empty();
    let plan = cluster
        .report(&pipeline, resolved("v1"))
        .obey(&pipeline, |name| name != "grocery--dlrm");
    assert_eq!(traffic(&plan), Some(0));
    assert_eq!(
        routed(&plan),
        ["dlrm", "forest"],
        "arms are known to routers from the start"
    );
    assert_eq!(
        traffic(&cluster.obey(&pipeline, |_| true)),
        Some(0),
        "what was observed is of before"
    );
    assert_eq!(traffic(&cluster.plan(&pipeline)), Some(500));
}

#[test]
fn what_was_decided_outlives_the_operator_its_status_or_its_config_map() {
    let mut pipeline = with_experiment();
    let mut cluster = running(&pipeline);
    let mut plan = cluster.plan(&pipeline);
    let planned = plan.experiment.as_mut().unwrap().as_mut().unwrap();
    planned.step.ledger.phase = Phase::Promoted;
    planned.step.ledger.winner = Some("dlrm".to_owned());
    planned.step.ledger.decision = Some(Decision {
        verdict: Verdict::Promoted,
        arm: Some("dlrm".to_owned()),
        reason: Reason::Better,
        message: "arm dlrm is better".to_owned(),
        time: cluster.observed.now,
    });
    let remembered = experiment::ledger(&checked(&pipeline), planned);
    cluster
        .observed
        .children
        .configs
        .insert(remembered.name_any(), std::sync::Arc::new(remembered));
    let everybody = |plan: &Plan| -> Vec<(String, u32)> {
        let routes = plan.routed.routes.variants.iter();
        routes.map(|route| (route.name.clone(), route.weight)).collect()
    };
    let promoted = [("dlrm".to_owned(), 1), ("forest".to_owned(), 0)];
    assert_eq!(everybody(&cluster.plan(&pipeline)), promoted);
    // The status alone is enough, where somebody deleted the ConfigMap.
    cluster.status(&mut pipeline);
    cluster.observed.children.configs.remove("grocery--experiment");
    assert_eq!(everybody(&cluster.plan(&pipeline)), promoted);
}

#[test]
fn what_cannot_be_run_is_said_and_the_weights_stay() {
    let mut pipeline = with_experiment();
    pipeline.spec.experiment.as_mut().unwrap().control = "rf".to_owned();
    let cluster = running(&pipeline);
    let plan = cluster.plan(&pipeline);
    assert!(plan.experiment.unwrap().is_err());
    assert_eq!(plan.routed.routes.experiment, None);
    cluster.status(&mut pipeline);
    let found = crate::fixtures::condition(&pipeline, "ExperimentReady");
    assert_eq!(found, Some(("False", "InvalidExperiment")));
}

#[test]
fn what_a_newer_release_remembers_of_an_experiment_is_left_as_it_is() {
    let pipeline = with_experiment();
    let mut cluster = running(&pipeline);
    let mut plan = cluster.plan(&pipeline);
    let planned = plan.experiment.as_mut().unwrap().as_mut().unwrap();
    let mut remembered = experiment::ledger(&checked(&pipeline), planned);
    let text = remembered.data.as_mut().unwrap().values_mut().next().unwrap();
    *text = text.replace("Ramping", "Canarying");
    assert!(text.contains("Canarying"), "{text}");
    let name = remembered.name_any();
    cluster
        .observed
        .children
        .configs
        .insert(name.clone(), Arc::new(remembered));
    let plan = cluster.plan(&pipeline);
    assert!(
        plan.children
            .configs
            .iter()
            .all(|config| config.name_any() != name)
    );
    assert!(plan.kept.names.configs.contains(&name));
}

#[test]
fn pods_reach_the_api_server_where_it_answers_and_nowhere_else() {
    let pipeline = changed("  variants:", "  networkPolicy: {}\n  variants:");
    let mut cluster = Cluster::empty();
    let egress_of_resolver = |cluster: &Cluster| {
        let policies = cluster.plan(&pipeline).children.policies;
        let of_resolver = policies
            .into_iter()
            .find(|policy| policy.name_any() == "grocery--resolver");
        serde_json::to_string(&of_resolver.unwrap().spec.unwrap().egress).unwrap()
    };
    let unknown = egress_of_resolver(&cluster);
    assert!(
        unknown.contains("16443"),
        "the usual ports, where nobody may look: {unknown}"
    );
    cluster.observed.api_server = vec![crate::observed::Address {
        host: "10.0.0.7".into(),
        port: 8443,
    }];
    let known = egress_of_resolver(&cluster);
    assert!(
        known.contains("10.0.0.7/32") && known.contains("8443") && !known.contains("6443"),
        "{known}"
    );
}

#[test]
fn an_online_store_is_in_the_order_and_its_secret_in_the_pods_that_serve() {
    let redis = "{secretRef: {name: shop-redis}, type: Sentinel, sentinelMaster: grocery}";
    let online = format!("features: {{bundle: features@stable, online: {{redis: {redis}}}}}");
    let pipeline = changed("features: {bundle: features@stable}", &online);
    let plan = Cluster::empty().report(&pipeline, resolved("v1")).plan(&pipeline);
    let variants = plan.children.deployments.iter().filter(|deployment| {
        let labels = deployment
            .spec
            .template
            .metadata
            .as_ref()
            .unwrap()
            .labels
            .as_ref();
        labels.unwrap().contains_key("gondola.dev/variant")
    });
    let mut seen = 0;
    for deployment in variants {
        let pod = deployment.spec.template.spec.as_ref().unwrap();
        let text = serde_json::to_string(&pod.containers).unwrap();
        assert!(
            text.contains(variables::ONLINE_CREDENTIALS) && text.contains("/etc/gondola/online"),
            "{text}"
        );
        let fetch = serde_json::to_string(&pod.init_containers).unwrap();
        assert!(
            !fetch.contains("/etc/gondola/online"),
            "whoever fetches bundles needs no password"
        );
        let secrets = pod
            .volumes
            .iter()
            .flatten()
            .filter_map(|volume| volume.secret.as_ref());
        assert!(
            secrets
                .clone()
                .any(|secret| secret.secret_name.as_deref() == Some("shop-redis"))
        );
        seen += 1;
    }
    assert!(seen > 0);
    let orders = serde_json::to_string(&plan.children.configs).unwrap();
    assert!(
        orders.contains("sentinelMaster") && orders.contains("/grocery"),
        "{orders}"
    );
}

/// What programs set their variables by, and what the operator writes, come from one list: each name that is written is read there, and
/// each of them is written for some pod or left to people.
#[test]
fn every_variable_is_on_the_list_of_those_that_programs_read() {
    let pipeline = secured();
    let plan = Cluster::empty().report(&pipeline, resolved("v1")).plan(&pipeline);
    let containers = plan.children.deployments.iter().flat_map(|deployment| {
        let pod = deployment.spec.template.spec.as_ref().unwrap();
        pod.init_containers.iter().flatten().chain(&pod.containers)
    });
    let written: BTreeSet<&str> = containers
        .flat_map(|container| container.env.iter().flatten())
        .map(|variable| variable.name.as_str())
        .filter(|name| name.starts_with(variables::PREFIX))
        .collect();
    for name in &written {
        assert!(variables::ALL.contains(name), "{name} is read by nobody");
    }
    // What a pipeline may leave out, and what only people at a terminal say.
    let left_out = [
        variables::ALLOW_ARM_HEADER,
        variables::CREDENTIALS,
        variables::DEADLINE_MS,
        variables::EVENTS_ENDPOINT,
        variables::EVENTS_FLUSH,
        variables::EXPERIMENT_LISTEN,
        variables::FILE,
        variables::GATHER,
        variables::GATHER_WAIT_US,
        variables::JWT_KEYS_CA,
        variables::LOG,
        variables::LOG_FORMAT,
        variables::MAX_CONNECTIONS,
        variables::MAX_QUESTIONS,
        variables::ONLINE_CONNECTION,
        variables::ONLINE_CREDENTIALS,
        variables::ONLINE_DEADLINE_MS,
        variables::ONLINE_FILE,
        variables::ONLINE_PATIENCE_SECONDS,
        variables::QUEUE,
        variables::ROUTES,
        variables::STORE,
        variables::STORE_ENDPOINT,
        variables::THREADS,
    ];
    // What the pods of lists and trainings are given: `runs`.
    let of_runs = [
        variables::DATA,
        variables::ENCODER,
        variables::NAMESPACE,
        variables::OUT,
        variables::OUT_CREDENTIALS,
        variables::OUT_ENDPOINT,
    ];
    for name in variables::ALL {
        assert!(
            written.contains(name) || left_out.contains(name) || of_runs.contains(name),
            "{name} is set by nobody"
        );
    }
}
