//! The scorer to take, as a bundle of its own: `best` is what the first line of the report says, so that a pipeline can follow it from
//! run to run.
//!
//! Where a list that needs no scorer is as good, that is the scorer: a [linear one](gondola_models::scoring::linear) over what the list
//! is made of.

use std::path::Path;

use gondola_models::features::Workflow;
use gondola_models::scoring::linear::LinearConfig;
use gondola_models::scoring::stacked::{StackedSource, layout_with};
use gondola_models::scoring::{Family, ScorerConfig};

use super::models::Models;
use crate::dataset::evaluation::Candidates;
use crate::dataset::{DatasetConfig, names};
use crate::evaluate::baselines::{POPULAR_DAYS, SimpleList};
use crate::evaluate::end_to_end::{Verdict, Winner};
use crate::features::POPULARITY;
use crate::fit::{self, FitError, Fitted};

/// The name of its bundle.
pub(super) const BEST: &str = "best";

/// How much less than the column before it a column weighs that decides among what is alike in that one.
const TIE: f32 = 1e-3;

/// The scorer to take.
pub(super) enum Best<'m> {
    /// One that was fitted.
    Fitted(&'m Fitted),
    /// A list that needs none, as a scorer.
    Simple(SimpleList, Box<ScorerConfig>),
}

impl<'m> Best<'m> {
    /// What the verdict says, unless the configuration says otherwise.
    pub(super) fn of(
        verdict: Option<&Verdict>,
        config: &DatasetConfig,
        models: &'m Models,
        workflow: &Workflow,
    ) -> Option<Self> {
        let fitted = models.scorers.iter().map(|scorer| &scorer.fitted);
        if let Some(told) = config.training.best {
            return fitted
                .into_iter()
                .find(|fitted| fitted.scorer == told)
                .map(Self::Fitted);
        }
        match verdict?.winner {
            Winner::Variant(position) => fitted.into_iter().nth(position).map(Self::Fitted),
            Winner::Simple(list) => Some(Self::Simple(list, Box::new(list.scorer(workflow)))),
        }
    }

    /// Writes the files of its bundle into a folder.
    pub(super) fn save(&self, folder: &Path) -> Result<(), FitError> {
        match self {
            Self::Fitted(fitted) => fitted.save(folder),
            Self::Simple(_, scorer) => fit::describe(scorer, folder),
        }
    }

    /// What people call it.
    pub(super) fn title(&self) -> &'static str {
        match self {
            Self::Fitted(fitted) => fitted.scorer.title(),
            Self::Simple(list, _) => list.title(),
        }
    }

    /// The trained sources whose opinions it reads.
    pub(super) fn sources(&self) -> Vec<String> {
        let stacked = match self {
            Self::Fitted(fitted) => fitted.stacked(),
            Self::Simple(_, scorer) => &scorer.sources,
        };
        stacked.iter().map(|source| source.name.clone()).collect()
    }
}

impl SimpleList {
    /// The list as a scorer on a workflow.
    fn scorer(self, workflow: &Workflow) -> ScorerConfig {
        let own = || {
            [
                ("pair.purchases".to_owned(), 1.0),
                ("pair.days_since_last".to_owned(), -TIE),
            ]
        };
        let popular = |weight| (popular(workflow), weight);
        let (weights, sources) = match self {
            Self::Popular => ([popular(1.0)].into(), Vec::new()),
            Self::Own => (own().into(), Vec::new()),
            Self::OwnThenPopular => (
                own().into_iter().chain([popular(TIE * TIE)]).collect(),
                Vec::new(),
            ),
            Self::Source { bundle, .. } => {
                let (name, scale) = (bundle.to_owned(), 1.0);
                let source = StackedSource { name, scale };
                let [_, rank] = source.columns();
                ([(format!("pair.{rank}"), 1.0)].into(), vec![source])
            }
        };
        ScorerConfig {
            inputs: layout_with(&workflow.layout(), &sources).inputs(),
            sources,
            sampled_by: None,
            family: Family::Linear(LinearConfig { weights }),
        }
    }

    /// What people should know who take the list where it is worse as it is served: that its items are no candidates, if that is so.
    pub(super) fn notice(self, candidates: &Candidates) -> Option<String> {
        let (source, count) = match self {
            Self::Popular | Self::OwnThenPopular => ("popular", candidates.popular),
            Self::Own => ("bought_before", candidates.bought_before),
            Self::Source { bundle, .. } => (bundle, candidates.trained.get(bundle).copied().unwrap_or(0)),
        };
        (count == 0).then(|| {
            format!(
                "The simple list needs candidates from the source {source:?}, of which evaluation.candidates has none: as it is served, it \
                 is the list called {BEST:?} below. Give that source some, there and in the pipeline"
            )
        })
    }
}

/// The input that says how often an item was sold lately.
fn popular(workflow: &Workflow) -> String {
    let counted = names::sold_within(POPULAR_DAYS);
    let known = workflow.layout().item_numeric;
    match known.contains(&counted) {
        true => format!("item.{counted}"),
        false => format!("item.{POPULARITY}"),
    }
}

#[cfg(test)]
mod tests {
    use gondola_models::features::columns::NumericColumn;
    use gondola_models::features::{EncodedRow, EncodedTable};
    use gondola_models::scoring::linear::LinearScorer;
    use gondola_models::scoring::{CandidateBatch, Scorer};

    use super::*;

    const EASE: SimpleList = SimpleList::Source {
        title: "EASE^R",
        bundle: "ease",
    };

    fn workflow() -> Workflow {
        let columns = |names: &[&str]| names.iter().map(|name| NumericColumn::of(name, vec![])).collect();
        let mut workflow = Workflow::default();
        workflow.item.numeric = columns(&["mean_price", "count_7d_purchased", POPULARITY]);
        workflow.pair = columns(&["purchases", "recent_purchases", "days_since_last"]);
        workflow
    }

    /// The order in which a list has these candidates: how often sold, purchases, days since the last, and what a source's rank is.
    fn order(list: SimpleList, candidates: &[[f32; 4]]) -> Vec<usize> {
        let workflow = workflow();
        let ScorerConfig { sources, family, .. } = list.scorer(&workflow);
        let Family::Linear(weights) = family else {
            panic!("a simple list is linear")
        };
        let layout = layout_with(&workflow.layout(), &sources);
        let scorer = LinearScorer::new(&weights, &layout).unwrap();
        let (mut items, mut pairs) = (EncodedTable::new(0, 3), Vec::new());
        for [sold, purchases, days, rank] in candidates {
            let numeric = vec![1.0, *sold, 1.0];
            let categorical = Vec::new();
            items.push(&EncodedRow { categorical, numeric });
            pairs.extend([*purchases, 0.0, *days]);
            pairs.extend(sources.iter().flat_map(|_| [0.0, *rank]));
        }
        let mut blocks = vec![0.0; candidates.len()];
        scorer.prepare(&items, &mut blocks);
        let blocks: Vec<&[f32]> = blocks.chunks(1).collect();
        let batch = CandidateBatch {
            blocks: &blocks,
            pairs: &pairs,
            pair_width: layout.pair.len(),
        };
        let mut scores = Vec::new();
        scorer.score(&EncodedRow::default(), &batch, &mut scores).unwrap();
        let mut order: Vec<usize> = (0..candidates.len()).collect();
        order.sort_by(|one, other| scores[*other].total_cmp(&scores[*one]));
        order
    }

    #[test]
    fn a_simple_list_as_a_scorer_has_the_order_of_the_list() {
        let never = 6.6;
        let candidates = [
            [5.0, 0.0, never, 0.2],
            [0.1, 1.0, 3.0, 0.0],
            [6.0, 0.0, never, 0.5],
            [0.2, 2.0, 4.0, 0.1],
            [0.0, 2.0, 1.0, 0.3],
        ];
        assert_eq!(order(SimpleList::Popular, &candidates), [2, 0, 3, 1, 4]);
        assert_eq!(order(SimpleList::Own, &candidates)[..3], [4, 3, 1]);
        assert_eq!(order(SimpleList::OwnThenPopular, &candidates), [4, 3, 1, 2, 0]);
        assert_eq!(order(EASE, &candidates), [2, 4, 0, 3, 1]);
    }

    #[test]
    fn what_is_popular_is_what_was_sold_lately_or_at_all() {
        let mut workflow = workflow();
        assert_eq!(popular(&workflow), "item.count_7d_purchased");
        workflow.item.numeric.remove(1);
        assert_eq!(popular(&workflow), format!("item.{POPULARITY}"));
    }

    #[test]
    fn a_list_whose_items_are_no_candidates_is_noticed() {
        let candidates = Candidates::default();
        assert_eq!(SimpleList::Own.notice(&candidates), None);
        for (list, source) in [
            (SimpleList::Popular, "popular"),
            (SimpleList::OwnThenPopular, "popular"),
            (EASE, "ease"),
        ] {
            let notice = list.notice(&candidates).unwrap();
            assert!(notice.contains(&format!("the source {source:?}")), "{notice}");
        }
    }
}
