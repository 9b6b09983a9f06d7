//! Everyday edits, and what they must never do to those who are served.

use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use crate::world::{World, is_operator, pipeline, routes, until};

/// The condition of a pipeline, whatever generation it is of.
async fn condition(
    world: &World,
    namespace: &str,
    type_: &str,
) -> anyhow::Result<Option<(String, String, String)>> {
    let pipelines = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("gondola.dev", "v1alpha1", "RecommenderPipeline"),
        "recommenderpipelines",
    );
    let api: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), namespace, &pipelines);
    let Some(pipeline) = api.get_opt("grocery").await? else {
        return Ok(None);
    };
    let conditions = pipeline.data["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let found = conditions
        .into_iter()
        .find(|condition| condition["type"] == type_);
    Ok(found.map(|found| {
        (
            text(&found["status"]),
            text(&found["reason"]),
            text(&found["message"]),
        )
    }))
}

async fn wait_for_reason(
    world: &World,
    namespace: &str,
    type_: &str,
    reason: &str,
) -> anyhow::Result<String> {
    until(&format!("{namespace} has {type_} for {reason}"), || async {
        let found = condition(world, namespace, type_).await?;
        Ok(found
            .filter(|(_, now, _)| now == reason)
            .map(|(_, _, message)| message))
    })
    .await
}

async fn manifests(world: &World, namespace: &str) -> anyhow::Result<Vec<String>> {
    let configs: Api<ConfigMap> = Api::namespaced(world.client.clone(), namespace);
    let all = configs.list(&ListParams::default()).await?;
    let immutable = all.items.iter().filter(|config| config.immutable == Some(true));
    Ok(immutable.map(ResourceExt::name_any).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_replica_set_names_stays_until_it_is_gone() -> anyhow::Result<()> {
    let Some(world) = World::start().await? else {
        return Ok(());
    };
    let operator = world.operator()?;
    world.apply("shop", &pipeline(&[("dlrm", 1, 2)])).await?;
    world.wait_for("shop", "grocery", "Ready", "True").await?;
    let first = manifests(&world, "shop").await?;
    // What the Deployment's controller would have made of the first version.
    let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), "shop");
    let template = deployments.get("grocery--dlrm").await?.spec.template;
    let mut old = ReplicaSet::default();
    old.metadata.name = Some("grocery--dlrm-1".into());
    old.metadata.labels = template
        .metadata
        .as_ref()
        .and_then(|metadata| metadata.labels.clone());
    old.spec.template = Some(template);
    let sets: Api<ReplicaSet> = Api::namespaced(world.client.clone(), "shop");
    sets.create(&PostParams::default(), &old).await?;
    world.publish(Some("v2"));
    until("the second version is rolled out", || async {
        Ok(manifests(&world, "shop")
            .await?
            .iter()
            .any(|name| !first.contains(name))
            .then_some(()))
    })
    .await?;
    world.wait_for("shop", "grocery", "Ready", "True").await?;
    world.wait_until_quiet().await?;
    assert!(
        manifests(&world, "shop").await?.contains(&first[0]),
        "pods of the first version can start again"
    );
    sets.delete("grocery--dlrm-1", &DeleteParams::default()).await?;
    until("it is needed no more", || async {
        Ok((!manifests(&world, "shop").await?.contains(&first[0])).then_some(()))
    })
    .await?;
    operator.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variant_that_is_replaced_stays_until_the_other_answers() -> anyhow::Result<()> {
    let Some(mut world) = World::start().await? else {
        return Ok(());
    };
    let operator = world.operator()?;
    world.apply("shop", &pipeline(&[("dlrm", 1, 2)])).await?;
    world.wait_for("shop", "grocery", "Ready", "True").await?;
    world.wait_until_quiet().await?;
    // Nothing gets ready any more.
    world.stop_stand_ins();
    world.apply("shop", &pipeline(&[("forest", 1, 2)])).await?;
    until("the edit is seen", || async {
        let pipeline = world.pipelines("shop").get("grocery").await?;
        let seen = pipeline.status.and_then(|status| status.observed_generation);
        Ok((seen == pipeline.metadata.generation).then_some(()))
    })
    .await?;
    world.wait_until_quiet().await?;
    let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), "shop");
    assert!(deployments.get_opt("grocery--dlrm").await?.is_some(), "it serves");
    let told = routes(&world, "shop").await?;
    assert_eq!((told.control.as_str(), told.variants.len()), ("dlrm", 1));
    let status = world.pipelines("shop").get("grocery").await?.status.unwrap();
    let leaving = status
        .variants
        .iter()
        .find(|variant| variant.name == "dlrm")
        .unwrap();
    assert_eq!(
        leaving.message.as_deref(),
        Some("it will be removed once forest answers")
    );
    world.start_stand_ins();
    until("the other took over", || async {
        let gone = deployments.get_opt("grocery--dlrm").await?.is_none();
        Ok((gone && routes(&world, "shop").await?.control == "forest").then_some(()))
    })
    .await?;
    operator.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_autoscaler_begins_from_the_pods_that_there_are_and_leaves_them() -> anyhow::Result<()> {
    let Some(world) = World::start().await? else {
        return Ok(());
    };
    let operator = world.operator()?;
    world.apply("shop", &pipeline(&[("dlrm", 1, 20)])).await?;
    world.wait_for("shop", "grocery", "Ready", "True").await?;
    let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), "shop");
    let replicas =
        async || -> anyhow::Result<Option<i32>> { Ok(deployments.get("grocery--dlrm").await?.spec.replicas) };
    let stay = async || -> anyhow::Result<()> {
        for _ in 0..60 {
            assert_eq!(replicas().await?, Some(20));
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        Ok(())
    };
    until("20 are wanted", || async {
        Ok((replicas().await? == Some(20)).then_some(()))
    })
    .await?;
    let mut scaled = pipeline(&[("dlrm", 1, 20)]);
    let variant = &mut scaled["spec"]["variants"][0];
    variant.as_object_mut().unwrap().remove("replicas");
    variant["resources"] = json!({"requests": {"cpu": "500m"}});
    let unscaled = scaled.clone();
    scaled["spec"]["variants"][0]["autoscaling"] = json!({"minReplicas": 2, "maxReplicas": 30});
    for (step, spec) in [("on", &scaled), ("off", &unscaled)] {
        world.apply("shop", spec).await?;
        stay().await?;
        world.wait_for("shop", "grocery", "Ready", "True").await?;
        eprintln!("switched {step}");
    }
    // From here on it is somebody else's number.
    let patch = json!({"spec": {"replicas": 3}});
    deployments
        .patch("grocery--dlrm", &PatchParams::default(), &Patch::Merge(&patch))
        .await?;
    world.wait_until_quiet().await?;
    assert_eq!(replicas().await?, Some(3));
    operator.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn admission_that_changes_every_deployment_keeps_nothing_from_being_ready() -> anyhow::Result<()> {
    let Some(world) = World::start().await? else {
        return Ok(());
    };
    world.server.traffic().admit(|request, object| {
        if request.path.contains("/deployments/") && object.pointer("/spec/template/spec").is_some() {
            object["spec"]["revisionHistoryLimit"] = 7.into();
            let containers = object
                .pointer_mut("/spec/template/spec/containers")
                .and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten() {
                container["image"] = "registry/image@sha256:abc".into();
            }
        }
    });
    let operator = world.operator()?;
    world.apply("shop", &pipeline(&[("dlrm", 1, 1)])).await?;
    world.wait_for("shop", "grocery", "Ready", "True").await?;
    let (status, reason, message) = condition(&world, "shop", "Overridden").await?.unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("True", "ChangedByAdmission"));
    assert!(
        message.contains("Deployment grocery--resolver differs from what was applied at spec."),
        "{message}"
    );
    world.wait_until_quiet().await?;
    world.server.traffic().forget();
    // A pass that has nothing to do sends nothing.
    let configs: Api<ConfigMap> = Api::namespaced(world.client.clone(), "shop");
    let poke = json!({"metadata": {"annotations": {"somebody": "else"}}});
    configs
        .patch("grocery--routes", &PatchParams::default(), &Patch::Merge(&poke))
        .await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let writes = world.server.traffic().writes();
    let ours: Vec<_> = writes.iter().filter(|seen| is_operator(&seen.request)).collect();
    assert!(ours.is_empty(), "{ours:?}");
    // What somebody else edits is still put back.
    let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), "shop");
    let edit = json!({"spec": {"template": {"spec": {"serviceAccountName": "root"}}}});
    deployments
        .patch("grocery--dlrm", &PatchParams::default(), &Patch::Merge(&edit))
        .await?;
    until("the edit is undone", || async {
        let pod = deployments
            .get("grocery--dlrm")
            .await?
            .spec
            .template
            .spec
            .unwrap();
        Ok((pod.service_account_name.as_deref() == Some("grocery--artifacts")).then_some(()))
    })
    .await?;
    operator.stop().await
}

/// The definition without a schema of the spec, as of a release that has another one.
fn of_another_release() -> CustomResourceDefinition {
    let mut definition = serde_json::to_value(gondola_crds::definition()).unwrap();
    let schema = definition
        .pointer_mut("/spec/versions/0/schema/openAPIV3Schema")
        .unwrap();
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    *schema = json!({"type": "object", "properties": {"spec": open, "status": open}});
    serde_json::from_value(definition).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_cannot_be_read_harms_no_other() -> anyhow::Result<()> {
    let Some(world) = World::start().await? else {
        return Ok(());
    };
    let definitions: Api<CustomResourceDefinition> = Api::all(world.client.clone());
    let forced = PatchParams::apply("another-release").force();
    let name = "recommenderpipelines.gondola.dev";
    definitions
        .patch(name, &forced, &Patch::Apply(&of_another_release()))
        .await?;
    let unreadable = async || -> anyhow::Result<()> {
        let resource = ApiResource::erase::<gondola_crds::RecommenderPipeline>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), "broken", &resource);
        let mut broken = pipeline(&[("dlrm", 1, 1)]);
        broken["spec"]["variants"] = json!("of another form");
        broken["metadata"]["namespace"] = "broken".into();
        let patch = Patch::Apply(&broken);
        until("it is taken", || async {
            Ok(api
                .patch("grocery", &PatchParams::apply("user").force(), &patch)
                .await
                .ok()
                .map(drop))
        })
        .await
    };
    unreadable().await?;
    // Listed again every few seconds: a list with such an object must not fail as a whole.
    let operator = world.operator_that_relists(Duration::from_secs(2))?;
    world.apply("shop", &pipeline(&[("dlrm", 1, 1)])).await?;
    world.wait_for("shop", "grocery", "Ready", "True").await?;
    let message = wait_for_reason(&world, "broken", "Ready", "InvalidObject").await?;
    assert!(
        message.contains("can't read the object") && message.contains("of another form"),
        "{message}"
    );
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.apply("shop", &pipeline(&[("dlrm", 1, 3)])).await?;
    world.wait_for("shop", "grocery", "Ready", "True").await?;
    world.apply("broken", &pipeline(&[("dlrm", 1, 1)])).await?;
    world.wait_for("broken", "grocery", "Ready", "True").await?;
    assert_eq!(condition(&world, "broken", "Stalled").await?, None);
    operator.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_that_is_set_takes_effect_at_once() -> anyhow::Result<()> {
    let Some(world) = World::start().await? else {
        return Ok(());
    };
    let operator = world.operator()?;
    let mut spec = pipeline(&[("dlrm", 1, 1)]);
    spec["spec"]["artifacts"]["serviceAccountName"] = "models".into();
    world.apply("shop", &spec).await?;
    wait_for_reason(&world, "shop", "Stalled", "ServiceAccountNotAllowed").await?;
    let accounts: Api<ServiceAccount> = Api::namespaced(world.client.clone(), "shop");
    let mut account = ServiceAccount::default();
    account.metadata.name = Some("models".into());
    accounts.create(&PostParams::default(), &account).await?;
    let label = |value: &str| json!({"metadata": {"labels": {"gondola.dev/allow-use": value}}});
    accounts
        .patch("models", &PatchParams::default(), &Patch::Merge(&label("true")))
        .await?;
    world.wait_for("shop", "grocery", "Ready", "True").await?;
    accounts
        .patch("models", &PatchParams::default(), &Patch::Merge(&label("false")))
        .await?;
    wait_for_reason(&world, "shop", "Stalled", "ServiceAccountNotAllowed").await?;
    operator.stop().await
}

/// The Gateway API, as far as it is needed here.
fn http_routes() -> CustomResourceDefinition {
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    serde_json::from_value(json!({
        "metadata": {
            "name": "httproutes.gateway.networking.k8s.io",
            "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"},
        },
        "spec": {
            "group": "gateway.networking.k8s.io", "scope": "Namespaced",
            "names": {"kind": "HTTPRoute", "plural": "httproutes", "singular": "httproute"},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": open, "status": open}}},
            }],
        },
    }))
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_comes_later_is_found_and_what_a_gateway_says_is_told() -> anyhow::Result<()> {
    let Some(world) = World::start().await? else {
        return Ok(());
    };
    let operator = world.operator()?;
    let mut spec = pipeline(&[("dlrm", 1, 1)]);
    spec["spec"]["gateway"] = json!({"parentRefs": [{"name": "public", "namespace": "edge"}]});
    world.apply("shop", &spec).await?;
    world.wait_for("shop", "grocery", "Ready", "True").await?;
    let message = wait_for_reason(&world, "shop", "Exposed", "ApiMissing").await?;
    assert!(message.contains("install the Gateway API"), "{message}");
    world.server.install(http_routes()).await?;
    wait_for_reason(&world, "shop", "Exposed", "RoutePending").await?;
    let resource = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "HTTPRoute"),
        "httproutes",
    );
    let api: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), "shop", &resource);
    until("there is a route", || async { Ok(api.get_opt("grocery").await?) }).await?;
    let say = async |status: &str, reason: &str| -> anyhow::Result<()> {
        let condition = json!({"type": "Accepted", "status": status, "reason": reason, "message": "no listener allows namespace shop"});
        let patch =
            json!({"status": {"parents": [{"parentRef": {"name": "public"}, "conditions": [condition]}]}});
        api.patch_status("grocery", &PatchParams::default(), &Patch::Merge(&patch))
            .await?;
        Ok(())
    };
    say("False", "NotAllowedByListeners").await?;
    let message = wait_for_reason(&world, "shop", "Exposed", "RouteRefused").await?;
    assert!(
        message.contains("NotAllowedByListeners: no listener allows namespace shop"),
        "{message}"
    );
    say("True", "Accepted").await?;
    wait_for_reason(&world, "shop", "Exposed", "Accepted").await?;
    operator.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn suspended_with_something_to_do_is_not_ready() -> anyhow::Result<()> {
    let Some(world) = World::start().await? else {
        return Ok(());
    };
    let operator = world.operator()?;
    world.apply("shop", &pipeline(&[("dlrm", 1, 1)])).await?;
    world.wait_for("shop", "grocery", "Ready", "True").await?;
    world.wait_until_quiet().await?;
    let mut suspended = pipeline(&[("dlrm", 1, 1)]);
    suspended["spec"]["suspend"] = true.into();
    world.apply("shop", &suspended).await?;
    // The resolver looks at the new generation, and finds the same.
    world.wait_for("shop", "grocery", "Ready", "True").await?;
    suspended["spec"]["variants"][0]["replicas"] = 3.into();
    world.apply("shop", &suspended).await?;
    world.wait_for("shop", "grocery", "Ready", "Unknown").await?;
    wait_for_reason(&world, "shop", "Ready", "Suspended").await?;
    operator.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_whose_text_changes_is_tried_again_at_a_growing_distance() -> anyhow::Result<()> {
    use gondola_test_api_server::{Action, Fault, Request};

    let Some(world) = World::start().await? else {
        return Ok(());
    };
    let deployments = |request: &Request| {
        request.is_write() && is_operator(request) && request.path.contains("/deployments/grocery--dlrm")
    };
    world
        .server
        .traffic()
        .inject(Fault::on(Action::CutBefore, deployments).always());
    let operator = world.operator()?;
    world.apply("shop", &pipeline(&[("dlrm", 1, 1)])).await?;
    wait_for_reason(&world, "shop", "Ready", "ApplyFailed").await?;
    world.server.traffic().forget();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let tries = world
        .server
        .traffic()
        .seen()
        .iter()
        .filter(|seen| deployments(&seen.request))
        .count();
    assert!(tries <= 6, "{tries} tries in 10 seconds");
    let statuses = world.server.traffic().writes();
    let statuses = statuses
        .iter()
        .filter(|seen| seen.request.path.contains("/status") && is_operator(&seen.request))
        .count();
    assert!(statuses <= 2, "{statuses} statuses in 10 seconds");
    operator.stop().await
}
