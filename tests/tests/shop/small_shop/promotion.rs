//! A channel takes a run's bundles where they are better than what it points to, and stays where it is otherwise.

use std::fs;
use std::path::Path;

use gondola_artifacts::{Reference, Store, resolve};
use gondola_training::dataset::DatasetConfig;
use gondola_training::dataset::training::Scorer;
use gondola_training::evaluate::ranking::ListMetric;
use gondola_training::run::{self, PromotionRule, RunConfig};
use tempfile::TempDir;
use url::Url;

use super::run_config;
use crate::project;

/// The first day of the example's test window.
const TEST_START: &str = "2020-09-03";

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_takes_what_is_better_and_nothing_else() {
    let folder = TempDir::new().unwrap();
    let shop = |name: &str| {
        let inside = folder.path().join(name);
        fs::create_dir(&inside).unwrap();
        config(folder.path(), &inside)
    };
    // The shop as it was when the test window began.
    let mut past = shop("past");
    past.inputs.data = until_the_test(folder.path());
    past.inputs.test_latest = true;
    let said = promote(&mut past, 0.0).await;
    assert_eq!(said, "channel stable pointed to nothing");
    let first = stable(&past.store).await;

    let mut strict = shop("strict");
    let said = promote(&mut strict, 10.0).await;
    assert!(
        said.starts_with("channel stable stays as it is: nDCG@12 of the lists of forest for "),
        "{said}"
    );
    assert!(
        said.ends_with("the lower end has to be above +1000.0 %"),
        "{said}"
    );
    assert_eq!(stable(&strict.store).await, first);

    let mut lenient = shop("lenient");
    let said = promote(&mut lenient, -2.0).await;
    assert!(
        said.starts_with("channel stable moved: nDCG@12 of the lists of forest for "),
        "{said}"
    );
    let second = stable(&lenient.store).await;
    assert_ne!(second, first);
    let words = fs::read_to_string(lenient.last_words.as_ref().unwrap()).unwrap();
    assert!(
        words.starts_with("published features/") && words.ends_with(&said),
        "{words}"
    );

    // What it points to now has seen everything.
    let mut again = shop("again");
    let said = promote(&mut again, -2.0).await;
    assert!(
        said.starts_with("channel stable stays as it is: nothing was bought since 2020-09-23"),
        "{said}"
    );
    assert_eq!(stable(&again.store).await, second);
}

/// A run with one scorer whose bundles go to the channel `candidate`.
fn config(store: &Path, folder: &Path) -> RunConfig {
    let mut config = run_config(folder);
    let mut dataset = DatasetConfig::read(&config.inputs.dataset).unwrap();
    dataset.training.scorers = vec![Scorer::Forest];
    fs::write(&config.inputs.dataset, serde_saphyr::to_string(&dataset).unwrap()).unwrap();
    config.store = format!("file://{}", store.join("store").display());
    config.channel = "candidate".to_owned();
    config.last_words = Some(folder.join("last-words"));
    config.reuse = false;
    config
}

/// Runs, and gives what became of the promotion.
async fn promote(config: &mut RunConfig, min_lift: f64) -> String {
    config.promotion = Some(PromotionRule {
        channel: "stable".to_owned(),
        metric: ListMetric::Ndcg,
        min_lift,
    });
    let summary = run::run(config).await.unwrap();
    let mut facts = summary.facts.into_iter();
    facts.find(|fact| fact.what == "promotion").unwrap().value
}

async fn stable(store: &str) -> String {
    let reference: Reference = "forest@stable".parse().unwrap();
    let found = resolve(&Store::open(store).unwrap(), &reference).await.unwrap();
    found.manifest.version
}

/// The shop's files without what was bought from the first day of the test window on.
fn until_the_test(folder: &Path) -> Url {
    let (from, to) = (project("training/tests/fixtures/hm"), folder.join("past-data"));
    fs::create_dir(&to).unwrap();
    for file in ["articles.csv", "customers.csv"] {
        fs::copy(from.join(file), to.join(file)).unwrap();
    }
    let all = fs::read_to_string(from.join("transactions_train.csv")).unwrap();
    let known = all
        .lines()
        .filter(|line| line.starts_with("t_dat") || &line[..10] < TEST_START);
    let known: Vec<&str> = known.collect();
    fs::write(to.join("transactions_train.csv"), known.join("\n") + "\n").unwrap();
    Url::from_directory_path(to).unwrap()
}
