//! A pipeline's feature views in Feast: what its registry says of them, and whether they have what a bundle needs.
//!
//! The resolver asks before anything rolls, and a variant's pod when it starts.

mod columns;

use futures::TryStreamExt as _;
use gondola_artifacts::{Access, Store, StoreError};
use gondola_crds::online::{Feast, FeastViews};
use gondola_feast::{
    EntityViews, KeyLayout, KeyVersion, MAX_REGISTRY_BYTES, Mismatch, Registry, RegistryError, Versioning,
    ViewsError, compare,
};

use self::columns::Workflow;

/// Largest workflow of a bundle that is looked at, in bytes: some thousand columns.
const MAX_WORKFLOW_BYTES: usize = 16 << 20;

/// Why feature views can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FeastError {
    /// The URL names no file.
    #[error(
        "features.online.feast.registry is {url:?}, which names no file; write for example s3://features/registry.db"
    )]
    NotFile {
        /// The URL.
        url: String,
    },
    /// The store can't be read.
    #[error("cannot read {url}")]
    Store {
        /// The file.
        url: String,
        /// The cause.
        #[source]
        source: StoreError,
    },
    /// The file can't be read.
    #[error(
        "cannot read {url}; see whether it is there, and whether the credentials of artifacts may read it"
    )]
    File {
        /// The file.
        url: String,
        /// The cause.
        #[source]
        source: object_store::Error,
    },
    /// The file is larger than any of its kind.
    #[error("{url} has more than {most} bytes; is it another file?")]
    Large {
        /// The file.
        url: String,
        /// The most that it may have.
        most: usize,
    },
    /// The file is no registry, or has another project.
    #[error("{url} can't be used")]
    Registry {
        /// The file.
        url: String,
        /// The cause.
        #[source]
        source: RegistryError,
    },
    /// The views can't be read together.
    #[error("the feature views of {entity} can't be used")]
    Views {
        /// `users` or `items`.
        entity: &'static str,
        /// The cause.
        #[source]
        source: ViewsError,
    },
    /// The bundle's workflow is none.
    #[error("{url} is not a workflow")]
    Workflow {
        /// The file.
        url: String,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// Views lack what the bundle needs, or have it as something else.
    #[error(
        "the feature views of {entity} are not what {bundle} needs: {}",
        sentences(mismatches)
    )]
    Mismatch {
        /// `users` or `items`.
        entity: &'static str,
        /// The bundle.
        bundle: String,
        /// What is wrong.
        mismatches: Vec<Mismatch>,
    },
}

fn sentences(mismatches: &[Mismatch]) -> String {
    let all: Vec<String> = mismatches.iter().map(Mismatch::to_string).collect();
    all.join("; ")
}

/// What a project of Feast has for a pipeline.
pub struct FeastProject {
    /// How keys of its entities are written.
    pub layout: KeyLayout,
    /// The views of users, if the pipeline names some.
    pub users: Option<EntityViews>,
    /// The views of items, if the pipeline names some.
    pub items: Option<EntityViews>,
}

/// Reads a pipeline's part of a registry.
pub async fn project(feast: &Feast, access: &Access) -> Result<FeastProject, FeastError> {
    let url = feast.registry.as_str();
    let not_file = || FeastError::NotFile { url: url.to_owned() };
    let (folder, file) = url.rsplit_once('/').ok_or_else(not_file)?;
    if file.is_empty() || !folder.contains("//") {
        return Err(not_file());
    }
    let store = Store::open_with(folder, access).map_err(|source| FeastError::Store {
        url: url.to_owned(),
        source,
    })?;
    let bytes = read(&store, file, url, MAX_REGISTRY_BYTES).await?;
    let wrong = |source| FeastError::Registry {
        url: url.to_owned(),
        source,
    };
    let registry = Registry::read(&bytes).map_err(wrong)?;
    let project = registry.project(&feast.project).map_err(wrong)?;
    let views = |entity, named: &Option<FeastViews>| {
        let Some(FeastViews { views }) = named else {
            return Ok(None);
        };
        let names: Vec<&str> = views.iter().map(String::as_str).collect();
        let views = project.views_of(&names, Versioning::Off);
        views
            .map(Some)
            .map_err(|source| FeastError::Views { entity, source })
    };
    Ok(FeastProject {
        users: views("users", &feast.users)?,
        items: views("items", &feast.items)?,
        layout: KeyLayout {
            version: match feast.entity_key_version {
                Some(2) => KeyVersion::V2,
                _ => KeyVersion::V3,
            },
            project: feast.project.clone(),
        },
    })
}

impl FeastProject {
    /// Refuses views that lack a column of the users or the items of a bundle, or have it as something else. `place` is the bundle's folder
    /// in the store.
    pub async fn check(&self, store: &Store, bundle: &str, place: &str) -> Result<(), FeastError> {
        if self.users.is_none() && self.items.is_none() {
            return Ok(());
        }
        let file = format!("{place}/workflow.json");
        let url = format!("{}/{file}", store.url());
        let json = read(store, &file, &url, MAX_WORKFLOW_BYTES).await?;
        let workflow: Workflow =
            serde_json::from_slice(&json).map_err(|source| FeastError::Workflow { url, source })?;
        let entities = [
            ("users", &workflow.user, &self.users),
            ("items", &workflow.item, &self.items),
        ];
        for (entity, columns, views) in entities {
            let Some(views) = views else { continue };
            compare(&columns.wanted(), views).map_err(|mismatches| FeastError::Mismatch {
                entity,
                bundle: bundle.to_owned(),
                mismatches,
            })?;
        }
        Ok(())
    }
}

async fn read(store: &Store, file: &str, url: &str, most: usize) -> Result<Vec<u8>, FeastError> {
    let wrong = |source| FeastError::File {
        url: url.to_owned(),
        source,
    };
    let found = object_store::ObjectStoreExt::get(store.objects(), &store.path(file))
        .await
        .map_err(wrong)?;
    let mut stream = found.into_stream();
    let mut bytes = Vec::new();
    while let Some(part) = stream.try_next().await.map_err(wrong)? {
        if bytes.len() + part.len() > most {
            let url = url.to_owned();
            return Err(FeastError::Large { url, most });
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}
