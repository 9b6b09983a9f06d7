//! The same asks over gRPC, on the same port.

use anyhow::{Context, bail, ensure};
use gondola_protocol::proto::recommender_client::RecommenderClient;
use gondola_protocol::proto::{RecommendRequest, SimilarRequest, similar_request};
use serde_json::Value;
use tonic::transport::Channel;

/// A client of the pipeline.
pub(crate) type Client = RecommenderClient<Channel>;

/// Connects.
pub(crate) async fn connect(address: &str) -> anyhow::Result<Client> {
    RecommenderClient::connect(format!("http://{address}"))
        .await
        .context("cannot connect over gRPC")
}

/// The same recommendations as over HTTP.
pub(crate) async fn recommend(
    client: &mut Client,
    user: &str,
    k: u32,
    http: &Value,
) -> anyhow::Result<String> {
    let request = RecommendRequest {
        user: user.to_owned(),
        k: Some(k),
        explain_timing: true,
    };
    let answer = client.recommend(request).await?.into_inner();
    let items: Vec<&str> = answer.items.iter().map(|item| item.item.as_str()).collect();
    ensure!(
        Some(&items) == ids(http).as_ref(),
        "gRPC gives {items:?}, HTTP {http}"
    );
    ensure!(
        http["variant"] == answer.variant,
        "gRPC asks variant {}, HTTP {http}",
        answer.variant
    );
    ensure!(
        !answer.bundles.is_empty() && !answer.timing.is_empty(),
        "no bundles or no timing: {answer:?}"
    );
    Ok(format!("{} items from variant {}", items.len(), answer.variant))
}

/// The same similar items as over HTTP.
pub(crate) async fn similar(client: &mut Client, item: &str, k: u32, http: &Value) -> anyhow::Result<String> {
    let to = Some(similar_request::To::Item(item.to_owned()));
    let answer = client
        .similar(SimilarRequest {
            to,
            k: Some(k),
            explain_timing: false,
        })
        .await?
        .into_inner();
    let items: Vec<&str> = answer.items.iter().map(|item| item.item.as_str()).collect();
    ensure!(
        Some(&items) == ids(http).as_ref(),
        "gRPC gives {items:?}, HTTP {http}"
    );
    Ok(format!("{} items", items.len()))
}

/// Wrong asks have the status of their kind.
pub(crate) async fn refused(client: &mut Client, user: &str) -> anyhow::Result<String> {
    let request = RecommendRequest {
        user: user.to_owned(),
        k: Some(0),
        explain_timing: false,
    };
    match client.recommend(request).await {
        Err(status) if status.code() == tonic::Code::InvalidArgument => Ok(status.message().to_owned()),
        other => bail!("{other:?} instead of InvalidArgument"),
    }
}

fn ids(answer: &Value) -> Option<Vec<&str>> {
    answer["items"]
        .as_array()?
        .iter()
        .map(|item| item["item"].as_str())
        .collect()
}
