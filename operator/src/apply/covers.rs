//! Whether an object is already as it should be.
//!
//! The API server adds defaults and writes quantities its own way, so that two objects are never compared for equality:
//! what is wanted must be contained in what is there.

use serde_json::Value;

/// Whether everything of `wanted` is in `live`.
pub fn covers(live: &Value, wanted: &Value) -> bool {
    difference(live, wanted).is_none()
}

/// The first field of `wanted` that is not in `live`, as a path such as `spec.template`; none if all of it is there.
pub fn difference(live: &Value, wanted: &Value) -> Option<String> {
    let mut path = Vec::new();
    (!same(live, wanted, &mut path)).then(|| path.join("."))
}

/// Compares, and leaves the path of the first difference in `path`.
fn same(live: &Value, wanted: &Value, path: &mut Vec<String>) -> bool {
    let mut below = |name: &str, live: &Value, wanted: &Value| {
        path.push(name.to_owned());
        let same = same(live, wanted, path);
        if same {
            path.pop();
        }
        same
    };
    match (live, wanted) {
        (_, Value::Null) => true,
        (Value::Object(live), Value::Object(wanted)) => {
            wanted.iter().all(|(key, wanted)| match live.get(key) {
                Some(live) => below(key, live, wanted),
                None => is_empty(wanted) || below(key, &Value::Null, wanted),
            })
        }
        (Value::Array(live), Value::Array(wanted)) => same_lists(live, wanted, &mut below),
        (Value::String(live), Value::String(wanted)) => live == wanted || same_quantity(live, wanted),
        (Value::Number(live), Value::Number(wanted)) => live.as_f64() == wanted.as_f64(),
        (live, wanted) => live == wanted,
    }
}

/// Lists of named things may hold more, which others put there; all other lists are compared place by place.
fn same_lists(
    live: &[Value],
    wanted: &[Value],
    below: &mut impl FnMut(&str, &Value, &Value) -> bool,
) -> bool {
    let named = |value: &Value| value.get("name").is_some_and(Value::is_string);
    if !wanted.is_empty() && wanted.iter().all(named) {
        let find = |name: &Value| live.iter().find(|live| live.get("name") == Some(name));
        return wanted.iter().all(|wanted| {
            let name = wanted["name"].as_str().unwrap_or_default();
            below(name, find(&wanted["name"]).unwrap_or(&Value::Null), wanted)
        });
    }
    live.len() == wanted.len()
        && live
            .iter()
            .zip(wanted)
            .enumerate()
            .all(|(place, (live, wanted))| below(&place.to_string(), live, wanted))
}

/// Whether the API server omits such a value.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// Whether two texts are the same quantity: `1000m` and `1`, `1024Mi` and `1Gi`.
fn same_quantity(a: &str, b: &str) -> bool {
    matches!((quantity(a), quantity(b)), (Some(a), Some(b)) if (a - b).abs() <= a.abs() * 1e-12)
}

fn quantity(text: &str) -> Option<f64> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let scale = match suffix {
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024f64.powi(2),
        "Gi" => 1024f64.powi(3),
        "Ti" => 1024f64.powi(4),
        "Pi" => 1024f64.powi(5),
        "Ei" => 1024f64.powi(6),
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * scale)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(live: Value, wanted: Value, expected: bool) {
        assert_eq!(covers(&live, &wanted), expected, "{live} covers {wanted}");
    }

    #[test]
    fn defaults_of_the_server_are_not_a_difference() {
        check(json!({"a": 1, "b": "default"}), json!({"a": 1}), true);
        check(json!({"a": 1}), json!({"a": 2}), false);
        check(
            json!({}),
            json!({"labels": {}, "list": [], "nothing": null}),
            true,
        );
        check(json!({}), json!({"a": 0}), false);
    }

    #[test]
    fn lists_of_named_things_may_hold_more_and_others_may_not() {
        let sidecar = json!([{"name": "sidecar"}, {"name": "serve", "image": "a", "tty": false}]);
        check(sidecar.clone(), json!([{"name": "serve", "image": "a"}]), true);
        check(sidecar, json!([{"name": "serve", "image": "b"}]), false);
        check(json!(["serve", "--x"]), json!(["serve"]), false);
        check(
            json!([{"port": 1, "protocol": "TCP"}]),
            json!([{"port": 1}]),
            true,
        );
    }

    #[test]
    fn a_difference_is_named_by_its_path() {
        let live = json!({"spec": {"containers": [{"name": "serve", "image": "b"}], "limit": 5}});
        let wanted = |image: &str, limit: u32| json!({"spec": {"containers": [{"name": "serve", "image": image}], "limit": limit}});
        assert_eq!(difference(&live, &wanted("b", 5)), None);
        assert_eq!(
            difference(&live, &wanted("a", 5)).as_deref(),
            Some("spec.containers.serve.image")
        );
        assert_eq!(difference(&live, &wanted("b", 2)).as_deref(), Some("spec.limit"));
    }

    #[test]
    fn quantities_are_compared_by_what_they_mean() {
        check(json!({"cpu": "1"}), json!({"cpu": "1000m"}), true);
        check(json!("1Gi"), json!("1024Mi"), true);
        check(json!("1Gi"), json!("1G"), false);
        check(json!("1"), json!("one"), false);
    }
}
