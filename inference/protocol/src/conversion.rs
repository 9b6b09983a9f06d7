//! Conversions between messages of the protocol and the request and answer types.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gondola_request::{self as request, Answer, RawRow, Recommendation, StageTiming, Value as RawValue};

use crate::proto::{
    AssignmentReason, BundleDescription, Degradation, GetPipelineResponse, RecommendResponse, ScoredItem,
    SimilarResponse, Stage, StageTime, Value, VariantDescription, VariantSummary, value,
};
use crate::service::{self, Served};

/// The parts that both kinds of answers share.
#[derive(Clone, Debug)]
pub struct AnswerParts {
    /// The items, best first.
    pub items: Vec<ScoredItem>,
    /// Numbers of [`Degradation`].
    pub degraded: Vec<i32>,
    /// How long each stage took.
    pub timing: Vec<StageTime>,
}

impl AnswerParts {
    /// An answer as a message; without timing unless it was requested.
    pub fn of(answer: Answer, explain_timing: bool) -> Self {
        let item = |item: Recommendation| ScoredItem {
            item: item.item.as_str().to_owned(),
            score: item.score,
        };
        let stage = |timing: &StageTiming| StageTime {
            stage: Stage::from(timing.stage).into(),
            microseconds: timing.took.as_micros() as u64,
        };
        let timing = match explain_timing {
            true => answer.timing.iter().map(stage).collect(),
            false => Vec::new(),
        };
        let degraded = answer.degraded.into_iter();
        Self {
            items: answer.items.into_iter().map(item).collect(),
            degraded: degraded.map(|reason| Degradation::from(reason).into()).collect(),
            timing,
        }
    }

    /// What only a newer server knows is left out.
    fn into_answer(self) -> Answer {
        let item = |item: ScoredItem| Recommendation {
            item: item.item.into(),
            score: item.score,
        };
        let stage = |time: StageTime| {
            Some(StageTiming {
                stage: Option::from(time.stage())?,
                took: Duration::from_micros(time.microseconds),
            })
        };
        let degraded = |number: i32| Option::from(Degradation::try_from(number).ok()?);
        Answer {
            items: self.items.into_iter().map(item).collect(),
            degraded: self.degraded.into_iter().filter_map(degraded).collect(),
            timing: self.timing.into_iter().filter_map(stage).collect(),
        }
    }
}

/// An enum of the protocol and ours: each of ours has a number, and a number that we don't know is none of ours.
macro_rules! same {
    ($message:ident = $ours:path { $($name:ident),+ $(,)? }) => {
        impl From<$ours> for $message {
            fn from(ours: $ours) -> Self {
                match ours {
                    $(<$ours>::$name => Self::$name,)+
                }
            }
        }

        impl From<$message> for Option<$ours> {
            fn from(message: $message) -> Self {
                match message {
                    $message::Unspecified => None,
                    $($message::$name => Some(<$ours>::$name),)+
                }
            }
        }
    };
}

pub(crate) use same;

same!(
    Stage = request::Stage {
        Features,
        Retrieval,
        Filter,
        Scoring,
        Ordering,
        Embedding,
        Search
    }
);
same!(
    Degradation = request::Degradation {
        UnknownUser,
        Retrieval,
        Scoring,
        Candidates,
        Deadline,
        FallbackToControl,
        FallbackToVariant,
        LastResort,
        OnlineStore,
    }
);
same!(
    AssignmentReason = service::AssignmentReason {
        Assigned,
        Forced,
        NoUnit,
        Holdout,
        NotInTraffic
    }
);

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
            reason: AssignmentReason::try_from(reason).ok().and_then(Option::from),
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

type Features = BTreeMap<String, Value>;

/// Raw features, as messages have them.
pub fn row(features: Features) -> RawRow {
    let values = features.into_iter();
    RawRow(values.map(|(column, value)| (column, raw_value(value))).collect())
}

/// A raw value of a message.
pub(crate) fn raw_value(value: Value) -> RawValue {
    match value.kind {
        None => RawValue::Null,
        Some(value::Kind::Text(text)) => RawValue::Text(text),
        Some(value::Kind::Number(number)) => RawValue::Number(number),
    }
}

/// Raw features for a message.
pub fn features(row: RawRow) -> Features {
    let values = row.0.into_iter();
    values.map(|(column, raw)| (column, value(raw))).collect()
}

/// A raw value for a message.
pub(crate) fn value(value: RawValue) -> Value {
    Value {
        kind: match value {
            RawValue::Null => None,
            RawValue::Text(text) => Some(value::Kind::Text(text)),
            RawValue::Number(number) => Some(value::Kind::Number(number)),
        },
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
            summary: summary.map(|summary| request::VariantSummary {
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
