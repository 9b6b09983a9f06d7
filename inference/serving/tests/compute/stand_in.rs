//! What stands in for a variant.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use gondola_models::pipeline::RequestError;
use gondola_models::pipeline::change::RefusedItem;
use gondola_request::{
    Answer, Change, ExplainRequest, Explanations, InformedRequest, ItemId, ItemState, Recommendation, Rules,
    SimilarRequest, UserState, VariantSummary,
};
use gondola_serving::compute::Compute;
use gondola_serving::local::{LocalVariant, Pipeline};

type Recommend = Box<dyn Fn(&InformedRequest) -> Result<Answer, RequestError> + Send + Sync>;

/// Recommends as a test says, refuses the item `odd`, and notes what else is done with it.
pub struct StandIn {
    recommend: Recommend,
    gathers: bool,
    /// How many requests were answered together, each time.
    pub together: Mutex<Vec<usize>>,
    /// Items that were set.
    pub items: Mutex<BTreeMap<String, Option<ItemState>>>,
    /// The rules that were set last.
    pub rules: Mutex<Option<Rules>>,
}

impl StandIn {
    pub fn new(
        recommend: impl Fn(&InformedRequest) -> Result<Answer, RequestError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            recommend: Box::new(recommend),
            gathers: false,
            together: Mutex::default(),
            items: Mutex::default(),
            rules: Mutex::default(),
        }
    }

    /// Has requests answered together.
    pub fn gathering(self) -> Self {
        Self {
            gathers: true,
            ..self
        }
    }

    /// Serves it on the threads of `compute`.
    pub fn on(self: &Arc<Self>, compute: Compute) -> LocalVariant<Self> {
        LocalVariant::new("shop", Arc::clone(self), 1, BTreeMap::new(), Arc::new(compute))
    }
}

impl Pipeline for StandIn {
    fn recommend(&self, request: &InformedRequest) -> Result<Answer, RequestError> {
        (self.recommend)(request)
    }

    fn similar(&self, _: &SimilarRequest) -> Result<Answer, RequestError> {
        Ok(Answer::default())
    }

    fn gathers(&self) -> bool {
        self.gathers
    }

    fn recommend_each(&self, requests: &[InformedRequest]) -> Vec<Result<Answer, RequestError>> {
        self.together.lock().unwrap().push(requests.len());
        requests.iter().map(|request| self.recommend(request)).collect()
    }

    fn explain(&self, _: &ExplainRequest, _: Option<&UserState>) -> Result<Explanations, RequestError> {
        Ok(Explanations::default())
    }

    fn check(&self, change: &Change) -> Result<(), RequestError> {
        match change {
            Change::PutItem { item, .. } if item.as_str() == "odd" => {
                Err(RequestError::UnknownItem { item: item.clone() })
            }
            _ => Ok(()),
        }
    }

    fn set_items(&self, states: Vec<(ItemId, Option<ItemState>)>) -> Vec<RefusedItem> {
        let states = states.into_iter().map(|(item, state)| (item.to_string(), state));
        self.items.lock().unwrap().extend(states);
        Vec::new()
    }

    fn set_rules(&self, rules: Option<&Rules>) -> Result<(), RequestError> {
        *self.rules.lock().unwrap() = rules.cloned();
        Ok(())
    }

    fn popular(&self, k: Option<usize>) -> Result<Answer, RequestError> {
        let item = |rank| Recommendation {
            item: format!("popular-{rank}").into(),
            score: 0.0,
            chance: None,
        };
        Ok(Answer {
            items: (0..k.unwrap_or(3)).map(item).collect(),
            ..Answer::default()
        })
    }

    fn name(&self) -> &str {
        "stand-in"
    }

    fn summary(&self) -> VariantSummary {
        VariantSummary {
            as_of: "2026-01-01".to_owned(),
            users: 0,
            items: 3,
            texts: 0,
            workflow: "sha256:00".to_owned(),
            inputs: Vec::new(),
            candidates: 3,
            limit: 3,
        }
    }
}
