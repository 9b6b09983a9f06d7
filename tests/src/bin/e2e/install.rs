//! The chart, as an administrator installs it.

use crate::Arguments;
use crate::kubectl::run;

/// Where the operator lives.
pub(crate) const NAMESPACE: &str = "gondola-system";

/// Installs the chart with the images of this working copy.
pub(crate) async fn chart(arguments: &Arguments) -> anyhow::Result<String> {
    let tag =
        |image: &str| format!("image.{image}.repository=localhost/gondola-{image},image.{image}.tag=test");
    let values = [
        tag("operator"),
        tag("inference"),
        "resources.requests.cpu=10m".into(),
    ]
    .join(",");
    let arguments_of_helm = [
        "install",
        "gondola",
        "charts/gondola",
        "--namespace",
        NAMESPACE,
        "--create-namespace",
        "--set",
        &values,
    ];
    run(&arguments.helm, &arguments_of_helm, "").await?;
    Ok("installed".into())
}
