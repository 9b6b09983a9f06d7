//! Questions, changes and answers of a pipeline: the types that every part of the data plane uses.
//!
//! - [`id`]: names of users and items; [`row`]: their raw features;
//! - [`question`]: questions to a pipeline; [`change`]: users and items that are put, and what users do;
//! - [`state`]: what an online store holds of users and items; [`rules`]: rules that a shop changes by the hour;
//! - [`answer`]: items, and why an answer is less than it could be; [`explanation`]: what became of an item in it; [`timing`]: how long
//!   each stage took;
//! - [`summary`]: what a variant holds.
//!
//! Plain values alone. Absent on purpose: models, sockets, and everything else of this project, so that the models, which know
//! no network, and the router, which knows no model, can both stand on it.

pub mod answer;
pub mod change;
pub mod explanation;
pub mod id;
pub mod question;
pub mod row;
pub mod rules;
pub mod state;
pub mod summary;
pub mod timing;

pub use answer::{Answer, Degradation, Recommendation};
pub use change::{Change, Interaction, InteractionKind, ItemPatch, ItemUpdate, PurchaseUpdate, UserUpdate};
pub use explanation::{ExplainRequest, Explanation, Explanations, Fate, Part, Source, SourcePlace};
pub use id::{ItemId, UserId};
pub use question::{InformedRequest, Question, RecommendRequest, SimilarRequest, SimilarTo};
pub use row::{RawRow, Value};
pub use rules::{BoughtRule, CandidateRule, DiversityRule, ItemRule, Rules};
pub use state::{ItemState, Moment, PastInteraction, StatedRow, UserState};
pub use summary::VariantSummary;
pub use timing::{Stage, StageClock, StageTiming};
