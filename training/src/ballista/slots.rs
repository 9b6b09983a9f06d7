//! The slots of executors, counted so that none is lost.
//!
//! When an executor is lost, Ballista 55 rolls stages back whose tasks still run on others, and then finds no task to give slots back for
//! when these end. An executor of one slot gets no work any more, and a query whose executors are all in that state never ends. So what
//! is taken of each executor is counted here too: an executor on which no stage has a task has all of its slots, and none gets back more
//! than was taken.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use ballista_core::JobId;
use ballista_core::error::Result;
use ballista_core::serde::protobuf::ExecutorHeartbeat;
use ballista_core::serde::scheduler::{ExecutorData, ExecutorMetadata};
use ballista_scheduler::cluster::memory::InMemoryClusterState;
use ballista_scheduler::cluster::{BoundTask, ClusterState, ClusterStateEventStream, ExecutorSlot};
use ballista_scheduler::config::TaskDistributionPolicy;
use ballista_scheduler::state::task_manager::JobInfoCache;
use tokio::sync::Mutex;

/// The state of a cluster, whose slots are counted.
#[derive(Default)]
pub(super) struct CountedSlots {
    state: InMemoryClusterState,
    /// How many slots of each executor are taken.
    taken: Mutex<HashMap<String, u32>>,
}

impl CountedSlots {
    /// Gives back the slots of executors on which no stage of a job has a task.
    async fn give_back(&self, jobs: &HashMap<JobId, JobInfoCache>) -> Result<()> {
        let mut busy = HashSet::new();
        for job in jobs.values() {
            let tasks = job.execution_graph.read().await.running_tasks();
            busy.extend(tasks.into_iter().map(|task| task.executor_id));
        }
        let mut taken = self.taken.lock().await;
        let lost = taken
            .iter_mut()
            .filter(|(executor, count)| **count > 0 && !busy.contains(*executor));
        let lost: Vec<ExecutorSlot> = lost
            .map(|(executor, count)| (executor.clone(), std::mem::take(count)))
            .collect();
        for (executor, count) in &lost {
            tracing::warn!(%executor, count, "slots of tasks that were rolled back are free again");
        }
        self.state.unbind_tasks(lost).await
    }
}

#[async_trait]
impl ClusterState for CountedSlots {
    async fn bind_schedulable_tasks(
        &self,
        distribution: TaskDistributionPolicy,
        active_jobs: Arc<HashMap<JobId, JobInfoCache>>,
        executors: Option<HashSet<String>>,
    ) -> Result<Vec<BoundTask>> {
        self.give_back(&active_jobs).await?;
        let bound = self
            .state
            .bind_schedulable_tasks(distribution, active_jobs, executors)
            .await?;
        let mut taken = self.taken.lock().await;
        for (executor, task) in &bound {
            *taken.entry(executor.clone()).or_default() += task.vcores_consumed;
        }
        Ok(bound)
    }

    async fn unbind_tasks(&self, executor_slots: Vec<ExecutorSlot>) -> Result<()> {
        let mut taken = self.taken.lock().await;
        let given = executor_slots.into_iter().map(|(executor, count)| {
            let left = taken.get_mut(&executor);
            let count = left.map_or(0, |left| {
                let given = count.min(*left);
                *left -= given;
                given
            });
            (executor, count)
        });
        self.state.unbind_tasks(given.collect()).await
    }

    async fn register_executor(&self, metadata: ExecutorMetadata, spec: ExecutorData) -> Result<()> {
        self.state.register_executor(metadata, spec).await
    }

    async fn save_executor_metadata(&self, metadata: ExecutorMetadata) -> Result<()> {
        self.state.save_executor_metadata(metadata).await
    }

    async fn get_executor_metadata(&self, executor_id: &str) -> Result<ExecutorMetadata> {
        self.state.get_executor_metadata(executor_id).await
    }

    async fn registered_executor_metadata(&self) -> Vec<ExecutorMetadata> {
        self.state.registered_executor_metadata().await
    }

    async fn save_executor_heartbeat(&self, heartbeat: ExecutorHeartbeat) -> Result<()> {
        self.state.save_executor_heartbeat(heartbeat).await
    }

    async fn remove_executor(&self, executor_id: &str) -> Result<()> {
        self.taken.lock().await.remove(executor_id);
        self.state.remove_executor(executor_id).await
    }

    fn executor_heartbeats(&self) -> HashMap<String, ExecutorHeartbeat> {
        self.state.executor_heartbeats()
    }

    fn get_executor_heartbeat(&self, executor_id: &str) -> Option<ExecutorHeartbeat> {
        self.state.get_executor_heartbeat(executor_id)
    }

    async fn cluster_state_events(&self) -> Result<ClusterStateEventStream> {
        self.state.cluster_state_events().await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex as Seen;

    use ballista_core::serde::protobuf::AvailableVcores;
    use ballista_core::serde::scheduler::{ExecutorOperatingSystemSpecification, ExecutorSpecification};
    use ballista_scheduler::cluster::DistributionPolicy;

    use super::*;

    /// Binds nothing, and notes how many slots are free.
    #[derive(Debug, Default)]
    struct Look(Seen<Vec<u32>>);

    #[async_trait]
    impl DistributionPolicy for Look {
        async fn bind_tasks(
            &self,
            budgets: Vec<&mut AvailableVcores>,
            _: Arc<HashMap<JobId, JobInfoCache>>,
        ) -> datafusion::error::Result<Vec<BoundTask>> {
            *self.0.lock().unwrap() = budgets.iter().map(|budget| budget.vcores).collect();
            Ok(Vec::new())
        }

        fn name(&self) -> &'static str {
            "look"
        }
    }

    async fn free(slots: &CountedSlots) -> Vec<u32> {
        let look = Arc::new(Look::default());
        let policy = TaskDistributionPolicy::Custom(look.clone());
        slots
            .bind_schedulable_tasks(policy, Arc::default(), None)
            .await
            .unwrap();
        look.0.lock().unwrap().clone()
    }

    /// An executor of three slots, two of which are taken.
    async fn executor() -> CountedSlots {
        let slots = CountedSlots::default();
        let metadata = ExecutorMetadata {
            id: "one".to_owned(),
            host: "localhost".to_owned(),
            port: 1,
            grpc_port: 2,
            specification: ExecutorSpecification { vcores: 3 },
            os_info: ExecutorOperatingSystemSpecification::default(),
        };
        let data = ExecutorData {
            executor_id: "one".to_owned(),
            total_vcores: 3,
            available_vcores: 1,
        };
        slots.register_executor(metadata, data).await.unwrap();
        slots.taken.lock().await.insert("one".to_owned(), 2);
        slots
    }

    #[tokio::test]
    async fn slots_of_tasks_that_no_stage_has_any_more_are_free_again() {
        let slots = executor().await;
        assert_eq!(free(&slots).await, [3]);
        assert_eq!(free(&slots).await, [3], "once");
    }

    #[tokio::test]
    async fn nobody_gets_back_more_than_was_taken() {
        let slots = executor().await;
        slots.unbind_tasks(vec![("one".to_owned(), 1)]).await.unwrap();
        assert_eq!(free(&slots).await, [3]);
        slots.unbind_tasks(vec![("one".to_owned(), 1)]).await.unwrap();
        assert_eq!(free(&slots).await, [3]);
    }
}
