//! What the chart grants the operator, held against what the operator asks.
//!
//! Nobody checks rights at this level: every request of a pipeline's life is recorded, and looked up in the rules that are
//! shipped.

use std::collections::BTreeSet;

use gondola_test_api_server::Request;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use serde_json::json;

use crate::leaders::Process;
use crate::world::{World, experiment, is_operator, pipeline, until};

const SHIPPED: &str = include_str!("../../../charts/kustomize/operator.yaml");

/// What a request wants to do to what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Access {
    group: String,
    resource: String,
    verb: &'static str,
}

/// The rules that are shipped: those for pipelines and those for the Lease.
fn rules() -> Vec<PolicyRule> {
    let documents = SHIPPED.split("\n---\n");
    let mut rules = Vec::new();
    for document in documents {
        let kind = |kind: &str| document.contains(&format!("\nkind: {kind}\n"));
        if kind("ClusterRole") && document.contains("name: gondola-operator\n") {
            let role: ClusterRole = serde_saphyr::from_str(document).unwrap();
            rules.extend(role.rules.unwrap_or_default());
        } else if kind("Role") {
            let role: Role = serde_saphyr::from_str(document).unwrap();
            rules.extend(role.rules.unwrap_or_default());
        }
    }
    rules
}

/// What a request needs; nothing where it only asks which APIs there are, which anybody may.
fn needed(request: &Request) -> Vec<Access> {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (group, rest) = match parts.as_slice() {
        ["api", "v1", rest @ ..] => ("", rest),
        ["apis", group, _version, rest @ ..] => (*group, rest),
        _ => return Vec::new(),
    };
    let rest = match rest {
        ["namespaces", _, rest @ ..] => rest,
        rest => rest,
    };
    let (resource, named) = match rest {
        [] => return Vec::new(),
        [resource] => ((*resource).to_owned(), false),
        [resource, _] => ((*resource).to_owned(), true),
        [resource, _, subresource, ..] => (format!("{resource}/{subresource}"), true),
    };
    let verbs: &[&'static str] = match request.method.as_str() {
        "GET" if named => &["get"],
        "GET" if query.contains("watch=") => &["watch"],
        "GET" => &["list"],
        "POST" => &["create"],
        "PUT" => &["update"],
        "DELETE" => &["delete"],
        // Server-side apply makes what is not there.
        "PATCH" if query.contains("fieldManager") && !resource.contains('/') => &["patch", "create"],
        _ => &["patch"],
    };
    let access = |verb: &&'static str| Access {
        group: group.to_owned(),
        resource: resource.clone(),
        verb,
    };
    verbs.iter().map(access).collect()
}

fn grants(rule: &PolicyRule, access: &Access) -> bool {
    let has = |list: &Option<Vec<String>>, wanted: &str| list.iter().flatten().any(|known| known == wanted);
    has(&rule.api_groups, &access.group)
        && has(&rule.resources, &access.resource)
        && rule.verbs.iter().any(|verb| verb == access.verb)
}

#[test]
fn no_rule_touches_secrets_or_everything() {
    let rules = rules();
    assert!(rules.len() > 10, "only {} rules were found", rules.len());
    for rule in rules {
        let resources = rule.resources.iter().flatten();
        let all = resources
            .chain(rule.api_groups.iter().flatten())
            .chain(&rule.verbs);
        for word in all {
            let forbidden = ["*", "secrets", "pods/exec", "escalate", "bind", "impersonate"];
            assert!(!forbidden.contains(&word.as_str()), "{rule:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_life_asks_for_nothing_that_the_chart_does_not_grant() -> anyhow::Result<()> {
    let Some(world) = World::start().await? else {
        return Ok(());
    };
    let _operator = Process::start(&world, "operator-a")?;
    let mut full = pipeline(&[("dlrm", 50, 2), ("forest", 50, 2)]);
    full["spec"]["networkPolicy"] = json!({});
    let forest = &mut full["spec"]["variants"][1];
    forest.as_object_mut().unwrap().remove("replicas");
    forest["resources"] = json!({"requests": {"cpu": "500m"}});
    forest["autoscaling"] = json!({"minReplicas": 2, "maxReplicas": 3});
    full["spec"]["experiment"] = experiment("dlrm", "forest");
    world.apply("shop", &full).await?;
    world.wait_for("shop", "grocery", "Ready", "True").await?;
    world.apply("shop", &pipeline(&[("dlrm", 50, 1)])).await?;
    until("everything that is too much is gone", || async {
        let dump = world.dump("shop").await?;
        let too_much = ["NetworkPolicy", "Autoscaler", "forest", "analyzer", "evidence"];
        Ok((!dump
            .keys()
            .any(|name| too_much.iter().any(|word| name.contains(word))))
        .then_some(()))
    })
    .await?;
    world.wait_for("shop", "grocery", "Ready", "True").await?;
    world.delete("shop", "grocery").await?;
    world.wait_until_quiet().await?;

    let rules = rules();
    let seen = world.server.traffic().seen();
    let asked: BTreeSet<Access> = seen
        .iter()
        .filter(|seen| is_operator(&seen.request))
        .flat_map(|seen| needed(&seen.request))
        .collect();
    assert!(asked.len() > 25, "{asked:?}");
    for access in &asked {
        assert!(
            rules.iter().any(|rule| grants(rule, access)),
            "nothing grants {access:?}"
        );
    }
    Ok(())
}
