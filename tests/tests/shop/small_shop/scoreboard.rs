//! Our models beside other people's packages, on a small shop.

use std::fs;
use std::path::Path;

use gondola_training::dataset::training::Scorer;
use gondola_training::run::{self, RunConfig};
use gondola_training::scoreboard::task::Seen;
use gondola_training::scoreboard::{ComparisonSettings, Scoreboard};

/// A Python without any of the packages.
const PYTHON: &str = "python3";

async fn compare(config: &RunConfig, seen: Seen, report: &Path) -> Scoreboard {
    let settings = ComparisonSettings {
        against: vec!["implicit".to_owned()],
        python: PYTHON.into(),
        seen,
        trials: 2,
        seeds: 2,
        models: Vec::new(),
    };
    run::compare_with_others(&config.inputs, &settings, report)
        .await
        .unwrap()
}

pub(super) async fn ranks_models_and_names_a_package_that_is_missing(config: &RunConfig, folder: &Path) {
    for seen in [Seen::Remove, Seen::Keep] {
        let report = folder.join(format!("scoreboard-{seen:?}"));
        let board = compare(config, seen, &report).await;
        assert!(
            board
                .missing
                .iter()
                .any(|missing| missing.starts_with("implicit: ")),
            "{:?}",
            board.missing
        );
        let names: Vec<&str> = board
            .standings
            .iter()
            .map(|standing| standing.name.as_str())
            .collect();
        assert!(names.len() >= 8 && names.contains(&"most popular"), "{names:?}");
        // The shop's configuration trains every scorer.
        let pipelines = names.iter().filter(|name| name.starts_with("pipeline with "));
        assert_eq!(pipelines.count(), Scorer::ALL.len(), "{names:?}");
        assert!(
            names.contains(&"two towers") && names.contains(&"pipeline with DLRM"),
            "{names:?}"
        );
        assert!(board.verdict.starts_with("Take "), "{}", board.verdict);
        let gains: Vec<f64> = board
            .standings
            .iter()
            .map(|standing| standing.worth.ndcg)
            .collect();
        assert!(gains.is_sorted_by(|a, b| a >= b), "{gains:?}");
        let repeats = board.standings.iter().map(|standing| standing.character.repeats);
        assert_eq!(repeats.sum::<f64>() > 0.0, seen == Seen::Keep);
        let read = Scoreboard::read(&report).unwrap();
        assert_eq!((read.verdict, read.standings.len()), (board.verdict, names.len()));
        let page = fs::read_to_string(report.join("scoreboard.html")).unwrap();
        assert!(page.contains("nDCG@10, with 95 % intervals over users"));
        let picture = fs::read_to_string(report.join("scoreboard.svg")).unwrap();
        assert!(picture.contains("pipeline with random forest (gondola)"));
    }
}
