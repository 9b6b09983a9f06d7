//! Questions made of the tensors of a request, and tensors made of their answers.
//!
//! A row is a question. Rows of a request are answered beside each other, and all of them or none.

use gondola_protocol::{Explained, Served};
use gondola_request::{Degradation, ExplainRequest, Question, RecommendRequest, SimilarRequest, SimilarTo};

use crate::model::{
    COUNT, COUNT_WANTED, DEGRADED, Described, FATE, ITEM, MAX_BATCH, Model, OF_ITEM, OF_TEXT, SCORE, USER,
    VARIANT,
};
use crate::tensor::{Tensor, Values, WrongTensor};

/// Why a request is no inference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongInference {
    /// One of its tensors.
    #[error(transparent)]
    Tensor(#[from] WrongTensor),
    /// A stage is asked.
    #[error(
        "{model} is a stage, which can't be asked by itself; ask recommend, similar or score, whose statistics show it"
    )]
    Stage {
        /// Which.
        model: &'static str,
    },
    /// An input that the model needs is not there.
    #[error("model {model} needs the input {inputs}")]
    Missing {
        /// The model.
        model: &'static str,
        /// What it needs.
        inputs: &'static str,
    },
    /// There is no such input or output, or it is there twice.
    #[error("model {model} has no {kind} {name:?}, or has it once alone; there are {known}")]
    Unknown {
        /// The model.
        model: &'static str,
        /// `input` or `output`.
        kind: &'static str,
        /// The name.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// Too many rows, or none.
    #[error("the request has {rows} rows; give 1 to {MAX_BATCH}")]
    Rows {
        /// How many.
        rows: usize,
    },
}

/// A request, as both ways to send one have it.
#[derive(Clone, Debug, PartialEq)]
pub struct Inference {
    /// What is asked.
    pub model: Model,
    /// The client's own id, which the response has as well.
    pub id: String,
    /// What it is given.
    pub inputs: Vec<Tensor>,
    /// The outputs that are wanted, in this order; all of them where none is named.
    pub outputs: Vec<String>,
    /// How many items are wanted, where no input says so.
    pub k: Option<usize>,
}

/// What came of one.
#[derive(Clone, Debug, PartialEq)]
pub struct InferenceResult {
    /// What was asked.
    pub model: Model,
    /// The client's own id of the request.
    pub id: String,
    /// The outputs.
    pub outputs: Vec<Tensor>,
}

/// What a request asks, one for each row.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    /// Questions, whose answers are items.
    Questions(Vec<Question>),
    /// Users with items that are to be scored.
    Scores(Vec<ExplainRequest>),
}

impl Inference {
    /// What is asked.
    pub fn asked(&self) -> Result<Asked, WrongInference> {
        if let Model::Stage(stage) = self.model {
            return Err(WrongInference::Stage {
                model: stage.as_str(),
            });
        }
        self.check_names()?;
        match self.model {
            Model::Recommend => self.recommend().map(Asked::Questions),
            Model::Score => self.scores().map(Asked::Scores),
            Model::Similar | Model::Stage(_) => self.similar().map(Asked::Questions),
        }
    }

    fn recommend(&self) -> Result<Vec<Question>, WrongInference> {
        let users = rows_of(self.needed(USER, "user")?)?;
        let counts = self.counts(users.len())?;
        let ask = |(user, k): (String, Option<usize>)| {
            let user = user.into();
            Question::Recommend(RecommendRequest { user, k })
        };
        Ok(users.into_iter().zip(counts).map(ask).collect())
    }

    fn similar(&self) -> Result<Vec<Question>, WrongInference> {
        let (rows, to): (_, fn(String) -> SimilarTo) = match (self.input(OF_ITEM), self.input(OF_TEXT)) {
            (Some(items), None) => (rows_of(items)?, |item| SimilarTo::Item(item.into())),
            (None, Some(texts)) => (rows_of(texts)?, SimilarTo::Text),
            _ => {
                return Err(WrongInference::Missing {
                    model: "similar",
                    inputs: "item, or text, and not both",
                });
            }
        };
        let counts = self.counts(rows.len())?;
        let ask = |(row, k)| Question::Similar(SimilarRequest { to: to(row), k });
        Ok(rows.into_iter().zip(counts).map(ask).collect())
    }

    /// Each row has a user, and as many items as every other.
    fn scores(&self) -> Result<Vec<ExplainRequest>, WrongInference> {
        const NEEDED: &str = "user, and item";
        let users = rows_of(self.needed(USER, NEEDED)?)?;
        let items = self.needed(ITEM, NEEDED)?;
        let ids = ids_of(items)?;
        let width = ids.len() / users.len();
        if items.shape.first() != Some(&users.len()) || width == 0 {
            let problem = format!(
                "has the shape {:?} for {} users; give [{}, items]",
                items.shape,
                users.len(),
                users.len()
            );
            return Err(WrongTensor::new(&items.name, problem).into());
        }
        let ask = |(user, items): (String, &[String])| ExplainRequest {
            user: user.into(),
            items: items.iter().map(|item| item.as_str().into()).collect(),
            k: None,
            parts: false,
        };
        Ok(users.into_iter().zip(ids.chunks_exact(width)).map(ask).collect())
    }

    fn needed(&self, described: Described, inputs: &'static str) -> Result<&Tensor, WrongInference> {
        self.input(described).ok_or(WrongInference::Missing {
            model: self.model.name(),
            inputs,
        })
    }

    fn input(&self, described: Described) -> Option<&Tensor> {
        self.inputs.iter().find(|input| input.name == described.name)
    }

    /// How many items each row wants.
    fn counts(&self, rows: usize) -> Result<Vec<Option<usize>>, WrongTensor> {
        let Some(input) = self.input(COUNT_WANTED) else {
            return Ok(vec![self.k; rows]);
        };
        let wrong = |problem: String| WrongTensor::new(&input.name, problem);
        let counts = input.values.counts();
        let counts =
            counts.ok_or_else(|| wrong("has something else than whole numbers from 0 on".to_owned()))?;
        match counts.as_slice() {
            [all] => Ok(vec![Some(*all); rows]),
            counts if counts.len() == rows => Ok(counts.iter().copied().map(Some).collect()),
            counts => {
                let many = counts.len();
                Err(wrong(format!(
                    "has {many} values for {rows} rows; give one, or one a row"
                )))
            }
        }
    }

    fn check_names(&self) -> Result<(), WrongInference> {
        let inputs: Vec<&str> = self.inputs.iter().map(|input| input.name.as_str()).collect();
        let outputs: Vec<&str> = self.outputs.iter().map(String::as_str).collect();
        self.check_known("input", &inputs, self.model.inputs())?;
        self.check_known("output", &outputs, self.model.outputs())
    }

    fn check_known(
        &self,
        kind: &'static str,
        named: &[&str],
        known: &[Described],
    ) -> Result<(), WrongInference> {
        let is_wrong = |(place, name): &(usize, &&str)| {
            !known.iter().any(|known| known.name == **name) || named[..*place].contains(name)
        };
        match named.iter().enumerate().find(is_wrong) {
            None => Ok(()),
            Some((_, name)) => Err(WrongInference::Unknown {
                model: self.model.name(),
                kind,
                name: (*name).to_owned(),
                known: names(known),
            }),
        }
    }

    /// The response, of an answer for each row.
    pub fn result(self, rows: &[Served]) -> InferenceResult {
        self.wanted(tensors(rows))
    }

    /// The response, of scores for each row.
    pub fn scored(self, rows: &[Explained]) -> InferenceResult {
        self.wanted(score_tensors(rows))
    }

    fn wanted(self, mut outputs: Vec<Tensor>) -> InferenceResult {
        if !self.outputs.is_empty() {
            let place = |tensor: &Tensor| self.outputs.iter().position(|name| *name == tensor.name);
            outputs.retain(|tensor| place(tensor).is_some());
            outputs.sort_by_key(place);
        }
        InferenceResult {
            model: self.model,
            id: self.id,
            outputs,
        }
    }
}

fn names(described: &[Described]) -> String {
    let names: Vec<&str> = described.iter().map(|described| described.name).collect();
    names.join(", ")
}

/// The ids or texts of rows: a value each.
fn rows_of(tensor: &Tensor) -> Result<Vec<String>, WrongInference> {
    let rows = tensor.shape.first().copied().unwrap_or(1);
    if tensor.values.len() != rows {
        let problem = format!(
            "has the shape {:?}; give one value a row, [rows, 1] or [rows]",
            tensor.shape
        );
        return Err(WrongTensor::new(&tensor.name, problem).into());
    }
    if !(1..=MAX_BATCH).contains(&rows) {
        return Err(WrongInference::Rows { rows });
    }
    ids_of(tensor)
}

fn ids_of(tensor: &Tensor) -> Result<Vec<String>, WrongInference> {
    let ids = tensor.values.ids();
    let wrong = || WrongTensor::new(&tensor.name, "is of type FP32; give BYTES, or whole numbers");
    Ok(ids.ok_or_else(wrong)?)
}

/// All outputs. Lists are as long as the longest.
fn tensors(rows: &[Served]) -> Vec<Tensor> {
    let longest = rows
        .iter()
        .map(|row| row.answer.items.len())
        .max()
        .unwrap_or_default();
    let (mut items, mut scores) = (Vec::new(), Vec::new());
    for row in rows {
        let found = &row.answer.items;
        let lacking = longest - found.len();
        items.extend(found.iter().map(|found| found.item.to_string()));
        items.extend(std::iter::repeat_n(String::new(), lacking));
        scores.extend(found.iter().map(|found| found.score));
        scores.extend(std::iter::repeat_n(0.0, lacking));
    }
    let counts = rows.iter().map(|row| row.answer.items.len() as i32);
    let variants = rows.iter().map(|row| row.variant.to_string());
    let degraded = rows.iter().map(|row| reasons(&row.answer.degraded));
    let tensor = |described, width, values| tensor(described, [rows.len(), width], values);
    vec![
        tensor(ITEM, longest, Values::Texts(items)),
        tensor(SCORE, longest, Values::Fp32(scores)),
        tensor(COUNT, 1, Values::Int32(counts.collect())),
        tensor(VARIANT, 1, Values::Texts(variants.collect())),
        tensor(DEGRADED, 1, Values::Texts(degraded.collect())),
    ]
}

/// All outputs of scores: NaN where an item has none.
fn score_tensors(rows: &[Explained]) -> Vec<Tensor> {
    let width = rows.first().map_or(0, |row| row.explanations.items.len());
    let items = || rows.iter().flat_map(|row| &row.explanations.items);
    let scores = items().map(|item| item.score.unwrap_or(f32::NAN));
    let fates = items().map(|item| item.fate.as_str().to_owned());
    let variants = rows.iter().map(|row| row.variant.to_string());
    let degraded = rows.iter().map(|row| reasons(&row.explanations.degraded));
    let tensor = |described, width, values| tensor(described, [rows.len(), width], values);
    vec![
        tensor(SCORE, width, Values::Fp32(scores.collect())),
        tensor(FATE, width, Values::Texts(fates.collect())),
        tensor(VARIANT, 1, Values::Texts(variants.collect())),
        tensor(DEGRADED, 1, Values::Texts(degraded.collect())),
    ]
}

fn tensor(described: Described, shape: [usize; 2], values: Values) -> Tensor {
    Tensor {
        name: described.name.to_owned(),
        shape: shape.to_vec(),
        values,
    }
}

fn reasons(degraded: &[Degradation]) -> String {
    let reasons: Vec<&str> = degraded.iter().map(|reason| reason.as_str()).collect();
    reasons.join(",")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use gondola_request::{Answer, Explanation, Explanations, Fate, Recommendation};

    use super::*;

    fn ask(model: Model, inputs: Vec<Tensor>) -> Inference {
        Inference {
            model,
            id: "7".to_owned(),
            inputs,
            outputs: Vec::new(),
            k: None,
        }
    }

    fn tensor(name: &str, shape: &[i64], values: Values) -> Tensor {
        Tensor::of_request(name, shape, values).unwrap()
    }

    fn texts(texts: &[&str]) -> Values {
        Values::Texts(texts.iter().map(|text| (*text).to_owned()).collect())
    }

    #[test]
    fn a_row_is_a_question_and_numbers_are_ids() {
        let users = tensor("user", &[2, 1], Values::Int64(vec![7, -1]));
        let k = tensor("k", &[2, 1], Values::Int32(vec![3, 4]));
        let questions = ask(Model::Recommend, vec![users, k]).asked().unwrap();
        let question = |user: &str, k| {
            Question::Recommend(RecommendRequest {
                user: user.into(),
                k: Some(k),
            })
        };
        let wanted = Asked::Questions(vec![question("7", 3), question("-1", 4)]);
        assert_eq!(questions, wanted);
        let similar = Inference {
            k: Some(2),
            ..ask(Model::Similar, vec![tensor("text", &[1], texts(&["red shoe"]))])
        };
        let wanted = Question::Similar(SimilarRequest {
            to: SimilarTo::Text("red shoe".to_owned()),
            k: Some(2),
        });
        assert_eq!(similar.asked().unwrap(), Asked::Questions(vec![wanted]));
    }

    #[test]
    fn items_of_a_row_are_scored_for_its_user() {
        let users = || tensor("user", &[2, 1], texts(&["anna", "berta"]));
        let items = tensor("item", &[2, 2], texts(&["a", "b", "c", "d"]));
        let scores = ask(Model::Score, vec![users(), items]).asked().unwrap();
        let request = |user: &str, items: [&str; 2]| ExplainRequest {
            user: user.into(),
            items: items.map(Into::into).to_vec(),
            k: None,
            parts: false,
        };
        let wanted = Asked::Scores(vec![request("anna", ["a", "b"]), request("berta", ["c", "d"])]);
        assert_eq!(scores, wanted);
        for (shape, ids) in [(&[1, 4][..], &["a", "b", "c", "d"][..]), (&[2, 0], &[])] {
            let wrong = ask(Model::Score, vec![users(), tensor("item", shape, texts(ids))]);
            let message = wrong.asked().unwrap_err().to_string();
            assert!(message.ends_with("for 2 users; give [2, items]"), "{message}");
        }
        let nobody = ask(Model::Score, vec![tensor("user", &[0], texts(&[]))]);
        assert_eq!(nobody.asked().unwrap_err(), WrongInference::Rows { rows: 0 });
    }

    #[test]
    fn an_item_without_a_score_has_nan_and_what_became_of_it() {
        let explanation = |item: &str, fate, score| Explanation {
            item: item.into(),
            fate,
            sources: Vec::new(),
            score,
            rank: None,
            parts: Vec::new(),
        };
        let row = Explained {
            variant: "dlrm".into(),
            reason: None,
            bundles: Arc::default(),
            explanations: Explanations {
                items: vec![
                    explanation("a", Fate::Shown, Some(0.5)),
                    explanation("z", Fate::Unknown, None),
                ],
                ..Explanations::default()
            },
        };
        let result = ask(Model::Score, vec![]).scored(&[row]);
        let Values::Fp32(scores) = &result.outputs[0].values else {
            panic!("scores are FP32");
        };
        assert!(scores[0] == 0.5 && scores[1].is_nan(), "{scores:?}");
        assert_eq!(result.outputs[0].shape, [1, 2]);
        assert_eq!(result.outputs[1].values, texts(&["shown", "unknown"]));
    }

    #[test]
    fn what_is_no_inference_is_refused_by_name() {
        let user = || tensor("user", &[1, 1], texts(&["anna"]));
        let refused = |model, inputs| ask(model, inputs).asked().unwrap_err().to_string();
        for (model, inputs, said) in [
            (Model::Recommend, vec![], "model recommend needs the input user"),
            (
                Model::Similar,
                vec![],
                "model similar needs the input item, or text, and not both",
            ),
            (
                Model::Recommend,
                vec![user(), user()],
                "model recommend has no input \"user\", or has it once alone; there are user, k",
            ),
            (
                Model::Recommend,
                vec![user(), tensor("age", &[1], Values::Int32(vec![3]))],
                "model recommend has no input \"age\", or has it once alone; there are user, k",
            ),
            (
                Model::Recommend,
                vec![tensor("user", &[1], Values::Fp32(vec![1.5]))],
                "tensor \"user\" is of type FP32; give BYTES, or whole numbers",
            ),
            (
                Model::Recommend,
                vec![tensor("user", &[1, 2], texts(&["anna", "berta"]))],
                "tensor \"user\" has the shape [1, 2]; give one value a row, [rows, 1] or [rows]",
            ),
            (
                Model::Recommend,
                vec![tensor("user", &[0], texts(&[]))],
                "the request has 0 rows; give 1 to 256",
            ),
            (
                Model::Recommend,
                vec![user(), tensor("k", &[1], Values::Int32(vec![-3]))],
                "tensor \"k\" has something else than whole numbers from 0 on",
            ),
            (
                Model::Recommend,
                vec![user(), tensor("k", &[3], Values::Int32(vec![1, 2, 3]))],
                "tensor \"k\" has 3 values for 1 rows; give one, or one a row",
            ),
        ] {
            assert_eq!(refused(model, inputs), said);
        }
        let stage = Model::find("scoring", "").unwrap();
        assert!(refused(stage, vec![]).starts_with("scoring is a stage, which can't be asked by itself"));
    }

    #[test]
    fn answers_are_tensors_as_long_as_the_longest() {
        let served = |items: &[(&str, f32)], degraded: &[Degradation]| Served {
            variant: "dlrm".into(),
            reason: None,
            bundles: Arc::default(),
            answer: Answer {
                items: items
                    .iter()
                    .map(|(item, score)| Recommendation {
                        item: (*item).into(),
                        score: *score,
                        chance: None,
                    })
                    .collect(),
                degraded: degraded.to_vec(),
                ..Answer::default()
            },
        };
        let rows = [
            served(&[("a", 0.9), ("b", 0.5)], &[]),
            served(
                &[("c", 0.7)],
                &[Degradation::UnknownUser, Degradation::OnlineStore],
            ),
        ];
        let inference = Inference {
            outputs: ["count", "item", "score", "degraded"].map(str::to_owned).to_vec(),
            ..ask(Model::Recommend, vec![])
        };
        let result = inference.result(&rows);
        assert_eq!(result.id, "7");
        let tensor = |name: &str, width, values| Tensor {
            name: name.to_owned(),
            shape: vec![2, width],
            values,
        };
        let wanted = [
            tensor("count", 1, Values::Int32(vec![2, 1])),
            tensor("item", 2, texts(&["a", "b", "c", ""])),
            tensor("score", 2, Values::Fp32(vec![0.9, 0.5, 0.7, 0.0])),
            tensor("degraded", 1, texts(&["", "unknown_user,online_store"])),
        ];
        assert_eq!(result.outputs, wanted);
    }
}
