//! Between the groups that clients know and those under which custom resources can be served.
//!
//! A custom resource's group has to have a dot in it, so the core group is served as `core.test.gondola.dev` and `apps`
//! as `apps.test.gondola.dev`. Renamed are a request's path and, in the kinds concerned only, an object's `apiVersion`,
//! the `apiVersion` of its managed fields, and what error messages say. Owner references are data and stay.

use serde_json::Value;

/// What the groups' stand-ins end with.
const STAND_IN: &str = ".test.gondola.dev";
/// The stand-in of the core group.
const CORE: &str = "core.test.gondola.dev";

/// The group under which the server serves a group.
pub fn served_group(group: &str) -> String {
    match group {
        "" => CORE.to_owned(),
        group if group.contains('.') => group.to_owned(),
        group => format!("{group}{STAND_IN}"),
    }
}

/// The `apiVersion` under which the server serves an `apiVersion`.
pub(crate) fn served_api_version(api_version: &str) -> String {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    format!("{}/{version}", served_group(group))
}

/// How the paths and objects of one group and version are renamed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Renaming {
    /// As the client writes it: `v1`, `apps/v1`.
    known: String,
    /// As the server knows it: `core.test.gondola.dev/v1`.
    served: String,
}

impl Renaming {
    /// The path at the server, and what to do with bodies; nothing where nothing has to be renamed.
    pub(crate) fn of_path(path: &str) -> Option<(String, Self)> {
        let (group, rest) = match path.strip_prefix("/api/") {
            Some(rest) => ("", rest),
            None => path.strip_prefix("/apis/")?.split_once('/')?,
        };
        let served = served_group(group);
        if served == group {
            return None;
        }
        let version = rest.split(['/', '?']).next().unwrap_or_default();
        let known = if group.is_empty() {
            version.to_owned()
        } else {
            format!("{group}/{version}")
        };
        Some((
            format!("/apis/{served}/{rest}"),
            Self {
                known,
                served: format!("{served}/{version}"),
            },
        ))
    }

    /// Renames a request's body, which is an object, a patch of one, or options.
    pub(crate) fn to_server(&self, body: &mut Value) {
        if body["kind"] == "DeleteOptions" {
            return;
        }
        rename_object(body, &self.known, &self.served);
    }

    /// Renames an answer's body: an object, a list, an event of a watch, a status, a list of resources.
    pub(crate) fn to_client(&self, body: &mut Value) {
        if let Some(object) = body.get_mut("object") {
            return self.to_client(object);
        }
        if body["kind"] == "Status" {
            return rename_texts(body);
        }
        rename_object(body, &self.served, &self.known);
        rename_string(body.get_mut("groupVersion"), &self.served, &self.known);
        for item in body
            .get_mut("items")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            rename_object(item, &self.served, &self.known);
        }
    }
}

fn rename_object(object: &mut Value, from: &str, to: &str) {
    rename_string(object.get_mut("apiVersion"), from, to);
    let fields = object
        .get_mut("metadata")
        .and_then(|metadata| metadata.get_mut("managedFields"));
    for entry in fields.and_then(Value::as_array_mut).into_iter().flatten() {
        rename_string(entry.get_mut("apiVersion"), from, to);
    }
}

fn rename_string(value: Option<&mut Value>, from: &str, to: &str) {
    if let Some(value) = value.filter(|value| *value == from) {
        *value = to.into();
    }
}

/// Takes the stand-ins out of every text of a status: its message, its causes, its details.
fn rename_texts(value: &mut Value) {
    match value {
        Value::String(text) => *text = without_stand_ins(text),
        Value::Array(values) => values.iter_mut().for_each(rename_texts),
        Value::Object(values) => values.values_mut().for_each(rename_texts),
        _ => {}
    }
}

fn without_stand_ins(text: &str) -> String {
    text.replace(&format!("{CORE}/"), "")
        .replace(&format!(".{CORE}"), "")
        .replace(CORE, "")
        .replace(STAND_IN, "")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check_path(path: &str, served: Option<&str>) {
        assert_eq!(Renaming::of_path(path).map(|(path, _)| path).as_deref(), served);
    }

    #[test]
    fn only_groups_without_a_dot_are_renamed_in_paths() {
        check_path(
            "/api/v1/configmaps?watch=1",
            Some("/apis/core.test.gondola.dev/v1/configmaps?watch=1"),
        );
        check_path(
            "/api/v1?timeout=1s",
            Some("/apis/core.test.gondola.dev/v1?timeout=1s"),
        );
        check_path(
            "/apis/apps/v1/namespaces/a/deployments/b/status",
            Some("/apis/apps.test.gondola.dev/v1/namespaces/a/deployments/b/status"),
        );
        check_path("/apis/coordination.k8s.io/v1/leases", None);
        check_path("/apis/gondola.dev/v1alpha1/recommenderpipelines", None);
        check_path("/healthz", None);
    }

    #[test]
    fn an_object_comes_back_as_it_went_and_owners_stay() {
        let (_, renaming) = Renaming::of_path("/apis/apps/v1/deployments").unwrap();
        let owner = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "a", "uid": "1"}]);
        let object = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {
            "ownerReferences": owner, "managedFields": [{"manager": "m", "apiVersion": "apps/v1"}],
        }});
        let mut body = object.clone();
        renaming.to_server(&mut body);
        assert_eq!(body["apiVersion"], "apps.test.gondola.dev/v1");
        assert_eq!(
            body["metadata"]["managedFields"][0]["apiVersion"],
            "apps.test.gondola.dev/v1"
        );
        assert_eq!(body["metadata"]["ownerReferences"], owner);
        let mut event = json!({"type": "ADDED", "object": body});
        renaming.to_client(&mut event);
        assert_eq!(event["object"], object);
    }

    #[test]
    fn options_and_errors_read_as_in_a_cluster() {
        let (_, renaming) = Renaming::of_path("/api/v1/namespaces/a/configmaps/b").unwrap();
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
        let mut body = options.clone();
        renaming.to_server(&mut body);
        assert_eq!(body, options);
        let mut status = json!({
            "apiVersion": "v1", "kind": "Status", "message": "configmaps.core.test.gondola.dev \"b\" not found",
            "details": {"group": "core.test.gondola.dev", "causes": [{"message": "using core.test.gondola.dev/v1"}]},
        });
        renaming.to_client(&mut status);
        assert_eq!(status["message"], "configmaps \"b\" not found");
        assert_eq!(
            status["details"],
            json!({"group": "", "causes": [{"message": "using v1"}]})
        );
    }
}
