//! Users and items that are put, changed or deleted, and what users do.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use gondola_protocol::ChangeReceipt;
use gondola_request::{Change, Interaction, ItemId, ItemPatch, ItemUpdate, RawRow, Rules, UserUpdate};
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{argument, parse, read};
use crate::front::Front;
use crate::http_error::HttpError;

/// The paths of everything that makes changes, and of the rules that were made.
pub(super) fn routes() -> Router<Arc<Front>> {
    Router::new()
        .route(
            "/v1/users/{id}",
            put(put_user).patch(patch_user).delete(delete_user),
        )
        .route(
            "/v1/items/{id}",
            put(put_item).patch(patch_item).delete(delete_item),
        )
        .route("/v1/items:batch", post(put_items))
        .route("/v1/interactions", post(interact))
        .route("/v1/rules", get(rules).put(put_rules).delete(delete_rules))
}

/// The id that a path ends with.
type Id = Result<Path<String>, PathRejection>;

async fn put_user(
    front: State<Arc<Front>>,
    id: Id,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, HttpError> {
    let update: UserUpdate = parse(&read(&front, &headers, body).await?)?;
    let user = id?.0.into();
    changed(&front, Change::PutUser { user, update }).await
}

async fn patch_user(
    front: State<Arc<Front>>,
    id: Id,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, HttpError> {
    let update: UserUpdate = parse(&read(&front, &headers, body).await?)?;
    let user = id?.0.into();
    changed(&front, Change::PatchUser { user, update }).await
}

async fn delete_user(front: State<Arc<Front>>, id: Id) -> Result<StatusCode, HttpError> {
    let user = id?.0.into();
    changed(&front, Change::DeleteUser { user }).await
}

async fn put_item(
    front: State<Arc<Front>>,
    id: Id,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, HttpError> {
    let update: ItemUpdate = parse(&read(&front, &headers, body).await?)?;
    let item = id?.0.into();
    changed(&front, Change::PutItem { item, update }).await
}

async fn patch_item(
    front: State<Arc<Front>>,
    id: Id,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, HttpError> {
    let update: ItemPatch = parse(&read(&front, &headers, body).await?)?;
    let item = id?.0.into();
    changed(&front, Change::PatchItem { item, update }).await
}

async fn delete_item(front: State<Arc<Front>>, id: Id) -> Result<StatusCode, HttpError> {
    let item = id?.0.into();
    changed(&front, Change::DeleteItem { item }).await
}

async fn rules(front: State<Arc<Front>>) -> Result<Json<Rules>, HttpError> {
    Ok(Json(front.rules(None).await?))
}

async fn put_rules(
    front: State<Arc<Front>>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, HttpError> {
    let json: Value = parse(&read(&front, &headers, body).await?)?;
    for part in ["candidates", "diversity"] {
        check_object(&json[part])
            .map_err(|problem| argument("the body", &format!("has {part} that {problem}")))?;
    }
    let items = json["items"].as_array().into_iter().flatten();
    for item in items {
        check_object(item).map_err(|problem| argument("the body", &format!("has an item that {problem}")))?;
    }
    let rules: Rules = serde_json::from_value(json)
        .map_err(|error| argument("the body", &format!("is not such JSON: {error}")))?;
    changed(&front, Change::PutRules(rules)).await
}

async fn delete_rules(front: State<Arc<Front>>) -> Result<StatusCode, HttpError> {
    changed(&front, Change::DeleteRules).await
}

async fn changed(front: &Front, change: Change) -> Result<StatusCode, HttpError> {
    front.change(change, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// One item of a batch.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BatchItem {
    /// Which item.
    item: ItemId,
    /// Raw values by column; replaces the item's row. An absent column is null.
    #[serde(default)]
    features: RawRow,
    /// Whether the item is kept out of every answer.
    #[serde(default)]
    blocked: bool,
}

impl From<BatchItem> for Change {
    fn from(item: BatchItem) -> Self {
        Change::PutItem {
            item: item.item,
            update: ItemUpdate {
                features: item.features,
                blocked: item.blocked,
            },
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Items<T> {
    items: Vec<T>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Interactions<T> {
    interactions: Vec<T>,
}

async fn put_items(
    front: State<Arc<Front>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ReceiptBody>, HttpError> {
    let body = read(&front, &headers, body).await?;
    let read = match parse(&body) {
        Ok(Items { items }) => sound::<BatchItem>(items),
        Err(_) => each(parse::<Items<Value>>(&body)?.items)?,
    };
    apply(&front, read).await
}

async fn interact(
    front: State<Arc<Front>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ReceiptBody>, HttpError> {
    let body = read(&front, &headers, body).await?;
    let read: Vec<Result<Interaction, String>> = match parse(&body) {
        Ok(Interactions { interactions }) => sound(interactions),
        Err(_) => each(parse::<Interactions<Value>>(&body)?.interactions)?,
    };
    let read = read.into_iter().map(|change| change.map(Change::Interaction));
    apply(&front, read.collect()).await
}

/// Entries of which none is wrong, as nearly always.
fn sound<T>(entries: Vec<Object<T>>) -> Vec<Result<T, String>> {
    entries.into_iter().map(|Object(entry)| Ok(entry)).collect()
}

/// Reads each for itself, so that one which is wrong costs the others nothing.
fn each<T: DeserializeOwned>(values: Vec<Value>) -> Result<Vec<Result<T, String>>, HttpError> {
    check_objects(&values)?;
    let read = |value| serde_json::from_value(value).map_err(|error| format!("is not such JSON: {error}"));
    Ok(values.into_iter().map(read).collect())
}

/// What is written as a JSON object: serde would take an array for a struct's fields in order.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

fn check_objects(values: &[Value]) -> Result<(), HttpError> {
    let wrong = |problem: String| argument("the body", &format!("has an entry that {problem}"));
    values.iter().try_for_each(|value| match value {
        Value::Null => Err(wrong("is null".to_owned())),
        value => check_object(value).map_err(wrong),
    })
}

/// serde would take an array for a struct's fields in order.
fn check_object(value: &Value) -> Result<(), String> {
    match value {
        Value::Object(_) | Value::Null => Ok(()),
        _ => Err("is not a JSON object".to_owned()),
    }
}

async fn apply<T: Into<Change>>(
    front: &Front,
    read: Vec<Result<T, String>>,
) -> Result<Json<ReceiptBody>, HttpError> {
    let read = read.into_iter().map(|change| change.map(Into::into)).collect();
    Ok(Json(front.apply(read, None).await?.into()))
}

/// What came of a batch.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ReceiptBody {
    /// How many the online store has now.
    taken: usize,
    /// How many of these it had before.
    duplicates: usize,
    /// Those that were not taken.
    refused: Vec<RefusedBody>,
}

/// What was not taken of a batch.
#[derive(Serialize, JsonSchema)]
struct RefusedBody {
    /// Its place in the request, counted from 0.
    index: usize,
    /// A code of gRPC.
    code: &'static str,
    /// Why, and what to do.
    problem: String,
}

impl From<ChangeReceipt> for ReceiptBody {
    fn from(receipt: ChangeReceipt) -> Self {
        let refused = receipt.refused.into_iter();
        Self {
            taken: receipt.taken,
            duplicates: receipt.duplicates,
            refused: refused
                .map(|refused| RefusedBody {
                    index: refused.index,
                    code: refused.code.as_str(),
                    problem: refused.problem,
                })
                .collect(),
        }
    }
}
