//! Every path and method, with what goes in and comes out.

use gondola_events::intake::RawOutcome;
use gondola_protocol::PipelineDescription;
use gondola_request::{ItemPatch, ItemUpdate, Rules, UserUpdate};
use gondola_wire::router_report::{REPORT_PATH, RouterReport};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::parameters;
use crate::experimenter::Receipt;
use crate::front::MAX_ID_BYTES;
use crate::http::changes::ReceiptBody;
use crate::http::explanations::{ExplainBody, ExplainedBody};
use crate::http::{AnswerBody, RecommendQuery, SimilarQuery};
use crate::http_error::ErrorBody;

/// A path and a method.
pub(super) struct Operation {
    pub(super) path: &'static str,
    /// In lower case, as OpenAPI writes it.
    pub(super) method: &'static str,
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    /// Whether a main port serves it that serves questions alone.
    pub(super) is_question: bool,
    pub(super) parameters: Vec<Value>,
    /// The body by its media type.
    pub(super) body: Option<Value>,
    /// What is answered, but for errors that all have in common.
    pub(super) answers: Vec<Answer>,
}

/// An answer.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) description: &'static str,
    /// The body by its media type; null where there is none.
    pub(super) content: Value,
}

/// What `POST /v1/outcomes` takes.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "outcomes are read one by one; this is their schema")]
struct OutcomesBody {
    /// At most 1000. Each is checked for itself, so that one which is wrong costs the others nothing.
    outcomes: Vec<RawOutcome>,
}

/// What `POST /v1/items:batch` takes.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "items are read one by one; this is their schema")]
struct ItemsBody {
    /// At most 1000. Each has `item`, `features` and `blocked`, as a `PUT` has them, and is checked for itself, so that one which is wrong
    /// costs the others nothing.
    items: Vec<Map<String, Value>>,
}

/// What `POST /v1/interactions` takes.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "interactions are read one by one; this is their schema")]
struct InteractionsBody {
    /// At most 1000. Each has `event_id`, `user`, `item` and `type` (`view`, `click`, `basket`, `purchase` or `dislike`), and may have
    /// `event_time`, `price`, `unit` and `request_id`. Each is checked for itself, so that one which is wrong costs the others nothing.
    interactions: Vec<Map<String, Value>>,
}

/// All of them. An example of a body stands beside its type, and `tests` reads it as that type.
pub(super) fn all(generator: &mut SchemaGenerator) -> Vec<Operation> {
    let g = generator;
    let invalid = answer::<ErrorBody>(g, 400, "The request is wrong; the message says how.", json!(null));
    let not_found = answer::<ErrorBody>(g, 404, "There is no such item.", json!(null));
    let too_large = answer::<ErrorBody>(g, 413, "The body has more than 1 MiB.", json!(null));
    let too_slow = answer::<ErrorBody>(g, 408, "The body did not come in time.", json!(null));
    let unserved = answer::<ErrorBody>(g, 501, "This pipeline does not serve that.", json!(null));
    let changed = Answer {
        status: 204,
        description: "The online store has the change; requests from now on see it.",
        content: Value::Null,
    };
    let away = answer::<ErrorBody>(g, 503, "The online store does not answer now.", json!(null));
    let of_change = vec![
        changed,
        invalid.clone(),
        too_large.clone(),
        too_slow.clone(),
        unserved.clone(),
        away.clone(),
    ];
    let taken = answer::<ReceiptBody>(
        g,
        200,
        "Which were taken, and why others were not.",
        example_receipt(),
    );
    let of_batch = vec![
        taken,
        invalid.clone(),
        too_large.clone(),
        too_slow.clone(),
        unserved.clone(),
        away.clone(),
    ];
    let none = json!(null);
    vec![
        Operation {
            is_question: true,
            parameters: parameters::<RecommendQuery>(g),
            answers: vec![
                answer::<AnswerBody>(g, 200, "Items, best first.", example_answer()),
                invalid.clone(),
            ],
            ..operation("get", "/v1/recommend", "recommend", "Recommends items for a user")
        },
        Operation {
            is_question: true,
            parameters: parameters::<SimilarQuery>(g),
            answers: vec![
                answer::<AnswerBody>(g, 200, "Items, most similar first.", example_similar()),
                invalid.clone(),
                not_found.clone(),
                unserved.clone(),
            ],
            ..operation(
                "get",
                "/v1/similar",
                "similar",
                "Finds items like an item, or like a text",
            )
        },
        Operation {
            body: Some(content::<ExplainBody>(g, example_explain())),
            answers: vec![
                answer::<ExplainedBody>(g, 200, "What became of each item.", example_explained()),
                invalid.clone(),
                too_large.clone(),
                too_slow.clone(),
            ],
            ..operation(
                "post",
                "/v1/explain",
                "explain",
                "Says why items are in the answer for a user, or where they are lost",
            )
        },
        Operation {
            parameters: vec![id("The user's id.")],
            body: Some(content::<UserUpdate>(g, example_user())),
            answers: of_change.clone(),
            ..operation(
                "put",
                "/v1/users/{id}",
                "putUser",
                "Adds a user, or replaces the user's features",
            )
        },
        Operation {
            parameters: vec![id("The user's id.")],
            body: Some(content::<UserUpdate>(g, example_user())),
            answers: of_change.clone(),
            ..operation(
                "patch",
                "/v1/users/{id}",
                "patchUser",
                "Changes some of a user's features",
            )
        },
        Operation {
            parameters: vec![id("The user's id.")],
            answers: of_change.clone(),
            ..operation("delete", "/v1/users/{id}", "deleteUser", "Forgets a user")
        },
        Operation {
            parameters: vec![id("The item's id.")],
            body: Some(content::<ItemUpdate>(g, example_item())),
            answers: of_change.clone(),
            ..operation(
                "put",
                "/v1/items/{id}",
                "putItem",
                "Adds an item, or replaces the item's features",
            )
        },
        Operation {
            parameters: vec![id("The item's id.")],
            body: Some(content::<ItemPatch>(g, example_patch())),
            answers: [of_change.clone(), vec![not_found.clone()]].concat(),
            ..operation(
                "patch",
                "/v1/items/{id}",
                "patchItem",
                "Changes some of an item's features, or whether it may be shown",
            )
        },
        Operation {
            parameters: vec![id("The item's id.")],
            answers: of_change.clone(),
            ..operation(
                "delete",
                "/v1/items/{id}",
                "deleteItem",
                "Takes an item out of the catalog",
            )
        },
        Operation {
            answers: vec![
                answer::<Rules>(
                    g,
                    200,
                    "The rules over those of the manifest; empty where there are none.",
                    example_rules(),
                ),
                unserved.clone(),
                away,
            ],
            ..operation(
                "get",
                "/v1/rules",
                "getRules",
                "Tells the rules over those of the manifest",
            )
        },
        Operation {
            body: Some(content::<Rules>(g, example_rules())),
            answers: of_change.clone(),
            ..operation(
                "put",
                "/v1/rules",
                "putRules",
                "Replaces the rules over those of the manifest",
            )
        },
        Operation {
            answers: of_change,
            ..operation(
                "delete",
                "/v1/rules",
                "deleteRules",
                "Goes back to the rules of the manifest",
            )
        },
        Operation {
            body: Some(content::<ItemsBody>(g, example_items())),
            answers: of_batch.clone(),
            ..operation(
                "post",
                "/v1/items:batch",
                "putItems",
                "Adds or replaces several items",
            )
        },
        Operation {
            body: Some(content::<InteractionsBody>(g, example_interactions())),
            answers: of_batch,
            ..operation(
                "post",
                "/v1/interactions",
                "recordInteractions",
                "Reports what users did",
            )
        },
        Operation {
            answers: vec![answer::<PipelineDescription>(
                g,
                200,
                "The variants with their bundles.",
                none.clone(),
            )],
            ..operation(
                "get",
                "/v1/pipeline",
                "describePipeline",
                "Describes what is loaded",
            )
        },
        Operation {
            body: Some(content::<OutcomesBody>(g, example_outcomes())),
            answers: vec![
                answer::<Receipt>(
                    g,
                    200,
                    "Which were taken, and why others were not.",
                    json!({"taken": 1, "refused": []}),
                ),
                invalid,
                too_large,
                too_slow,
                unserved.clone(),
            ],
            ..operation(
                "post",
                "/v1/outcomes",
                "recordOutcomes",
                "Reports what units of an experiment did",
            )
        },
        Operation {
            answers: vec![
                answer::<RouterReport>(g, 200, "The arms' counts since this router started.", none),
                unserved,
            ],
            ..operation(
                "get",
                REPORT_PATH,
                "reportExperiment",
                "Reports how the experiment goes",
            )
        },
        Operation {
            answers: vec![text(200, "The process is alive.")],
            ..operation("get", "/healthz", "alive", "Says that the process is alive")
        },
        Operation {
            answers: vec![
                text(200, "Requests are answered."),
                text(503, "Loading, or stopping."),
            ],
            ..operation(
                "get",
                "/readyz",
                "ready",
                "Says whether requests should come here",
            )
        },
        Operation {
            answers: vec![Answer {
                status: 200,
                description: "OpenMetrics text.",
                content: json!({"application/openmetrics-text": {"schema": {"type": "string"}}}),
            }],
            ..operation("get", "/metrics", "metrics", "Counts and times, for Prometheus")
        },
        Operation {
            is_question: true,
            answers: vec![Answer {
                status: 200,
                description: "This document.",
                content: json!({"application/json": {"schema": {"type": "object"}}}),
            }],
            ..operation("get", super::PATH, "openapi", "This document")
        },
    ]
}

pub(super) fn example_answer() -> Value {
    json!({"user": "anna", "variant": "dlrm", "reason": "Assigned", "bundles": {"scorer": "sha256:6d5e"},
        "items": [{"item": "shoe-7", "score": 0.5}], "degraded": []})
}

pub(super) fn example_similar() -> Value {
    json!({"variant": "dlrm", "bundles": {"similarity": "sha256:0f3a"}, "items": [{"item": "shoe-8", "score": 0.75}],
        "degraded": []})
}

pub(super) fn example_explain() -> Value {
    json!({"user": "anna", "items": ["shoe-7", "shoe-8"], "k": 1})
}

pub(super) fn example_explained() -> Value {
    json!({"user": "anna", "variant": "dlrm", "reason": "Assigned", "bundles": {"scorer": "sha256:6d5e"},
        "items": [
            {"item": "shoe-7", "fate": "shown", "sources": [{"source": "two_tower", "place": 3}], "score": 0.5, "rank": 1},
            {"item": "shoe-8", "fate": "not_found", "sources": [], "score": 0.25}],
        "degraded": [], "timing": {"features": 2, "retrieval": 114, "filter": 1, "scoring": 319, "ordering": 7}})
}

pub(super) fn example_user() -> Value {
    json!({"features": {"age": 40, "city": null},
        "history": [{"item": "shoe-7", "purchases": 2, "days_since_last": 3}]})
}

pub(super) fn example_item() -> Value {
    json!({"features": {"color": "red"}})
}

pub(super) fn example_patch() -> Value {
    json!({"blocked": true})
}

pub(super) fn example_items() -> Value {
    json!({"items": [{"item": "shoe-9", "features": {"color": "blue"}, "blocked": false}]})
}

pub(super) fn example_interactions() -> Value {
    json!({"interactions": [{"event_id": "e-81", "user": "anna", "item": "shoe-7", "type": "purchase", "price": 59.9}]})
}

pub(super) fn example_rules() -> Value {
    json!({"already_bought": "remove", "limit": 12, "items": [{"column": "in_stock", "deny": [0]}]})
}

pub(super) fn example_receipt() -> Value {
    json!({"taken": 1, "duplicates": 0, "refused": []})
}

pub(super) fn example_outcomes() -> Value {
    json!({"outcomes": [{"unit": "anna", "type": "purchase", "value": 59.9, "itemId": "shoe-7", "eventId": "order-1"}]})
}

fn operation(method: &'static str, path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation {
        path,
        method,
        id,
        summary,
        is_question: false,
        parameters: Vec::new(),
        body: None,
        answers: Vec::new(),
    }
}

fn id(description: &str) -> Value {
    let schema = json!({"type": "string", "minLength": 1, "maxLength": MAX_ID_BYTES});
    json!({"name": "id", "in": "path", "required": true, "description": description, "schema": schema})
}

fn answer<T: JsonSchema>(
    generator: &mut SchemaGenerator,
    status: u16,
    description: &'static str,
    example: Value,
) -> Answer {
    Answer {
        status,
        description,
        content: content::<T>(generator, example),
    }
}

fn text(status: u16, description: &'static str) -> Answer {
    Answer {
        status,
        description,
        content: json!({"text/plain": {"schema": {"type": "string"}}}),
    }
}

fn content<T: JsonSchema>(generator: &mut SchemaGenerator, example: Value) -> Value {
    let schema = generator.subschema_for::<T>();
    let mut content = json!({"schema": schema});
    if !example.is_null() {
        content["example"] = example;
    }
    json!({"application/json": content})
}
