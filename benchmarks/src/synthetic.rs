//! Generated bundles of the size of a fashion chain's: 105,542 items, 200,000 users of 1.37 million, 20 user and 25 item
//! features, 20 purchases a user.
//!
//! Nothing is learned: weights, trees and vectors are drawn at random, with the shapes and the distributions that decide
//! how long serving takes (long-tailed categories, clustered vectors, trees of twelve levels). All of it is seeded.

mod draw;
mod features;
mod forest;
mod models;
mod networks;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use gondola_artifacts::{BundleDescription, Contract, Digest, Kind, Metric, Store, publish, set_channel};
use gondola_models::features::Workflow;

/// Width of the space of the two towers.
const TOWER_DIMENSION: usize = 64;
/// Width of the space of texts, as of CLIP's text encoders.
pub(crate) const TEXT_DIMENSION: usize = 512;
const FACTORY: &str = "IVF1024,Flat";
/// Lists that a search visits: so many that recall@200 is at least 0.98.
pub(crate) const NPROBE: u32 = 96;
/// Customers of the chain: the vocabulary of their ids is this large.
const CUSTOMERS: usize = 1_371_980;

/// A bundle of each family of scorers.
pub(crate) const SCORER_BUNDLES: [&str; 7] = [
    "dlrm",
    "wide-deep",
    "dcn",
    "mlp",
    "factorization-machine",
    "forest",
    "boosting",
];
/// The other bundles.
const OTHER_BUNDLES: [&str; 3] = ["features", "two-tower", "item-text"];

/// A categorical column and the number of its values.
type Column = (&'static str, usize);

const USER_CATEGORICAL: [Column; 12] = [
    ("customer", CUSTOMERS),
    ("postal_code", 352_899),
    ("club_member_status", 3),
    ("fashion_news_frequency", 3),
    ("active", 2),
    ("popular_product_type", 131),
    ("last_product_type", 131),
    ("popular_colour_group", 50),
    ("last_colour_group", 50),
    ("popular_department", 250),
    ("last_department", 250),
    ("popular_garment_group", 21),
];
const USER_NUMERIC: [&str; 8] = [
    "age",
    "recency",
    "frequency",
    "amount",
    "count_30d",
    "count_total",
    "basket",
    "online_share",
];
const ITEM_CATEGORICAL: [Column; 17] = [
    ("product_code", 47_224),
    ("prod_name", 45_875),
    ("product_type", 131),
    ("product_group", 19),
    ("graphical_appearance", 30),
    ("colour_group", 50),
    ("perceived_colour_value", 8),
    ("perceived_colour_master", 20),
    ("department_no", 299),
    ("department_name", 250),
    ("index_code", 10),
    ("index_name", 10),
    ("index_group", 5),
    ("section_no", 57),
    ("section_name", 56),
    ("garment_group", 21),
    ("detail_desc", 43_404),
];
const ITEM_NUMERIC: [&str; 8] = [
    "price",
    "count_7d",
    "count_30d",
    "count_90d",
    "count_365d",
    "time_weighted",
    "age_days",
    "online_share",
];
const PAIR: [&str; 3] = ["purchases", "days_since_last", "affinity_product_type"];

/// Bundle folders that were generated.
pub(crate) struct Synthetic {
    folder: PathBuf,
}

impl Synthetic {
    /// Generates what is not there yet.
    pub(crate) fn at(data: &Path, items: usize, users: usize) -> anyhow::Result<Self> {
        anyhow::ensure!(
            users <= CUSTOMERS,
            "there are {CUSTOMERS} customers, fewer than {users} users"
        );
        let synthetic = Self {
            folder: data.join(format!("{items}-items-{users}-users")),
        };
        let done = synthetic.folder.join("done");
        let bundles = [&OTHER_BUNDLES[..], &SCORER_BUNDLES[..]].concat();
        if fs::read_to_string(&done).is_ok_and(|made| made == bundles.join("\n")) {
            return Ok(synthetic);
        }
        eprintln!(
            "generating {items} items and {users} users into {}",
            synthetic.folder.display()
        );
        for name in &bundles {
            let folder = synthetic.bundle(name);
            fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let workflow = features::write(&synthetic.bundle("features"), items, users)?;
        models::write_towers(&synthetic.bundle("two-tower"), &workflow, items)?;
        models::write_texts(&synthetic.bundle("item-text"), items)?;
        synthetic.write_scorers(&workflow)?;
        synthetic.publish(&workflow)?;
        fs::write(done, bundles.join("\n"))?;
        Ok(synthetic)
    }

    fn write_scorers(&self, workflow: &Workflow) -> anyhow::Result<()> {
        networks::write_dlrm(&self.bundle("dlrm"), workflow)?;
        networks::write_wide_deep(&self.bundle("wide-deep"), workflow)?;
        networks::write_factorization_machine(&self.bundle("factorization-machine"), workflow)?;
        networks::write_dcn(&self.bundle("dcn"), workflow)?;
        networks::write_mlp(&self.bundle("mlp"), workflow)?;
        forest::write(&self.bundle("forest"), workflow, &forest::FOREST)?;
        forest::write(&self.bundle("boosting"), workflow, &forest::BOOSTING)
    }

    /// The folder with a folder for each bundle.
    pub(crate) fn bundles(&self) -> PathBuf {
        self.folder.join("bundles")
    }

    fn bundle(&self, name: &str) -> PathBuf {
        self.bundles().join(name)
    }

    /// A manifest for `gondola-inference up`, next to the store that it names.
    pub(crate) fn pipeline(&self) -> PathBuf {
        self.folder.join("pipeline.yaml")
    }

    fn publish(&self, workflow: &Workflow) -> anyhow::Result<()> {
        let store = self.folder.join("store");
        fs::create_dir_all(&store)?;
        let url = format!("file://{}", store.canonicalize()?.display());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let store = Store::open(&url)?;
            for description in descriptions(workflow)? {
                let published = publish(&store, &self.bundle(&description.name), &description).await?;
                set_channel(&store, &description.name, "stable", &published.version).await?;
            }
            anyhow::Ok(())
        })?;
        for (name, weights) in [
            ("pipeline.yaml", [1, 1]),
            ("dlrm.yaml", [1, 0]),
            ("forest.yaml", [0, 1]),
        ] {
            fs::write(self.folder.join(name), manifest(&url, weights))?;
        }
        Ok(())
    }
}

fn descriptions(workflow: &Workflow) -> anyhow::Result<[BundleDescription; 5]> {
    let digest: Digest = workflow.digest().parse()?;
    let inputs = Contract {
        workflow: Some(digest),
        inputs: Some(workflow.layout().inputs()),
        ..Contract::default()
    };
    let space = |name: &str, dimension, workflow| Contract {
        workflow,
        embedding_space: Some(name.to_owned()),
        dimension: Some(dimension),
        metric: Some(Metric::InnerProduct),
        ..Contract::default()
    };
    let describe = |name: &str, kind, contract| BundleDescription {
        name: name.to_owned(),
        kind,
        contract,
    };
    Ok([
        describe("features", Kind::Features, inputs.clone()),
        describe(
            "two-tower",
            Kind::Retrieval,
            space("synthetic towers", TOWER_DIMENSION, Some(digest)),
        ),
        describe("dlrm", Kind::Scorer, inputs.clone()),
        describe("forest", Kind::Scorer, inputs),
        describe(
            "item-text",
            Kind::Similarity,
            space("synthetic texts", TEXT_DIMENSION, None),
        ),
    ])
}

/// A pipeline of the variants whose weight is above 0.
fn manifest(url: &str, [dlrm, forest]: [u32; 2]) -> String {
    let variant = |(name, weight): (&str, u32)| {
        if weight == 0 {
            return String::new();
        }
        format!("  - name: {name}\n    scorer: {name}@stable\n    weight: {weight}\n")
    };
    let variants: String = [("dlrm", dlrm), ("forest", forest)].map(variant).concat();
    format!(
        "apiVersion: gondola.dev/v1alpha1
kind: RecommenderPipeline
metadata:
  name: synthetic
spec:
  artifacts:
    url: {url}
  features:
    bundle: features@stable
  retrieval:
    bundle: two-tower@stable
    candidates: 200
    search:
      nprobe: {NPROBE}
  similarity:
    bundle: item-text@stable
    search:
      nprobe: 32
  variants:
{variants}"
    )
}
