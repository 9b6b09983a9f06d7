//! Bundles in stores that other programs serve: an S3-compatible one and Azure's.

#![expect(clippy::unwrap_used, reason = "what is wrong ends a test")]

mod azure_server;
mod s3_server;
mod server;

use azure_server::Azure;
use gondola_artifacts::{
    BundleDescription, Cache, Contract, Digest, Kind, Reference, Store, publish, resolve, set_channel,
};
use s3_server::{S3, credentials};

#[tokio::test]
async fn a_bundle_goes_through_s3_and_comes_back_whole() {
    let Some(s3) = S3::start() else {
        return;
    };
    let credentials = credentials();
    let store = Store::open_with("s3://models/grocery", &s3.access(credentials.path())).unwrap();
    goes_through(&store).await;
}

#[tokio::test]
async fn a_bundle_goes_through_azure_and_comes_back_whole() {
    let Some(azure) = Azure::start() else {
        return;
    };
    let store = Store::open_with("az://models/grocery", &azure.access()).unwrap();
    goes_through(&store).await;
}

/// Publishes two versions, moves a channel, and fetches what it leads to.
async fn goes_through(store: &Store) {
    let folder = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..3_000_000u32).map(|byte| byte as u8).collect();
    std::fs::write(folder.path().join("users.parquet"), &content).unwrap();
    let description = BundleDescription {
        name: "features".into(),
        kind: Kind::Features,
        contract: Contract {
            workflow: Some(Digest::of(b"workflow")),
            ..Contract::default()
        },
    };
    let reference: Reference = "features@stable".parse().unwrap();
    let first = publish(store, folder.path(), &description).await.unwrap();
    set_channel(store, "features", "stable", &first.version)
        .await
        .unwrap();
    // The channel moves: in an object store that is a put on condition.
    std::fs::write(folder.path().join("users.parquet"), &content[1..]).unwrap();
    let second = publish(store, folder.path(), &description).await.unwrap();
    set_channel(store, "features", "stable", &second.version)
        .await
        .unwrap();

    let resolved = resolve(store, &reference).await.unwrap();
    assert_eq!(resolved.version, second.version);
    let cache_folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(cache_folder.path()).unwrap();
    let bundle = cache.fetch(store, &resolved, &|_| {}).await.unwrap();
    assert_eq!(
        std::fs::read(bundle.path.join("users.parquet")).unwrap(),
        content[1..]
    );
    let kept = cache
        .find(resolved.digest)
        .await
        .expect("it is here, and no store is asked");
    assert_eq!(kept.path, bundle.path);
}

#[tokio::test]
async fn a_store_that_is_not_there_is_an_error_and_no_panic() {
    let Some(s3) = S3::start() else {
        return;
    };
    let credentials = credentials();
    let access = s3.access(credentials.path());
    let elsewhere = Store::open_with("s3://no-such-bucket/grocery", &access).unwrap();
    let reference: Reference = "features@stable".parse().unwrap();
    let error = resolve(&elsewhere, &reference).await.unwrap_err();
    assert!(error.to_string().contains("features@stable"), "{error}");
}
