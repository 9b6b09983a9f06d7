//! The Kubernetes API of Gondola: the types of `RecommenderPipeline` and the YAML generated from them.
