//! Why an item is shown, or where it was lost.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use axum::{Json, Router};
use gondola_protocol::{Digests, Explained};
use gondola_request::{Degradation, ExplainRequest, Explanation, ItemId, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{microseconds, parse, read, shared, visit};
use crate::front::{Front, MAX_EXPLAINED, MAX_ID_BYTES};
use crate::http_error::HttpError;
use crate::metrics::Method;

/// The path.
pub(super) fn routes() -> Router<Arc<Front>> {
    Router::new().route("/v1/explain", post(explain))
}

/// Which items, and for whom.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExplainBody {
    /// The user; one that nobody knows, or none, gets what suits everybody.
    #[serde(default)]
    #[schemars(length(max = MAX_ID_BYTES))]
    user: String,
    /// The items; each has a score, whether or not it is a candidate.
    #[schemars(length(min = 1, max = MAX_EXPLAINED))]
    items: Vec<ItemId>,
    /// Number of items of the answer; default and maximum are the pipeline's.
    #[schemars(range(min = 1))]
    k: Option<usize>,
    /// Whether to say what each input adds to the scores; of 100 items at most.
    #[serde(default)]
    parts: bool,
}

/// What became of items, and where that comes from.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ExplainedBody {
    user: UserId,
    #[serde(serialize_with = "shared")]
    variant: Arc<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(serialize_with = "shared")]
    bundles: Digests,
    /// One for each item of the request, in their order.
    items: Vec<Explanation>,
    degraded: Vec<Degradation>,
    /// Microseconds by stage.
    timing: BTreeMap<&'static str, u64>,
}

async fn explain(
    State(front): State<Arc<Front>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ExplainedBody>, HttpError> {
    let _place = front.enter(Method::Explain)?;
    let ExplainBody {
        user,
        items,
        k,
        parts,
    } = parse(&read(&front, &headers, body).await?)?;
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let visit = visit(&front, &user, header)?;
    let user = UserId::from(user);
    let request = ExplainRequest {
        user: user.clone(),
        items,
        k,
        parts,
    };
    let explained = front.explain(request, visit, None).await?;
    Ok(Json(ExplainedBody::new(user, explained)))
}

impl ExplainedBody {
    fn new(user: UserId, explained: Explained) -> Self {
        let Explained {
            variant,
            reason,
            bundles,
            explanations,
        } = explained;
        Self {
            user,
            variant,
            reason: reason.map(|reason| reason.as_str()),
            bundles,
            items: explanations.items,
            degraded: explanations.degraded,
            timing: microseconds(&explanations.timing),
        }
    }
}
