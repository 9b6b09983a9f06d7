//! What keeps a pod from running, in Kubernetes' own words.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

/// Reasons of containers that are being started, which are not problems.
const STARTING: [&str; 2] = ["ContainerCreating", "PodInitializing"];
/// The kubelet's word for a container that used more memory than it may.
const OUT_OF_MEMORY: &str = "OOMKilled";
/// A pod that has a node and whose containers are still being made after so long waits for something.
const STUCK_AFTER: SignedDuration = SignedDuration::from_secs(5);

/// What keeps a pod from running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodProblem {
    /// Kubernetes' word for it, such as `Unschedulable` or `ImagePullBackOff`.
    pub reason: String,
    /// Kubernetes' sentence for it.
    pub message: String,
}

impl std::fmt::Display for PodProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.message.is_empty() {
            true => f.write_str(&self.reason),
            false => write!(f, "{}: {}", self.reason, self.message),
        }
    }
}

/// What a pod's own status says of it.
pub fn problem(pod: &Pod) -> Option<PodProblem> {
    let status = pod.status.as_ref()?;
    let unscheduled = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    if let Some(condition) = unscheduled {
        return Some(PodProblem {
            reason: condition.reason.clone().unwrap_or_default(),
            message: condition.message.clone().unwrap_or_default(),
        });
    }
    // An eviction, or a node that no longer admits it.
    if status.phase.as_deref() == Some("Failed")
        && let Some(reason) = status.reason.clone()
    {
        let message = status.message.clone().unwrap_or_default();
        return Some(PodProblem { reason, message });
    }
    let first = status.init_container_statuses.iter().flatten();
    let mut containers = first.chain(status.container_statuses.iter().flatten());
    containers.find_map(of_container)
}

fn of_container(container: &ContainerStatus) -> Option<PodProblem> {
    let terminated = |state: &Option<ContainerState>| state.as_ref()?.terminated.clone();
    let now = terminated(&container.state).filter(|ended| ended.exit_code != 0);
    let before = terminated(&container.last_state).filter(|ended| ended.exit_code != 0);
    if let Some(ended) = now {
        return Some(of_ended(container, &ended, None));
    }
    let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
    if let Some(waiting) = waiting {
        let reason = waiting.reason.clone()?;
        return match before {
            // The container's last message says more than that it is being restarted.
            Some(ended) => Some(of_ended(container, &ended, Some(reason))),
            None if STARTING.contains(&reason.as_str()) => None,
            None => Some(PodProblem {
                reason,
                message: waiting.message.clone().unwrap_or_default(),
            }),
        };
    }
    // It runs again; what ended it will end it again.
    before
        .filter(|ended| !container.ready && ended.reason.as_deref() == Some(OUT_OF_MEMORY))
        .map(|ended| of_ended(container, &ended, None))
}

fn of_ended(
    container: &ContainerStatus,
    ended: &ContainerStateTerminated,
    waits: Option<String>,
) -> PodProblem {
    let why = ended.reason.clone().unwrap_or_else(|| "Error".to_owned());
    if why == OUT_OF_MEMORY {
        let message = format!(
            "container {} used more memory than its limit allows; raise resources.limits.memory",
            container.name
        );
        return PodProblem { reason: why, message };
    }
    // The end of its log, of which the last line says why it ended.
    let said = ended
        .message
        .as_deref()
        .and_then(|message| message.trim().lines().next_back());
    let said = said.filter(|said| !said.is_empty());
    PodProblem {
        reason: waits.unwrap_or(why),
        message: said.map_or_else(
            || {
                format!(
                    "container {} ended with exit code {}",
                    container.name, ended.exit_code
                )
            },
            str::to_owned,
        ),
    }
}

/// Whether a pod has a node and is not running yet.
pub fn is_starting(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    phase == Some("Pending") && pod.metadata.deletion_timestamp.is_none()
}

/// Whether a pod waits without a reason in its status: volumes that can't be mounted appear only in events.
pub fn is_stuck_without_a_word(pod: &Pod, now: Timestamp) -> bool {
    let Some(status) = &pod.status else { return false };
    let scheduled = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "True");
    let since = scheduled.and_then(|condition| condition.last_transition_time.as_ref());
    let waits = since.is_some_and(|since| now.duration_since(since.0) >= STUCK_AFTER);
    is_starting(pod) && waits && problem(pod).is_none()
}

/// Names of the ConfigMaps that a pod's specification mounts.
pub fn mounted_configs(pod: &k8s_openapi::api::core::v1::PodSpec) -> impl Iterator<Item = &str> {
    let volumes = pod.volumes.iter().flatten();
    volumes.filter_map(|volume| Some(volume.config_map.as_ref()?.name.as_str()))
}
