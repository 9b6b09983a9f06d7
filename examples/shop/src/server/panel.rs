//! What is chosen in the panel.

use std::sync::Arc;

use axum::Form;
use axum::extract::State;
use axum::response::Redirect;
use serde::Deserialize;
use serde_json::Value;

use super::Shop;
use crate::cookies::Login;
use crate::pages::links;

/// The variant that was chosen; empty for the customer's own.
#[derive(Deserialize)]
pub(super) struct ChosenArm {
    arm: String,
    #[serde(default)]
    back: String,
}

/// A column of the customer, and what it is from now on; empty for not known.
#[derive(Deserialize)]
pub(super) struct SetColumn {
    column: String,
    value: String,
    #[serde(default)]
    back: String,
}

pub(super) async fn choose_arm(
    State(shop): State<Arc<Shop>>,
    login: Login,
    Form(chosen): Form<ChosenArm>,
) -> Redirect {
    // What can't be a header would be no variant either.
    let is_name = chosen.arm.bytes().all(|byte| byte.is_ascii_graphic());
    let arm = (is_name && !chosen.arm.is_empty()).then_some(chosen.arm);
    shop.sessions.with(&login, |visit| visit.choose_arm(arm));
    Redirect::to(&links::local(&chosen.back))
}

pub(super) async fn set_column(
    State(shop): State<Arc<Shop>>,
    login: Login,
    Form(SetColumn { column, value, back }): Form<SetColumn>,
) -> Redirect {
    let value = value.trim();
    let (json, shown) = match (value, value.parse::<f64>()) {
        ("", _) => (Value::Null, "not known"),
        (_, Ok(number)) if number.is_finite() => (number.into(), value),
        (text, _) => (text.into(), value),
    };
    let outcome = shop.pipeline.set(login.customer(), &column, &json).await;
    shop.sessions
        .with(&login, |visit| visit.note_set(&column, shown, outcome));
    Redirect::to(&links::local(&back))
}
