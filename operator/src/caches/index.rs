//! Objects of one kind by the pipeline that they belong to, so that a pass costs what its own pipeline has, however many others
//! there are.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};
use tokio::sync::watch;

use super::{Key, pipeline_of};
use crate::kinds::ByName;

/// The objects of one kind that carry our label.
#[derive(Debug)]
pub struct Index<K>(Arc<Shared<K>>);

impl<K> Clone for Index<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct Shared<K> {
    objects: RwLock<Objects<K>>,
    /// A list that arrives in pieces: until it is complete, the old one is valid.
    coming: RwLock<Option<Objects<K>>>,
    filled: watch::Sender<bool>,
}

/// By pipeline, and where each object was seen last.
#[derive(Debug)]
struct Objects<K> {
    of: HashMap<Key, ByName<K>>,
    places: HashMap<(String, String), Key>,
}

impl<K> Default for Objects<K> {
    fn default() -> Self {
        Self {
            of: HashMap::new(),
            places: HashMap::new(),
        }
    }
}

impl<K: Resource + Clone> Objects<K> {
    fn put(&mut self, object: &K) {
        self.take(object);
        let Some(key) = pipeline_of(object) else { return };
        self.places.insert(place(object), key.clone());
        let of = self.of.entry(key).or_default();
        of.insert(object.name_any(), Arc::new(object.clone()));
    }

    /// Its label may have named another pipeline before.
    fn take(&mut self, object: &K) {
        let Some(key) = self.places.remove(&place(object)) else {
            return;
        };
        if let Some(objects) = self.of.get_mut(&key) {
            objects.remove(&object.name_any());
            if objects.is_empty() {
                self.of.remove(&key);
            }
        }
    }

    fn place_of(&self, object: &K) -> Option<Key> {
        self.places.get(&place(object)).cloned()
    }
}

fn place<K: ResourceExt>(object: &K) -> (String, String) {
    (object.namespace().unwrap_or_default(), object.name_any())
}

impl<K> Default for Index<K> {
    fn default() -> Self {
        Self(Arc::new(Shared {
            objects: RwLock::default(),
            coming: RwLock::default(),
            filled: watch::Sender::new(false),
        }))
    }
}

impl<K: Resource + Clone> Index<K> {
    /// Applies an event of a watch, and returns the pipelines that it concerns.
    pub fn note(&self, event: &Event<K>) -> HashSet<Key> {
        let Shared {
            objects,
            coming,
            filled,
        } = self.0.as_ref();
        let mut objects = objects.write().unwrap_or_else(PoisonError::into_inner);
        let mut coming = coming.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Init => {
                *coming = Some(Objects::default());
                HashSet::new()
            }
            Event::InitApply(object) => {
                coming.get_or_insert_default().put(object);
                HashSet::new()
            }
            Event::InitDone => {
                let old = std::mem::replace(&mut *objects, coming.take().unwrap_or_default());
                filled.send_replace(true);
                old.of.into_keys().chain(objects.of.keys().cloned()).collect()
            }
            Event::Apply(object) => {
                let before = objects.place_of(object);
                objects.put(object);
                before.into_iter().chain(objects.place_of(object)).collect()
            }
            Event::Delete(object) => {
                let before = objects.place_of(object);
                objects.take(object);
                before.into_iter().collect()
            }
        }
    }

    /// Objects with a pipeline's label. Labels can be written by anyone: check the owner before changing an object.
    pub fn owned_by(&self, pipeline: &Key) -> ByName<K> {
        let objects = self.0.objects.read().unwrap_or_else(PoisonError::into_inner);
        objects.of.get(pipeline).cloned().unwrap_or_default()
    }

    /// Whether it was filled once: before that, a missing object means nothing.
    pub fn filled(&self) -> watch::Receiver<bool> {
        self.0.filled.subscribe()
    }
}

/// The key of a pipeline.
pub fn key(namespace: &str, name: &str) -> Key {
    ObjectRef::new(name).within(namespace)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::api::ObjectMeta;

    use super::*;
    use crate::names::PIPELINE;

    fn config(name: &str, pipeline: &str) -> ConfigMap {
        ConfigMap {
            metadata: ObjectMeta {
                name: Some(name.into()),
                namespace: Some("shop".into()),
                labels: Some([(PIPELINE.to_owned(), pipeline.to_owned())].into()),
                ..ObjectMeta::default()
            },
            ..ConfigMap::default()
        }
    }

    fn names(index: &Index<ConfigMap>, pipeline: &str) -> Vec<String> {
        index.owned_by(&key("shop", pipeline)).into_keys().collect()
    }

    #[test]
    fn an_object_is_found_at_its_pipeline_alone_also_after_its_label_changed() {
        let index = Index::default();
        index.note(&Event::Apply(config("a", "one")));
        assert_eq!(names(&index, "one"), ["a"]);
        let touched = index.note(&Event::Apply(config("a", "two")));
        assert_eq!(touched.len(), 2, "both pipelines look again");
        assert!(names(&index, "one").is_empty());
        assert_eq!(names(&index, "two"), ["a"]);
        index.note(&Event::Delete(config("a", "two")));
        assert!(names(&index, "two").is_empty());
    }

    #[test]
    fn a_new_list_takes_the_place_of_the_old_when_it_is_whole() {
        let index = Index::default();
        index.note(&Event::Apply(config("old", "one")));
        index.note(&Event::Init);
        index.note(&Event::InitApply(config("new", "two")));
        assert_eq!(names(&index, "one"), ["old"]);
        let touched = index.note(&Event::InitDone);
        assert_eq!(touched.len(), 2);
        assert!(names(&index, "one").is_empty());
        assert_eq!(names(&index, "two"), ["new"]);
    }
}
