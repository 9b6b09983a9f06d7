//! From a notebook's model to a variant that serves, by the commands that docs/bring-your-own-model.md shows.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use gondola_tests::http;
use gondola_tests::server::Server;
use gondola_training::dataset::DatasetConfig;
use gondola_training::dataset::training::Scorer;
use gondola_training::run::{self, Inputs, RunConfig};

/// What MLflow writes beside a LightGBM booster, as far as it is read.
const ML_MODEL: &str = "flavors:
  lightgbm: {data: model.lgb, lgb_version: 4.7.0, model_class: lightgbm.basic.Booster}
  python_function: {data: model.lgb, loader_module: mlflow.lightgbm}
mlflow_version: 3.17.2
";

pub(super) async fn becomes_a_variant(folder: &Path, config: &RunConfig) {
    let store = config.store.as_str();
    let listed = told_by("gondola", &["inputs", "--store", store]);
    assert!(listed.contains("0  user."), "{listed}");
    let model = of_a_notebook(folder, config).await;
    let model = model.to_str().unwrap();
    let publish = ["publish", model, "--store", store, "--name", "my-forest"];
    let told = told_by("gondola", &[&publish[..], &["--channel", "canary"]].concat());
    assert!(told.contains("my-forest@canary -> "), "{told}");
    let again = told_by("gondola", &publish);
    let version = |told: &str| {
        told.lines()
            .find(|line| line.starts_with("my-forest/"))
            .map(str::to_owned)
    };
    assert!(version(&told).is_some());
    assert_eq!(
        version(&again),
        version(&told),
        "the same content is the same version"
    );
    let pipeline = folder.join("pipeline.yaml");
    fs::write(&pipeline, PIPELINE.replace("STORE", store)).unwrap();
    let up = [
        binary("gondola-inference").to_str().unwrap(),
        "up",
        "--file",
        pipeline.to_str().unwrap(),
        "--cache",
        folder.join("cache").to_str().unwrap(),
        "--online-file",
        folder.join("online.redb").to_str().unwrap(),
    ]
    .map(str::to_owned);
    let server = Server::start(&up).await.unwrap();
    let answer = http::get(&server.address, "/v1/recommend?user=nobody&k=5")
        .await
        .unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.json().unwrap()["variant"], "mine");
    assert!(server.stop().await.unwrap().success());
    what_does_not_fit_is_refused(folder, store, model);
}

const PIPELINE: &str = "apiVersion: gondola.dev/v1alpha1
kind: RecommenderPipeline
metadata: {name: shop, namespace: default}
spec:
  artifacts: {url: STORE}
  features: {bundle: features@stable}
  retrieval: {bundle: two-tower@stable, candidates: 10}
  control: mine
  variants:
  - {name: mine, scorer: my-forest@canary, weight: 1}
";

fn what_does_not_fit_is_refused(folder: &Path, store: &str, model: &str) {
    let refused = |source: &str, name: &str, more: &[&str], why: &str| {
        let publish = ["publish", source, "--store", store, "--name", name];
        let outcome = output("gondola", &[&publish[..], more].concat());
        let said = String::from_utf8_lossy(&outcome.stderr).into_owned();
        assert!(
            !outcome.status.success() && said.contains(why),
            "{said:?} does not say {why:?}"
        );
    };
    let empty = folder.join("empty");
    fs::create_dir_all(&empty).unwrap();
    refused(empty.to_str().unwrap(), "x", &[], "there is no model in");
    refused(
        model,
        "x",
        &["--features", "forest@stable"],
        "--features forest@stable is a scorer bundle, not a features bundle",
    );
    refused(
        model,
        "x",
        &["--features", "no-such"],
        "--features no-such is neither a folder nor a bundle",
    );
    refused(model, "No Name", &[], "No Name");
}

/// A forest, as a notebook would have logged it: of the workflow's inputs alone, since a notebook has no sources to ask.
async fn of_a_notebook(folder: &Path, config: &RunConfig) -> PathBuf {
    let mut dataset = DatasetConfig::read(&config.inputs.dataset).unwrap();
    dataset.training.stacking.clear();
    let inputs = Inputs {
        dataset: folder.join("notebook.yaml"),
        ..config.inputs.clone()
    };
    fs::write(&inputs.dataset, serde_saphyr::to_string(&dataset).unwrap()).unwrap();
    let trained = folder.join("notebook");
    run::fit(&inputs, Scorer::Forest, &trained).await.unwrap();
    let model = folder.join("my-model");
    fs::create_dir_all(&model).unwrap();
    fs::write(model.join("MLmodel"), ML_MODEL).unwrap();
    fs::copy(trained.join("model.txt"), model.join("model.lgb")).unwrap();
    model
}

/// A program of this workspace, which is built beside its tests.
fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().parent().unwrap().join(name)
}

fn output(name: &str, arguments: &[&str]) -> Output {
    let program = binary(name);
    let outcome = Command::new(&program).args(arguments).output();
    outcome.unwrap_or_else(|error| panic!("{}: {error}; build the whole workspace", program.display()))
}

fn told_by(name: &str, arguments: &[&str]) -> String {
    let outcome = output(name, arguments);
    let said = String::from_utf8_lossy(&outcome.stderr).into_owned();
    assert!(outcome.status.success(), "{name} {arguments:?}: {said}");
    String::from_utf8(outcome.stdout).unwrap()
}
