//! Conversions between messages of the protocol and the request and answer types.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gondola_request::{
    self as request, Answer, Explanations, RawRow, Recommendation, StageTiming, Value as RawValue,
};

use crate::proto::{
    AssignmentReason, BundleDescription, Degradation, ExplainResponse, Explanation, Fate,
    GetPipelineResponse, Part, RecommendResponse, ScoredItem, SimilarResponse, Source, SourcePlace, Stage,
    StageTime, Value, VariantDescription, VariantSummary, value,
};
use crate::service::{self, Explained, Served};

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
            chance: item.chance,
        };
        let timing = match explain_timing {
            true => answer.timing.iter().map(stage_time).collect(),
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
            chance: item.chance,
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
            reason: our_reason(reason),
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

impl From<request::SourcePlace> for SourcePlace {
    fn from(place: request::SourcePlace) -> Self {
        let (source, name) = match place.source {
            request::Source::TwoTower => (Source::TwoTower, String::new()),
            request::Source::BoughtBefore => (Source::BoughtBefore, String::new()),
            request::Source::CoBought => (Source::CoBought, String::new()),
            request::Source::Popular => (Source::Popular, String::new()),
            request::Source::Trained(name) => (Source::Trained, name),
        };
        Self {
            source: source.into(),
            place: place.place as u32,
            name,
        }
    }
}

impl SourcePlace {
    /// A source that we don't know is none.
    fn ours(self) -> Option<request::SourcePlace> {
        let source = match self.source() {
            Source::Unspecified => return None,
            Source::TwoTower => request::Source::TwoTower,
            Source::BoughtBefore => request::Source::BoughtBefore,
            Source::CoBought => request::Source::CoBought,
            Source::Popular => request::Source::Popular,
            Source::Trained => request::Source::Trained(self.name),
        };
        Some(request::SourcePlace {
            source,
            place: self.place as usize,
        })
    }
}

same!(
    Fate = request::Fate {
        Unknown,
        NotFound,
        Blocked,
        AgainstRules,
        Disliked,
        Bought,
        Damaged,
        TooMuchAlike,
        BelowOthers,
        Shown,
    }
);

impl From<request::Explanation> for Explanation {
    fn from(explanation: request::Explanation) -> Self {
        Self {
            item: explanation.item.as_str().to_owned(),
            fate: Fate::from(explanation.fate).into(),
            sources: explanation.sources.into_iter().map(SourcePlace::from).collect(),
            score: explanation.score,
            rank: explanation.rank.map(|rank| rank as u32),
            parts: explanation.parts.into_iter().map(Part::from).collect(),
        }
    }
}

impl Explanation {
    /// What a newer server says of an item, and we don't know, is no explanation.
    fn ours(self) -> Option<request::Explanation> {
        Some(request::Explanation {
            fate: Option::from(self.fate())?,
            item: self.item.into(),
            sources: self.sources.into_iter().filter_map(SourcePlace::ours).collect(),
            score: self.score,
            rank: self.rank.map(|rank| rank as usize),
            parts: self.parts.into_iter().map(request::Part::from).collect(),
        })
    }
}

impl From<request::Part> for Part {
    fn from(request::Part { input, adds }: request::Part) -> Self {
        Self { input, adds }
    }
}

impl From<Part> for request::Part {
    fn from(Part { input, adds }: Part) -> Self {
        Self { input, adds }
    }
}

impl From<Explained> for ExplainResponse {
    fn from(explained: Explained) -> Self {
        let Explanations {
            items,
            degraded,
            timing,
        } = explained.explanations;
        let degraded = degraded.into_iter();
        Self {
            user: String::new(),
            variant: explained.variant.to_string(),
            reason: reason(explained.reason),
            bundles: Arc::unwrap_or_clone(explained.bundles),
            items: items.into_iter().map(Into::into).collect(),
            degraded: degraded.map(|reason| Degradation::from(reason).into()).collect(),
            timing: timing.iter().map(stage_time).collect(),
        }
    }
}

impl From<ExplainResponse> for Explained {
    fn from(response: ExplainResponse) -> Self {
        let shared = AnswerParts {
            items: Vec::new(),
            degraded: response.degraded,
            timing: response.timing,
        };
        let Answer { degraded, timing, .. } = shared.into_answer();
        Self {
            variant: response.variant.into(),
            reason: our_reason(response.reason),
            bundles: Arc::new(response.bundles),
            explanations: Explanations {
                items: response.items.into_iter().filter_map(Explanation::ours).collect(),
                degraded,
                timing,
            },
        }
    }
}

/// The reason of a number; none for one that only a newer server knows.
fn our_reason(number: i32) -> Option<service::AssignmentReason> {
    Option::from(AssignmentReason::try_from(number).ok()?)
}

/// The number of a reason; unspecified where no router chose.
pub fn reason(reason: Option<service::AssignmentReason>) -> i32 {
    let message = reason.map_or(AssignmentReason::Unspecified, AssignmentReason::from);
    message.into()
}

fn stage_time(timing: &StageTiming) -> StageTime {
    StageTime {
        stage: Stage::from(timing.stage).into(),
        microseconds: timing.took.as_micros() as u64,
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
