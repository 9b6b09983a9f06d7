//! Which bundles digests are of: the way back from an answer, which names digests alone.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, TryStreamExt as _};

use crate::digest::Digest;
use crate::manifest;
use crate::reference::{Reference, Target};
use crate::store::{Store, StoreError};

/// How many manifests are read at once.
const AT_ONCE: usize = 8;

/// Looks for the versions, of any bundle of a store, whose manifests have these digests. One that is not there has no reference.
pub async fn locate(
    store: &Store,
    digests: &BTreeSet<Digest>,
) -> Result<BTreeMap<Digest, Reference>, StoreError> {
    let mut located = BTreeMap::new();
    for name in store.bundles().await? {
        if located.len() == digests.len() {
            break;
        }
        // A folder that is no bundle has no name that a bundle could have.
        let versions = store.versions(&name).await?.into_iter();
        let references = versions.filter_map(|version| Reference::version(&name, &version).ok());
        let read = futures::stream::iter(references)
            .map(async |reference| digest_of(store, reference).await)
            .buffered(AT_ONCE);
        let found: Vec<_> = read.try_collect().await?;
        let found = found.into_iter().flatten();
        located.extend(found.filter(|(digest, _)| digests.contains(digest)));
    }
    Ok(located)
}

async fn digest_of(store: &Store, reference: Reference) -> Result<Option<(Digest, Reference)>, StoreError> {
    let Target::Version(version) = reference.target() else {
        return Ok(None);
    };
    let path = store.manifest(reference.name(), version);
    let read = store.read(&path, manifest::MAX_BYTES).await?;
    Ok(read.map(|(bytes, _)| (Digest::of(&bytes), reference)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;
    use crate::testing::{publish_files, stores};

    #[tokio::test]
    async fn a_digest_leads_back_to_its_version_whatever_its_bundle_is_called() {
        for (store, _folder) in stores() {
            let mut published = Vec::new();
            for (name, content) in [("dlrm", "old"), ("dlrm", "new"), ("forest", "trees")] {
                let files = [("scorer.json", content.as_bytes())];
                published.push((name, publish_files(&store, name, Kind::Scorer, &files).await));
            }
            let nowhere = Digest::of(b"nowhere");
            let digests = published.iter().map(|(_, published)| published.digest);
            let located = locate(&store, &digests.chain([nowhere]).collect()).await.unwrap();
            assert_eq!(located.len(), 3);
            for (name, published) in &published {
                let reference = Reference::version(name, &published.version).unwrap();
                assert_eq!(located[&published.digest], reference);
            }
        }
    }
}
