//! What the two kinds that ask for runs have in common.

use std::collections::BTreeMap;

use gondola_crds::runs::{Runs, RunsStatus};
use gondola_crds::spec::PodOverrides;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PodSpec, ServiceAccount};
use kube::api::Api;
use kube::{Client, ResourceExt as _};

use super::names::RunNames;
use super::observed::Observed;
use crate::finding::Finding;
use crate::kinds::Kind;
use crate::names::ALLOW_USE;
use crate::plan::Installation;

/// A kind that asks for runs.
pub trait RunKind: Kind {
    /// What its runs depend on beside its spec.
    type Inputs: Send + Sync;

    /// When its pods run.
    fn runs(&self) -> &Runs;

    /// What was reported last.
    fn status(&self) -> Option<&RunsStatus>;

    /// Where its runs write, for its status.
    fn output(&self) -> Option<&str>;

    /// Looks at what its runs depend on.
    fn look(
        &self,
        client: &Client,
        namespace: &str,
    ) -> impl Future<Output = Result<Self::Inputs, kube::Error>> + Send;

    /// The Jobs of a run that begins now, or why none can begin.
    fn parts(
        &self,
        names: &RunNames,
        inputs: &Self::Inputs,
        installation: &Installation,
    ) -> Result<Vec<Part>, Finding>;

    /// Jobs that run beside those of a run, for as long as these go on.
    fn beside(&self, names: &RunNames, observed: &Observed, installation: &Installation) -> Vec<Job> {
        let _ = (names, observed, installation);
        Vec::new()
    }
}

/// One of the Jobs that make a run together.
#[derive(Clone, Debug)]
pub struct Part {
    /// What distinguishes it from the others: the name of its variant, if there may be several.
    pub own: String,
    /// Texts that its pods read, as files of [`FILES_FOLDER`](super::job::FILES_FOLDER).
    pub files: BTreeMap<String, String>,
    /// Its pods, without the volume of these files.
    pub pod: PodSpec,
    /// What the spec adds to its pods.
    pub overrides: PodOverrides,
    /// How the work is divided.
    pub work: Work,
}

/// How the work of a Job is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Among pods with indexes.
    Shards {
        /// How many there are.
        shards: i32,
        /// How many of them run at once.
        parallelism: i32,
    },
    /// Not at all.
    Whole,
}

/// Whether pods of ours may run as a service account: its owner says so with a label.
pub async fn allows_use(
    client: &Client,
    namespace: &str,
    account: Option<&str>,
) -> Result<bool, kube::Error> {
    let Some(account) = account else {
        return Ok(true);
    };
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let account = api.get_opt(account).await?;
    Ok(account.is_some_and(|account| {
        account
            .labels()
            .get(ALLOW_USE)
            .is_some_and(|value| value == "true")
    }))
}
