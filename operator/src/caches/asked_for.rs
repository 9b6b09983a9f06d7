//! Which events of the pipelines' watch bring something new: the operator's own writes to a status do not.

use std::collections::{BTreeMap, HashMap, HashSet};

use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};

use super::{Guarded, Key};

/// The state in which each pipeline was last seen.
#[derive(Default)]
pub(super) struct AskedFor {
    seen: HashMap<Key, Form>,
    /// A list that arrives in pieces: the cache has it once it is complete.
    coming: Coming,
}

#[derive(Default)]
struct Coming {
    /// All pipelines of the event.
    listed: HashSet<Key>,
    /// Those pipelines that it changes beyond their statuses.
    new: Vec<Key>,
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
    /// The pipelines that an event changes beyond their statuses, and that the cache already has.
    pub(super) fn changed(&mut self, event: &Event<Guarded>) -> Vec<Key> {
        match event {
            Event::Init => {
                self.coming = Coming::default();
                Vec::new()
            }
            Event::InitApply(pipeline) => {
                let new = self.is_new(pipeline);
                self.coming.new.extend(new);
                self.coming.listed.insert(ObjectRef::from_obj(pipeline));
                Vec::new()
            }
            Event::InitDone => {
                let Coming { listed, mut new } = std::mem::take(&mut self.coming);
                // Those that were deleted while the watch was down.
                new.extend(
                    self.seen
                        .extract_if(|key, _| !listed.contains(key))
                        .map(|(key, _)| key),
                );
                new
            }
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

#[cfg(test)]
mod tests {
    use kube::core::DeserializeGuard;

    use super::*;

    fn pipeline(name: &str) -> Guarded {
        let mut pipeline = crate::fixtures::pipeline();
        pipeline.metadata.name = Some(name.to_owned());
        DeserializeGuard(Ok(pipeline))
    }

    #[test]
    fn a_new_list_brings_what_is_new_and_what_is_gone() {
        let mut asked_for = AskedFor::default();
        let mut listed = |names: &[&str]| {
            asked_for.changed(&Event::Init);
            for name in names {
                asked_for.changed(&Event::InitApply(pipeline(name)));
            }
            let mut changed: Vec<String> = asked_for
                .changed(&Event::InitDone)
                .into_iter()
                .map(|key| key.name)
                .collect();
            changed.sort();
            changed
        };
        assert_eq!(listed(&["one", "two"]), ["one", "two"]);
        assert_eq!(listed(&["one", "two"]), [""; 0]);
        assert_eq!(listed(&["two", "three"]), ["one", "three"]);
        assert_eq!(listed(&["one", "two", "three"]), ["one"]);
    }
}
