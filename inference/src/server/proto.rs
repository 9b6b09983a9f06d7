//! The messages of `gondola.v1`, generated, and how they become ours and back.

#![allow(missing_docs, clippy::all)]

use std::sync::Arc;
use std::time::Duration;

use gondola_events::intake::{Refusal, ToldOutcome, ToldTime};
use gondola_experiments::assignment::Reason;

use super::service::{self, Receipt, Served};
use crate::features::{RawRow, Value as RawValue};
use crate::pipeline::{Answer, Degradation, PurchaseUpdate, Recommendation, Stage, StageTiming, UserUpdate};

tonic::include_proto!("gondola.v1");

/// The definition, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/recommender.bin"));
/// The service's full name, for health checks.
pub const SERVICE: &str = "gondola.v1.Recommender";

const STAGES: [Stage; 7] = [
    Stage::Features,
    Stage::Retrieval,
    Stage::Filter,
    Stage::Scoring,
    Stage::Ordering,
    Stage::Embedding,
    Stage::Search,
];
const DEGRADATIONS: [Degradation; 8] = [
    Degradation::UnknownUser,
    Degradation::Retrieval,
    Degradation::Scoring,
    Degradation::Candidates,
    Degradation::Deadline,
    Degradation::FallbackToControl,
    Degradation::FallbackToVariant,
    Degradation::LastResort,
];
const REASONS: [Reason; 5] = [
    Reason::Assigned,
    Reason::Forced,
    Reason::NoUnit,
    Reason::Holdout,
    Reason::NotInTraffic,
];

/// The parts that both kinds of answers share.
pub struct AnswerParts {
    pub items: Vec<ScoredItem>,
    pub degraded: Vec<String>,
    pub timing: Vec<StageTime>,
}

impl AnswerParts {
    pub fn of(answer: Answer, explain_timing: bool) -> Self {
        let item = |item: Recommendation| ScoredItem {
            item: item.item.as_str().to_owned(),
            score: item.score,
        };
        let stage = |timing: &StageTiming| StageTime {
            stage: timing.stage.as_str().to_owned(),
            microseconds: timing.took.as_micros() as u64,
        };
        let timing = if explain_timing {
            answer.timing.iter().map(stage).collect()
        } else {
            Vec::new()
        };
        Self {
            items: answer.items.into_iter().map(item).collect(),
            degraded: answer
                .degraded
                .iter()
                .map(|reason| reason.as_str().to_owned())
                .collect(),
            timing,
        }
    }

    /// Names that a newer server knows and we don't are left out.
    fn into_answer(self) -> Answer {
        let stage = |time: StageTime| {
            let stage = *STAGES.iter().find(|stage| stage.as_str() == time.stage)?;
            Some(StageTiming {
                stage,
                took: Duration::from_micros(time.microseconds),
            })
        };
        let degraded = |name: String| DEGRADATIONS.into_iter().find(|reason| reason.as_str() == name);
        Answer {
            items: self
                .items
                .into_iter()
                .map(|item| Recommendation {
                    item: item.item.into(),
                    score: item.score,
                })
                .collect(),
            degraded: self.degraded.into_iter().filter_map(degraded).collect(),
            timing: self.timing.into_iter().filter_map(stage).collect(),
        }
    }
}

impl From<RecommendResponse> for Served {
    fn from(response: RecommendResponse) -> Self {
        let RecommendResponse {
            variant,
            reason,
            bundles,
            items,
            degraded,
            timing,
            ..
        } = response;
        Self {
            variant: variant.into(),
            reason: REASONS.into_iter().find(|known| known.as_str() == reason),
            bundles: Arc::new(bundles),
            answer: AnswerParts {
                items,
                degraded,
                timing,
            }
            .into_answer(),
        }
    }
}

impl From<SimilarResponse> for Served {
    fn from(response: SimilarResponse) -> Self {
        let SimilarResponse {
            variant,
            bundles,
            items,
            degraded,
            timing,
        } = response;
        Self {
            variant: variant.into(),
            reason: None,
            bundles: Arc::new(bundles),
            answer: AnswerParts {
                items,
                degraded,
                timing,
            }
            .into_answer(),
        }
    }
}

type Features = std::collections::BTreeMap<String, Value>;

pub fn row(features: Features) -> RawRow {
    let value = |value: Value| match value.kind {
        None => RawValue::Null,
        Some(value::Kind::Text(text)) => RawValue::Text(text),
        Some(value::Kind::Number(number)) => RawValue::Number(number),
    };
    RawRow(
        features
            .into_iter()
            .map(|(column, raw)| (column, value(raw)))
            .collect(),
    )
}

pub fn features(row: RawRow) -> Features {
    let value = |value: RawValue| Value {
        kind: match value {
            RawValue::Null => None,
            RawValue::Text(text) => Some(value::Kind::Text(text)),
            RawValue::Number(number) => Some(value::Kind::Number(number)),
        },
    };
    row.0
        .into_iter()
        .map(|(column, raw)| (column, value(raw)))
        .collect()
}

pub fn user_update(features: Features, history: Option<PurchaseHistory>) -> UserUpdate {
    let purchase = |purchase: Purchase| PurchaseUpdate {
        item: purchase.item.into(),
        purchases: purchase.purchases,
        days_since_last: purchase.days_since_last,
        recent_purchases: purchase.recent_purchases,
    };
    let history = history.map(|history| history.purchases.into_iter().map(purchase).collect());
    UserUpdate {
        features: row(features),
        history,
    }
}

pub fn history(history: Vec<PurchaseUpdate>) -> PurchaseHistory {
    let purchase = |purchase: PurchaseUpdate| Purchase {
        item: purchase.item.as_str().to_owned(),
        purchases: purchase.purchases,
        days_since_last: purchase.days_since_last,
        recent_purchases: purchase.recent_purchases,
    };
    PurchaseHistory {
        purchases: history.into_iter().map(purchase).collect(),
    }
}

impl From<service::PipelineDescription> for GetPipelineResponse {
    fn from(description: service::PipelineDescription) -> Self {
        let service::PipelineDescription {
            pipeline,
            control,
            variants,
        } = description;
        Self {
            pipeline,
            control,
            variants: variants.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<GetPipelineResponse> for service::PipelineDescription {
    fn from(response: GetPipelineResponse) -> Self {
        let GetPipelineResponse {
            pipeline,
            control,
            variants,
        } = response;
        Self {
            pipeline,
            control,
            variants: variants.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<service::VariantDescription> for VariantDescription {
    fn from(description: service::VariantDescription) -> Self {
        let service::VariantDescription {
            name,
            weight,
            bundles,
            summary,
        } = description;
        let bundle = |bundle: service::BundleDescription| BundleDescription {
            reference: bundle.reference,
            version: bundle.version,
            digest: bundle.digest,
        };
        Self {
            name,
            weight,
            bundles: bundles
                .into_iter()
                .map(|(role, description)| (role, bundle(description)))
                .collect(),
            summary: summary.map(|summary| VariantSummary {
                as_of: summary.as_of,
                users: summary.users as u64,
                items: summary.items as u64,
                texts: summary.texts as u64,
                workflow: summary.workflow,
                inputs: summary.inputs,
                candidates: summary.candidates as u64,
                limit: summary.limit as u64,
            }),
        }
    }
}

impl From<VariantDescription> for service::VariantDescription {
    fn from(description: VariantDescription) -> Self {
        let VariantDescription {
            name,
            weight,
            bundles,
            summary,
        } = description;
        let bundle = |bundle: BundleDescription| service::BundleDescription {
            reference: bundle.reference,
            version: bundle.version,
            digest: bundle.digest,
        };
        Self {
            name,
            weight,
            bundles: bundles
                .into_iter()
                .map(|(role, description)| (role, bundle(description)))
                .collect(),
            summary: summary.map(|summary| crate::pipeline::VariantSummary {
                as_of: summary.as_of,
                users: summary.users as usize,
                items: summary.items as usize,
                texts: summary.texts as usize,
                workflow: summary.workflow,
                inputs: summary.inputs,
                candidates: summary.candidates as usize,
                limit: summary.limit as usize,
            }),
        }
    }
}

impl From<Outcome> for ToldOutcome {
    fn from(outcome: Outcome) -> Self {
        Self {
            event_id: outcome.event_id,
            unit: outcome.unit,
            kind: outcome.r#type,
            value: outcome.value,
            item_id: outcome.item,
            request_id: outcome.request_id,
            event_time: outcome.event_time.map(ToldTime::Milliseconds),
        }
    }
}

impl From<Receipt> for RecordOutcomesResponse {
    fn from(receipt: Receipt) -> Self {
        let refused = |refusal: Refusal| RefusedOutcome {
            index: refusal.index as u32,
            problem: refusal.problem,
        };
        Self {
            taken: receipt.taken as u32,
            refused: receipt.refused.into_iter().map(refused).collect(),
        }
    }
}
