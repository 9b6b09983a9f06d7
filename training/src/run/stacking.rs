//! Stacking: what trained sources said of the labeled pairs of each window, knowing what was bought before it and nothing else.
//!
//! A source that had seen the window would know what its pairs are labeled with, and a scorer would learn to believe it: so each window
//! has sources of its own.

use std::sync::Arc;

use gondola_collaborative::Settings;
use gondola_models::pipeline::stacking::Stacking;
use gondola_models::retrieval::trained::TrainedSource;
use gondola_models::scoring::stacked::StackedSource;

use super::Run;
use super::prepare::Sample;
use crate::features::Snapshot;
use crate::fit::examples::by_user;

/// Sources as they were on a snapshot's day, in the order of `training.stacking`.
pub(super) type Sources = Vec<Arc<TrainedSource>>;

impl Run {
    /// Fits the sources whose opinions scorers read to what was known before a window.
    pub(super) fn sources_before(
        &mut self,
        window: &str,
        snapshot: &Snapshot,
    ) -> Result<Sources, gondola_collaborative::FitError> {
        let training = &self.dataset.config.training;
        let (users, items) = (snapshot.users.len(), snapshot.items.len());
        let stacked = training.stacking.iter();
        let settings =
            stacked.flat_map(|name| training.sources.iter().filter(move |one| one.bundle() == name));
        let fit = |settings: &Settings| {
            let fitted =
                gondola_collaborative::fit(settings, &snapshot.history, users, items, training.seed)?;
            Ok(Arc::new(fitted.source(items)))
        };
        let settings: Vec<&Settings> = settings.collect();
        if settings.is_empty() {
            return Ok(Vec::new());
        }
        let step = format!("sources before {window}");
        self.timings
            .time(step, || settings.into_iter().map(fit).collect())
    }

    /// The sources with what their scores are divided by: their standard deviation among a window's pairs.
    pub(super) fn stacked(&self, sources: &Sources, sample: &Sample) -> Vec<StackedSource> {
        let names = self.dataset.config.training.stacking.iter().zip(sources);
        names
            .map(|(name, source)| StackedSource {
                name: name.clone(),
                scale: deviation(&scores(source, sample)),
            })
            .collect()
    }
}

/// What scorers read of these sources.
pub(super) fn stacking(stacked: &[StackedSource], sources: Sources) -> Stacking {
    Stacking::new(stacked.iter().cloned().zip(sources).collect())
}

/// The scores of a window's pairs of which the source knows something.
fn scores(source: &TrainedSource, sample: &Sample) -> Vec<f32> {
    let users = by_user(&sample.labeled.pairs).into_iter();
    let opinions = users.flat_map(|pairs| {
        let history = sample.known.snapshot.history.of(pairs.user.0 as usize);
        source.opinions(history, &pairs.items)
    });
    opinions.filter_map(|opinion| opinion.score).collect()
}

/// The standard deviation; 1 where there is none to divide by.
fn deviation(scores: &[f32]) -> f32 {
    let count = scores.len() as f64;
    let mean = scores.iter().map(|score| f64::from(*score)).sum::<f64>() / count;
    let squares = scores.iter().map(|score| (f64::from(*score) - mean).powi(2));
    let deviation = (squares.sum::<f64>() / count).sqrt() as f32;
    if deviation.is_normal() { deviation } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_divided_by_what_they_deviate_by_and_by_1_where_that_is_nothing() {
        assert_eq!(deviation(&[1.0, 3.0]), 1.0);
        assert_eq!(deviation(&[0.0, 4.0]), 2.0);
        assert_eq!(deviation(&[5.0, 5.0]), 1.0);
        assert_eq!(deviation(&[]), 1.0);
    }
}
