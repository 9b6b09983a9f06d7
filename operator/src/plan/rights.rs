//! What a pipeline's pods may do at the API server: a Role and its binding to one service account.

use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// A rule for one resource of one group.
pub fn rule(group: &str, resource: &str, verbs: &[&str]) -> PolicyRule {
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(vec![resource.to_owned()]),
        verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        ..PolicyRule::default()
    }
}

/// What a pod needs that reads its own pipeline and writes its own report, in a ConfigMap.
pub fn of_reporter(pipeline: String, report: String) -> Vec<PolicyRule> {
    let only = |name| Some(vec![name]);
    vec![
        PolicyRule {
            resource_names: only(pipeline),
            ..rule("gondola.dev", "recommenderpipelines", &["get", "list", "watch"])
        },
        PolicyRule {
            resource_names: only(report),
            ..rule("", "configmaps", &["get", "patch"])
        },
    ]
}

/// Grants rules to a service account of the same namespace. Role and binding have the same metadata.
pub fn grant(metadata: ObjectMeta, rules: Vec<PolicyRule>, account: String) -> (Role, RoleBinding) {
    let role = Role {
        metadata: metadata.clone(),
        rules: Some(rules),
    };
    let binding = RoleBinding {
        role_ref: RoleRef {
            api_group: Some("rbac.authorization.k8s.io".to_owned()),
            kind: "Role".to_owned(),
            name: metadata.name.clone().unwrap_or_default(),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name: account,
            namespace: metadata.namespace.clone(),
            ..Subject::default()
        }]),
        metadata,
    };
    (role, binding)
}
