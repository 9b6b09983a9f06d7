//! What a variant that nobody was shown would bring, by answers that were logged under another: `gondola experiment preview`.
//!
//! A round is a place of an answer. What a user does with an item may depend on the items before it, and not on those behind it, as of a list
//! that is read from its beginning; so a place is weighted by the chances of the list as far as it, the new policy's over the logged one's
//! (McInerney et al., 2020). [`expected`] has the model of rewards of the doubly robust estimate, [`rounds`](mod@rounds) what goes into
//! [`gondola_experiments::off_policy`], [`report`] what people and programs read of it.
//!
//! Absent on purpose: stores and bundles; those are the command's.

pub mod expected;
pub mod report;
pub mod rounds;

use gondola_experiments::off_policy::{OffPolicyError, Rules, preview};
use gondola_experiments::settings::MetricSettings;

use report::MetricReport;
use rounds::{Shown, per_answer, rounds};

/// Previews a metric by the answers whose windows are over. `None` where there are none.
pub fn preview_metric(
    metric: &MetricSettings,
    shown: &[Shown<'_>],
    rules: &Rules,
) -> Result<Option<MetricReport>, OffPolicyError> {
    if shown.is_empty() {
        return Ok(None);
    }
    let rounds = rounds(shown, rules.max_weight);
    let preview = per_answer(preview(&rounds, rules)?, shown.len());
    Ok(Some(MetricReport::new(metric, shown.len(), preview)))
}
