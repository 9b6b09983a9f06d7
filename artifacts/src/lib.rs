//! Bundles: immutable folders of model files in object storage, published and fetched with their digests checked.
