//! Publishing: every bundle of a run into a store, then the channels.

use std::path::Path;
use gondola_inference::features::Workflow;

/// The scorers of a run.
pub const SCORERS: [&str; 2] = ["dlrm", "forest"];
/// The bundles of a run.
pub const NAMES: [&str; 5] = ["features", "two-tower", "dlrm", "forest", "item-text"];

/// TEMPORARY.
pub async fn all_there(_store: &str, _bundles: &[(String, String, String)]) -> bool {
    false
}

/// TEMPORARY.
pub async fn all(
    store: &str,
    bundles: &Path,
    _workflow: &Workflow,
    _dimension: usize,
) -> anyhow::Result<Vec<(String, String, String)>> {
    let to = store.trim_start_matches("file://");
    std::process::Command::new("cp").args(["-r", &bundles.to_string_lossy(), to]).status()?;
    Ok(vec![])
}
