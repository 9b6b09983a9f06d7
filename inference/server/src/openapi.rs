//! The HTTP interface as an OpenAPI document, at `/openapi.json`: made of the types that requests and answers are, so that it can't
//! say something else than the code does.
//!
//! [`operations`] has one entry a path and method: a new endpoint is written down there, with its types and an example of what goes in
//! and comes out. What a path needs comes from [`scope`], parameters from the type of the query. `tests` hold examples against the
//! types and routes against the table; `tests/serving/openapi.rs` holds the whole document against a server, with Schemathesis.

mod operations;

use std::sync::OnceLock;

use axum::Extension;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::access::scope::{self, Need};
use operations::Operation;

/// Where the document is.
pub(crate) const PATH: &str = "/openapi.json";
/// Where schemas are in it.
const SCHEMAS: &str = "/components/schemas";

/// What a reader of the document may see and must show: it is put into requests for the document on their way in.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct View {
    /// Whether the port serves questions alone.
    pub(crate) questions_alone: bool,
    /// Whether API keys are taken.
    pub(crate) keys: bool,
    /// Whether tokens are.
    pub(crate) tokens: bool,
}

/// The document, for whoever asks.
pub(crate) async fn serve(view: Option<Extension<View>>) -> Response {
    static MADE: [OnceLock<Bytes>; 8] = [const { OnceLock::new() }; 8];
    let view = view.map(|Extension(view)| view).unwrap_or_default();
    let place =
        usize::from(view.questions_alone) | usize::from(view.keys) << 1 | usize::from(view.tokens) << 2;
    let document = MADE[place].get_or_init(|| document(view).to_string().into());
    ([(header::CONTENT_TYPE, "application/json")], document.clone()).into_response()
}

/// The document of a port.
pub(crate) fn document(view: View) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.definitions_path = SCHEMAS.into());
    let mut generator = settings.into_generator();
    let shown = |operation: &Operation| !view.questions_alone || operation.is_question;
    let mut paths = Map::new();
    for operation in operations::all(&mut generator).into_iter().filter(shown) {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method] = described(&operation, view);
    }
    let mut schemes = Map::new();
    if view.keys {
        let scheme = json!({"type": "apiKey", "in": "header", "name": "x-api-key"});
        schemes.insert("apiKey".to_owned(), scheme);
    }
    if view.tokens {
        let scheme = json!({"type": "http", "scheme": "bearer", "bearerFormat": "JWT"});
        schemes.insert("token".to_owned(), scheme);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Gondola",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Recommendations, similar items, and what changes them. gRPC has the same on the same port.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": generator.take_definitions(true), "securitySchemes": schemes},
    })
}

fn described(operation: &Operation, view: View) -> Value {
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "parameters": operation.parameters,
        "responses": responses(operation, view),
    });
    if let Some(body) = &operation.body {
        described["requestBody"] = json!({"required": true, "content": body});
    }
    let mut security = Vec::new();
    if let Need::Scope(_) = need(operation) {
        security.extend(view.keys.then(|| json!({"apiKey": []})));
        security.extend(view.tokens.then(|| json!({"token": []})));
    }
    described["security"] = security.into();
    described
}

fn need(operation: &Operation) -> Need {
    scope::need(&operation.path.replace("{id}", "id"))
}

fn responses(operation: &Operation, view: View) -> Value {
    let id = json!({"x-request-id": {"description": "The request's own id, or one that was made.", "schema": {"type": "string"}}});
    let mut responses = Map::new();
    let mut add = |status: u16, description: &str, content: Value| {
        let mut response = json!({"description": description, "headers": id});
        if !content.is_null() {
            response["content"] = content;
        }
        responses.insert(status.to_string(), response);
    };
    for answer in &operation.answers {
        add(answer.status, answer.description, answer.content.clone());
    }
    let error = json!({"application/json": {"schema": {"$ref": "#/components/schemas/ErrorBody"}}});
    let guarded = matches!(need(operation), Need::Scope(_));
    let shows = guarded && (view.keys || view.tokens);
    for (status, description, is_there) in [
        (401, "No credential was sent, or none that is known.", shows),
        (
            403,
            "The credential does not allow this, or a signature does not fit.",
            guarded,
        ),
        (
            429,
            "Too many requests, of this client or of all; retry-after says when to come again.",
            guarded,
        ),
        (500, "A fault of the server.", guarded),
        (503, "Not ready, or what answers is out of reach.", guarded),
        (504, "The deadline passed.", guarded),
    ] {
        if is_there {
            add(status, description, error.clone());
        }
    }
    Value::Object(responses)
}

/// The parameters of a query, as its type has them.
fn parameters<Q: JsonSchema>(generator: &mut SchemaGenerator) -> Vec<Value> {
    let schema = Q::json_schema(generator).to_value();
    let properties = schema["properties"].as_object().cloned().unwrap_or_default();
    let parameter = |(name, mut schema): (String, Value)| {
        let description = schema
            .as_object_mut()
            .and_then(|schema| schema.remove("description"));
        json!({"name": name, "in": "query", "required": false, "description": description, "schema": schema})
    };
    properties.into_iter().map(parameter).collect()
}

#[cfg(test)]
mod tests;
