//! A small shop in the H&M schema, from its CSV files to answers: training, publishing, fetching, serving.

mod explained;
mod on_device;
mod own_model;
mod present;
mod promotion;
mod scoreboard;

use std::collections::BTreeMap;
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use gondola_artifacts::{Cache, Reference, Store, resolve_together};
use gondola_collaborative::Settings;
use gondola_models::device::Device;
use gondola_models::features::{ItemId, RawRow, Value};
use gondola_models::ordering::Order;
use gondola_models::pipeline::{
    Answer, BoughtRule, Degradation, RecommendRequest, RequestError, SimilarRequest, SimilarTo, UserUpdate,
    Variant, VariantFolders, VariantSettings,
};
use gondola_models::retrieval::index::SearchParameters;
use gondola_models::retrieval::sources::{Quotas, TrainedQuota};
use gondola_request::{Change, ItemState, ItemUpdate, Moment, StatedRow, UserState};
use gondola_training::dataset::DatasetConfig;
use gondola_training::dataset::training::{KnownItems, Scorer};
use gondola_training::report::Summary;
use gondola_training::run::{self, RunConfig};
use tempfile::TempDir;

use crate::project;

/// Items of the shop.
const ITEMS: usize = 20;

/// A column of items that no model reads.
const RULES_COLUMN: &str = "department_no";

/// The example's configuration with what twenty items need: an index without lists, and no rare values.
fn write_config(folder: &Path) -> PathBuf {
    let mut config = DatasetConfig::read(&project("examples/h-and-m/dataset.yaml")).unwrap();
    config.training.two_tower.index = "Flat".to_owned();
    config.training.two_tower.nprobe = None;
    config.training.two_tower.text_index = "Flat".to_owned();
    config.training.two_tower.text_nprobe = None;
    config.training.two_tower.known_items = Some(KnownItems {
        width: 4,
        fewest_purchases: 2,
        latest: 10,
    });
    config.training.scorers = Scorer::ALL.to_vec();
    config.training.sources = sources();
    config.training.stacking = sources()
        .iter()
        .map(|source| source.bundle().to_owned())
        .collect();
    config.training.forest.leaf_pairs = 2;
    config.training.boosting.leaf_pairs = 2;
    config.windows.training = 2;
    config.features.frequency_thresholds.clear();
    config.items.rules = vec![RULES_COLUMN.to_owned()];
    let path = folder.join("dataset.yaml");
    fs::write(&path, serde_saphyr::to_string(&config).unwrap()).unwrap();
    path
}

/// Every model of who buys what, also of items that one user bought.
fn sources() -> Vec<Settings> {
    let mut sources = Settings::all();
    sources.dedup_by_key(|source| source.bundle());
    for source in &mut sources {
        match source {
            Settings::Ease(ease) => ease.fewest_buyers = 1,
            Settings::Slim(slim) => (slim.fewest_buyers, slim.l1, slim.l2) = (1, 0.0, 1.0),
            Settings::Rp3beta(walk) => walk.fewest_buyers = 1,
            Settings::ItemKnn(knn) => knn.fewest_buyers = 1,
            Settings::UserKnn(knn) => knn.fewest_buyers = 1,
            Settings::Als(als) => als.fewest_buyers = 1,
            Settings::Bpr(bpr) => bpr.fewest_buyers = 1,
            Settings::Sasrec(sasrec) => (sasrec.fewest_buyers, sasrec.epochs) = (1, 5),
            Settings::Popularity(_) => {}
        }
    }
    sources
}

fn run_config(folder: &Path) -> RunConfig {
    let data = project("training/tests/fixtures/hm").canonicalize().unwrap();
    crate::run_config(folder, write_config(folder), &data)
}

async fn train(folder: &Path) -> RunConfig {
    let config = run_config(folder);
    let summary = run::run(&config).await.unwrap();
    assert_eq!(summary.bundles.len(), 4 + Scorer::ALL.len() + sources().len());
    let mut variants = summary
        .variants
        .iter()
        .map(|variant| variant.quality.name.as_str());
    for scorer in Scorer::ALL {
        assert_eq!(variants.next(), Some(scorer.bundle()));
    }
    let simple = summary.verdict.starts_with("Take the simple list");
    assert_eq!(variants.next(), simple.then_some("best"), "{}", summary.verdict);
    assert!(
        fs::read_to_string(folder.join("report/index.html"))
            .unwrap()
            .contains("<svg")
    );
    config
}

async fn load(folder: &Path, config: &RunConfig, scorer: &str, already_bought: BoughtRule) -> Variant {
    load_on(Device::Cpu, folder, config, scorer, already_bought).await
}

async fn load_on(
    device: Device,
    folder: &Path,
    config: &RunConfig,
    scorer: &str,
    already_bought: BoughtRule,
) -> Variant {
    let store = Store::open(&config.store).unwrap();
    let sources: Vec<&str> = sources().iter().map(Settings::bundle).collect();
    let names = ["features", "two-tower", scorer, "item-text"];
    let references: Vec<Reference> = sources
        .iter()
        .chain(&names)
        .map(|name| format!("{name}@stable").parse().unwrap())
        .collect();
    let cache = Cache::open(folder.join("cache")).unwrap();
    let mut folders = Vec::new();
    for resolved in resolve_together(&store, &references).await.unwrap() {
        folders.push(cache.fetch(&store, &resolved, &|_| {}).await.unwrap().path);
    }
    let similarity = folders.pop();
    let (scorer_folder, retrieval, features) = (
        folders.pop().unwrap(),
        folders.pop().unwrap(),
        folders.pop().unwrap(),
    );
    let trained = sources.iter().map(|name| TrainedQuota {
        name: (*name).to_owned(),
        candidates: 5,
    });
    let settings = VariantSettings {
        name: scorer.to_owned(),
        quotas: Quotas {
            two_tower: ITEMS,
            bought_before: 5,
            co_bought: 0,
            popular: 0,
            trained: trained.collect(),
        },
        search: SearchParameters::default(),
        similarity_search: SearchParameters::default(),
        device,
        already_bought,
        blocked_items: vec!["0108775015".into()],
        limit: 5,
        order: Order::BestFirst,
        diversity: None,
    };
    Variant::load(
        &VariantFolders {
            features,
            retrieval,
            sources: sources
                .iter()
                .map(|name| (*name).to_owned())
                .zip(folders)
                .collect(),
            scorer: scorer_folder,
            similarity,
        },
        &settings,
    )
    .unwrap()
}

fn recommend(variant: &Variant, user: &str, k: usize) -> Result<Answer, RequestError> {
    variant.recommend(&RecommendRequest {
        user: user.into(),
        k: Some(k),
    })
}

/// The answer to somebody of whom an online store holds something.
fn recommend_informed(variant: &Variant, user: &str, state: &UserState, k: usize) -> Answer {
    let request = RecommendRequest {
        user: user.into(),
        k: Some(k),
    };
    variant.recommend_informed(&request, Some(state)).unwrap()
}

/// Later than every snapshot.
const NOW: Moment = Moment(1_764_460_800_000);

fn stated(columns: RawRow) -> Option<StatedRow> {
    Some(StatedRow {
        columns,
        whole: true,
        at: NOW,
        always: false,
    })
}

/// What an online store holds of a user who was put, if that is not refused.
fn put_user(variant: &Variant, update: UserUpdate) -> Result<UserState, RequestError> {
    variant.check(&Change::PutUser {
        user: "somebody".into(),
        update: update.clone(),
    })?;
    Ok(UserState {
        row: stated(update.features),
        history: update.history,
        ..UserState::default()
    })
}

/// Puts an item, as an online store would have it made, if that is not refused.
fn put_item(variant: &Variant, item: &str, features: RawRow) -> Result<(), RequestError> {
    variant.check(&Change::PutItem {
        item: item.into(),
        update: ItemUpdate {
            features: features.clone(),
            blocked: false,
        },
    })?;
    let state = ItemState {
        row: stated(features),
        ..ItemState::default()
    };
    let refused = variant.set_items(vec![(item.into(), Some(state))]);
    assert!(refused.is_empty(), "{refused:?}");
    Ok(())
}

fn items(answer: &Answer) -> Vec<String> {
    answer.items.iter().map(|item| item.item.to_string()).collect()
}

fn some_user(variant: &Variant) -> String {
    variant.users().table().id(0).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_goes_from_its_files_to_answers() {
    let folder = TempDir::new().unwrap();
    let config = train(folder.path()).await;
    for scorer in Scorer::ALL.map(Scorer::bundle) {
        let variant = load(folder.path(), &config, scorer, BoughtRule::Keep).await;
        known_and_unknown_users_are_answered(&variant);
        a_count_that_can_not_be_had_is_refused(&variant);
        a_new_user_and_a_new_item_are_served_at_once(&variant);
        present::follows_from_what_users_and_the_shop_do(&variant);
        explained::says_what_became_of_items(&variant);
        similar_items_leave_the_item_out(&variant);
        what_is_bought_together_is_found_by_what_happened(&variant);
        one_absurd_value_costs_nobody_else_their_answer(&variant);
        on_device::answers_are_those_of_the_processor(folder.path(), &config, scorer).await;
    }
    // A simple list may be the same for everybody, whatever they do.
    let best = load(folder.path(), &config, "best", BoughtRule::Keep).await;
    known_and_unknown_users_are_answered(&best);
    explained::a_part_is_what_the_score_would_lack_without_the_input(&best);
    scoreboard::ranks_models_and_names_a_package_that_is_missing(&config, folder.path()).await;
    what_was_bought_can_be_left_out(folder.path(), &config).await;
    a_second_run_reuses_the_first(&config).await;
    own_model::becomes_a_variant(folder.path(), &config).await;
}

fn known_and_unknown_users_are_answered(variant: &Variant) {
    let answer = recommend(variant, &some_user(variant), 5).unwrap();
    assert_eq!((answer.items.len(), answer.degraded.as_slice()), (5, &[][..]));
    assert!(
        !items(&answer).contains(&"0108775015".to_owned()),
        "a blocked item is never recommended"
    );
    let stages: Vec<&str> = answer.timing.iter().map(|timing| timing.stage.as_str()).collect();
    assert_eq!(stages, ["features", "retrieval", "filter", "scoring", "ordering"]);
    let nobody = recommend(variant, "nobody", 5).unwrap();
    assert_eq!(
        (nobody.items.len(), nobody.degraded.as_slice()),
        (5, &[Degradation::UnknownUser][..])
    );
}

fn a_count_that_can_not_be_had_is_refused(variant: &Variant) {
    for k in [0, 1000] {
        let message = recommend(variant, "nobody", k).unwrap_err().to_string();
        let wanted =
            format!("k is {k}, but this pipeline gives 1 to {ITEMS} items; ask for one of those numbers");
        assert_eq!(message, wanted);
    }
}

fn a_new_user_and_a_new_item_are_served_at_once(variant: &Variant) {
    let features = RawRow::from([
        ("age", Value::Number(31.0)),
        ("club_member_status", "ACTIVE".into()),
    ]);
    let update = UserUpdate {
        features,
        history: None,
    };
    let new_user = put_user(variant, update.clone()).unwrap();
    assert_eq!(recommend_informed(variant, "new-user", &new_user, 5).degraded, []);

    let text = |text: &str| {
        RawRow::from([
            ("prod_name", text.into()),
            ("product_type_name", "Vest top".into()),
        ])
    };
    put_item(variant, "new-item", text("Item A")).unwrap();
    let near = variant
        .similar(&SimilarRequest {
            to: SimilarTo::Item("new-item".into()),
            k: Some(3),
        })
        .unwrap();
    assert_eq!(near.items.len(), 3);
    let all = variant.similar(&SimilarRequest {
        to: SimilarTo::Text("Item A Vest top".into()),
        k: Some(1),
    });
    assert_eq!(
        items(&all.unwrap()),
        ["new-item"],
        "its text is the one that was asked for"
    );

    let wrong = UserUpdate {
        features: RawRow::from([("shoe_size", Value::Number(43.0))]),
        ..update
    };
    let message = put_user(variant, wrong).unwrap_err().to_string();
    assert!(
        message.starts_with("there is no user feature \"shoe_size\"; there are ["),
        "{message}"
    );
    let wrong = RawRow::from([("mean_price", "cheap".into())]);
    let message = put_item(variant, "new-item", wrong).unwrap_err().to_string();
    assert!(
        message.contains("item feature \"mean_price\" is \"cheap\", which is not a number"),
        "{message}"
    );
}

/// Values that are numbers, and no longer are somewhere on the way to a score.
const ABSURD: [f64; 4] = [1e39, -1e39, 1e30, f64::MAX];

fn one_absurd_value_costs_nobody_else_their_answer(variant: &Variant) {
    let summary = variant.summary();
    let columns = |entity: &str| -> Vec<String> {
        let prefix = format!("{entity}.");
        let inputs = summary
            .inputs
            .iter()
            .filter_map(|input| input.strip_prefix(&prefix));
        inputs.map(str::to_owned).collect()
    };
    let mut refused = 0;
    for value in ABSURD {
        for column in columns("item") {
            let features = RawRow::from([(column.as_str(), Value::Number(value))]);
            let put = put_item(variant, "0108775044", features);
            refused += usize::from(put.is_err_and(|error| error.to_string().contains(&column)));
        }
        for column in columns("user") {
            let features = RawRow::from([(column.as_str(), Value::Number(value))]);
            let update = UserUpdate {
                features,
                history: None,
            };
            let absurd = put_user(variant, update).unwrap_or_default();
            let answer = recommend_informed(variant, "absurd", &absurd, 5);
            assert!(
                !answer.degraded.contains(&Degradation::Scoring),
                "{column}={value}"
            );
        }
        let answer = recommend(variant, &some_user(variant), 5).unwrap();
        assert_eq!(
            (answer.items.len(), answer.degraded.as_slice()),
            (5, &[][..]),
            "{value}"
        );
    }
    assert!(refused > 0, "no value of any item column was refused");

    let purchase = |item: &str| gondola_models::pipeline::PurchaseUpdate {
        item: ItemId::from(item),
        purchases: f32::MAX,
        days_since_last: 1.0,
        recent_purchases: None,
    };
    let update = UserUpdate {
        features: RawRow::default(),
        history: Some(["0108775044", "0108866015"].map(purchase).to_vec()),
    };
    let absurd = put_user(variant, update).unwrap_or_default();
    let answer = recommend_informed(variant, "absurd", &absurd, 5);
    assert!(!answer.degraded.contains(&Degradation::Scoring));
}

fn similar_items_leave_the_item_out(variant: &Variant) {
    let similar = |to| variant.similar(&SimilarRequest { to, k: Some(5) });
    let answer = similar(SimilarTo::Item("0108775044".into())).unwrap();
    assert_eq!(answer.items.len(), 5);
    assert!(!items(&answer).contains(&"0108775044".to_owned()));
    let message = similar(SimilarTo::Item("no-such".into()))
        .unwrap_err()
        .to_string();
    assert_eq!(
        message,
        "there is no item no-such; PUT /v1/items/no-such adds it, or ask for text= instead"
    );
}

fn what_is_bought_together_is_found_by_what_happened(variant: &Variant) {
    let together = |item: &str, k| {
        variant.similar(&SimilarRequest {
            to: SimilarTo::BoughtWith(item.into()),
            k: Some(k),
        })
    };
    let table = variant.items().table();
    let ids = (0..table.len()).map(|row| table.id(row).to_owned());
    let all = ids.map(|item| (item.clone(), together(&item, 5).unwrap()));
    let (item, answer) = all.max_by_key(|(_, answer)| answer.items.len()).unwrap();
    assert!(answer.items.len() > 1, "nobody buys two things");
    assert!(answer.items.is_sorted_by(|a, b| a.score >= b.score));
    assert!(!items(&answer).contains(&item) && !items(&answer).contains(&"0108775015".to_owned()));
    assert_eq!(together(&item, 1).unwrap().items, answer.items[..1]);
    let message = together("no-such", 5).unwrap_err().to_string();
    assert!(message.starts_with("there is no item no-such"), "{message}");
}

async fn what_was_bought_can_be_left_out(folder: &Path, config: &RunConfig) {
    let variant = load(folder, config, "forest", BoughtRule::Remove).await;
    let purchases = ["0108775044", "0108866015"];
    let history = purchases
        .iter()
        .map(|item| gondola_models::pipeline::PurchaseUpdate {
            item: ItemId::from(*item),
            purchases: 3.0,
            days_since_last: 1.0,
            recent_purchases: None,
        });
    let update = UserUpdate {
        features: RawRow::default(),
        history: Some(history.collect()),
    };
    let buyer = put_user(&variant, update).unwrap();
    let answer = items(&recommend_informed(&variant, "buyer", &buyer, ITEMS));
    assert!(
        answer.iter().all(|item| !purchases.contains(&item.as_str())),
        "{answer:?}"
    );
    assert!(answer.len() >= ITEMS - 5);
}

async fn a_second_run_reuses_the_first(config: &RunConfig) {
    let started = std::time::Instant::now();
    run::run(config).await.unwrap();
    assert!(started.elapsed().as_secs() < 5, "nothing is trained again");
}

/// The stages of a run that stopped, and when each was made.
fn stages(config: &RunConfig) -> BTreeMap<String, SystemTime> {
    let stage = |entry: io::Result<DirEntry>| {
        let entry = entry.unwrap();
        let made = entry.metadata().unwrap().modified().unwrap();
        (entry.file_name().into_string().unwrap(), made)
    };
    let stages = fs::read_dir(config.report.join("checkpoints")).unwrap();
    stages.map(stage).collect()
}

/// What names the content of each bundle, which its digest does together with when it was published.
fn versions(summary: &Summary) -> Vec<(String, String)> {
    let bundles = summary.bundles.iter();
    bundles
        .map(|bundle| (bundle.name.clone(), bundle.version.clone()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_stopped_goes_on_and_makes_what_it_would_have_made() {
    let whole = tempfile::tempdir().unwrap();
    let wanted = versions(&run::run(&run_config(whole.path())).await.unwrap());

    let stopped = tempfile::tempdir().unwrap();
    let config = run_config(stopped.path());
    // In the place of the store's folder lies a file: that is said before anything is trained.
    fs::write(stopped.path().join("store"), "").unwrap();
    run::run(&config).await.unwrap_err();
    assert!(stages(&config).keys().all(|name| name.starts_with("shop")));
    fs::remove_file(stopped.path().join("store")).unwrap();
    // In the place of a bundle's folder lies a file: everything is made, and nothing can be published.
    fs::create_dir(stopped.path().join("store")).unwrap();
    fs::write(stopped.path().join("store/features"), "").unwrap();
    run::run(&config).await.unwrap_err();
    let left = stages(&config);
    for stage in [
        "shop",
        "features-2020-09-03",
        "two-tower",
        "dlrm",
        "forest",
        "texts",
    ] {
        assert!(
            left.keys().any(|name| name.starts_with(stage)),
            "{stage} is not in {left:?}"
        );
    }
    run::run(&config).await.unwrap_err();
    assert_eq!(stages(&config), left, "a stage was made again");

    fs::remove_file(stopped.path().join("store/features")).unwrap();
    assert_eq!(versions(&run::run(&config).await.unwrap()), wanted);
    assert!(!config.report.join("checkpoints").exists(), "the run is over");
}
