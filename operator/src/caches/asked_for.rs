//! Which events of the pipelines' watch bring something new: what the operator itself writes into a status does not.

use std::collections::{BTreeMap, HashMap};

use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};

use super::{Guarded, Key};

/// In which form each pipeline was seen last.
#[derive(Default)]
pub(super) struct AskedFor {
    seen: HashMap<Key, Form>,
    /// Of a list that comes in piece by piece: the cache has it when it is whole.
    coming: Vec<Key>,
}

#[derive(PartialEq)]
struct Form {
    uid: Option<String>,
    generation: Option<i64>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    going: bool,
}

impl AskedFor {
    /// The pipelines that an event brings something new about, beside their statuses, and that the cache has by now.
    pub(super) fn changed(&mut self, event: &Event<Guarded>) -> Vec<Key> {
        match event {
            Event::Init => {
                self.coming.clear();
                Vec::new()
            }
            Event::InitApply(pipeline) => {
                let new = self.is_new(pipeline);
                self.coming.extend(new);
                Vec::new()
            }
            Event::InitDone => std::mem::take(&mut self.coming),
            Event::Apply(pipeline) => self.is_new(pipeline).into_iter().collect(),
            Event::Delete(pipeline) => {
                let key = ObjectRef::from_obj(pipeline);
                self.seen.remove(&key);
                vec![key]
            }
        }
    }

    fn is_new(&mut self, pipeline: &Guarded) -> Option<Key> {
        let key = ObjectRef::from_obj(pipeline);
        let form = Form {
            uid: pipeline.uid(),
            generation: pipeline.meta().generation,
            labels: pipeline.labels().clone(),
            annotations: pipeline.annotations().clone(),
            going: pipeline.meta().deletion_timestamp.is_some(),
        };
        if self.seen.get(&key) == Some(&form) {
            return None;
        }
        self.seen.insert(key.clone(), form);
        Some(key)
    }
}
