//! Features: raw rows of users and items, and the fitted workflow that turns them into numbers.
//!
//! Raw values go in and encoded ones come out, per request: a new user needs no batch job, and nothing was computed
//! before that could be stale. What the [`Workflow`] learned is data (JSON and Parquet), and the very same code encodes in
//! training.
//!
//! - [`row`]: encoded rows; [`table`]: raw rows in memory; [`users`]: the users of a snapshot; [`present`]: the same as of now, with what
//!   was put and done since; [`activity`]: which columns follow from what users do;
//! - [`workflow`], [`fit`]: the preprocessing; [`columns`]: what makes one input; [`operation`], [`vocabulary`], [`lookup`], [`list`]: of what;
//! - [`merlin`]: workflows of NVTabular become ours;
//! - [`history`], [`pairs`]: what a user bought before, and what that says about a candidate; [`neighbors`]: which items are
//!   bought by the same users; [`groups`]: how both are in memory.

pub mod activity;
pub mod columns;
pub mod fit;
pub mod groups;
pub mod history;
pub mod list;
pub mod lookup;
pub mod merlin;
pub mod neighbors;
pub mod operation;
pub mod pairs;
pub mod present;
pub mod row;
pub mod schema;
pub mod table;
pub(crate) mod texts;
pub mod users;
pub mod vocabulary;
pub mod workflow;

pub use activity::InteractionWeights;
pub use fit::{CategoricalPlan, EntityPlan, Fill, NumericPlan, Scale, WorkflowPlan};
pub use gondola_request::{ItemId, RawRow, UserId, Value};
pub use history::{History, Purchase};
pub use neighbors::{Neighbor, Neighbors};
pub use pairs::PairFeatures;
pub use present::Present;
pub use row::{Cardinalities, EncodedRow, EncodedTable, Layout};
pub use schema::Schema;
pub use table::{Cell, Cells, RawTable, TableError};
pub use users::{User, Users};
pub use workflow::{EntityWorkflow, Workflow};
