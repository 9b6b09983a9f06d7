//! A shop of a thousand customers, trained and ready to be asked.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use gondola_training::dataset::DatasetConfig;
use gondola_training::dataset::training::Scorer;
use gondola_training::run::{self, RunConfig};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

use crate::{project, run_config};

/// Customers of the shop.
pub(crate) const CUSTOMERS: usize = 1000;
const ITEMS: usize = 400;
const PURCHASES_PER_CUSTOMER: usize = 10;

/// A store of bundles, and a manifest for each scorer.
pub(crate) struct Shop {
    pub(crate) folder: TempDir,
}

impl Shop {
    /// Makes up purchases, and trains on them.
    pub(crate) async fn open() -> Self {
        let shop = Self {
            folder: TempDir::new().unwrap(),
        };
        let folder = shop.folder.path();
        let data = folder.join("data");
        write_data(&data);
        let config = RunConfig {
            reuse: false,
            ..run_config(folder, write_config(folder), &data)
        };
        run::run(&config).await.unwrap();
        for scorer in ["dlrm", "forest"] {
            fs::write(shop.manifest(scorer), shop.pipeline(scorer)).unwrap();
        }
        shop
    }

    fn store(&self) -> String {
        format!("file://{}", self.folder.path().join("store").display())
    }

    fn manifest(&self, scorer: &str) -> PathBuf {
        self.folder.path().join(format!("{scorer}.yaml"))
    }

    /// Every source of candidates, a filter, and a limit on similar items.
    fn pipeline(&self, scorer: &str) -> String {
        format!(
            "apiVersion: gondola.dev/v1alpha1
kind: RecommenderPipeline
metadata: {{name: shop, namespace: fashion}}
spec:
  artifacts: {{url: '{}'}}
  features: {{bundle: features@stable}}
  retrieval:
    bundle: two-tower@stable
    candidates: 60
    search: {{nprobe: 3}}
    sources:
      boughtBefore: {{candidates: 5}}
      coBought: {{candidates: 10}}
      popular: {{candidates: 10}}
  similarity: {{bundle: item-text@stable}}
  filters:
    alreadyBought: Remove
    blockedItems: ['0000000007']
  ordering:
    limit: 12
    diversity: {{column: colour_group_name, most: 9}}
  variants:
  - {{name: {scorer}, scorer: {scorer}@stable, weight: 1}}
",
            self.store()
        )
    }

    fn arguments(&self, command: &str, scorer: &str) -> Vec<String> {
        let shown = |path: PathBuf| path.display().to_string();
        let cache = self.folder.path().join("cache");
        [
            shown(program()),
            "--log".to_owned(),
            "error".to_owned(),
            command.to_owned(),
            "--file".to_owned(),
            shown(self.manifest(scorer)),
            "--cache".to_owned(),
            shown(cache),
        ]
        .into()
    }

    /// What serves a variant.
    pub(crate) fn up(&self, scorer: &str) -> Vec<String> {
        let online = self.folder.path().join(format!("{scorer}.redb"));
        let mut arguments = self.arguments("up", scorer);
        arguments.extend(["--online-file", online.to_str().unwrap()].map(str::to_owned));
        arguments
    }

    /// What writes the lists of a variant.
    pub(crate) fn batch_command(&self, scorer: &str, out: &Path, more: &[&str]) -> Command {
        let arguments = self.arguments("batch", scorer);
        let mut command = Command::new(&arguments[0]);
        command.args(&arguments[1..]).arg("--out").arg(out).args(more);
        command
    }

    /// The same, once it has ended.
    pub(crate) fn batch(&self, scorer: &str, out: &Path, more: &[&str]) -> Output {
        self.batch_command(scorer, out, more).output().unwrap()
    }
}

/// Tests are two folders below where cargo puts programs.
fn program() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    this.ancestors().nth(2).unwrap().join("gondola-inference")
}

/// The example's configuration with what a small shop needs: an index of few lists, and no rare values.
fn write_config(folder: &Path) -> PathBuf {
    let mut config = DatasetConfig::read(&project("examples/h-and-m/dataset.yaml")).unwrap();
    config.training.two_tower.index = "IVF8,Flat".to_owned();
    config.training.two_tower.nprobe = Some(3);
    config.training.two_tower.text_index = "Flat".to_owned();
    config.training.two_tower.text_nprobe = None;
    config.training.two_tower.epochs = 2;
    config.training.scorers = vec![Scorer::Dlrm, Scorer::Forest];
    config.training.dlrm.descent.epochs = 2;
    config.training.forest.leaf_pairs = 2;
    config.windows.training = 1;
    config.features.frequency_thresholds.clear();
    let path = folder.join("dataset.yaml");
    fs::write(&path, serde_saphyr::to_string(&config).unwrap()).unwrap();
    path
}

/// The competition's three files, with articles after the pattern of some real ones.
fn write_data(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(11);
    fs::write(folder.join("articles.csv"), articles()).unwrap();
    fs::write(folder.join("customers.csv"), customers(&mut random)).unwrap();
    fs::write(folder.join("transactions_train.csv"), transactions(&mut random)).unwrap();
}

fn article(number: usize) -> String {
    format!("{number:010}")
}

fn customer(number: usize) -> String {
    format!("customer-{number:04}")
}

fn articles() -> String {
    let patterns = fs::read_to_string(project("training/tests/fixtures/hm/articles.csv")).unwrap();
    let (head, patterns) = patterns.split_once('\n').unwrap();
    // Not those whose descriptions go on in the next line.
    let whole = |line: &&str| line.starts_with('0') && line.matches('"').count().is_multiple_of(2);
    let patterns: Vec<&str> = patterns.lines().filter(whole).collect();
    let mut text = format!("{head}\n");
    for number in 0..ITEMS {
        let pattern = patterns[number % patterns.len()].splitn(3, ',').nth(2).unwrap();
        writeln!(text, "{},{:07},{pattern}", article(number), number / 3).unwrap();
    }
    text
}

fn customers(random: &mut ChaCha8Rng) -> String {
    let mut text =
        "customer_id,FN,Active,club_member_status,fashion_news_frequency,age,postal_code\n".to_owned();
    for number in 0..CUSTOMERS {
        let (age, postal_code) = (random.random_range(16..90), random.random_range(0..50));
        writeln!(
            text,
            "{},1.0,,ACTIVE,NONE,{age},code-{postal_code}",
            customer(number)
        )
        .unwrap();
    }
    text
}

/// In June to September; each customer buys articles that are near to one another.
fn transactions(random: &mut ChaCha8Rng) -> String {
    let mut text = "t_dat,customer_id,article_id,price,sales_channel_id\n".to_owned();
    for number in 0..CUSTOMERS {
        let taste = random.random_range(0..ITEMS);
        for _ in 0..PURCHASES_PER_CUSTOMER {
            let item = (taste + random.random_range(0..30)) % ITEMS;
            let (month, day) = (random.random_range(6..=9), random.random_range(1..=22));
            let price = f64::from(random.random_range(1..60)) / 1000.0;
            writeln!(
                text,
                "2020-{month:02}-{day:02},{},{},{price},{}",
                customer(number),
                article(item),
                random.random_range(1..=2)
            )
            .unwrap();
        }
    }
    text
}
