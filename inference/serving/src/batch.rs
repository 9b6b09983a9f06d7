//! Recommendations for everybody, ahead of time: what each user would be answered, as Parquet in a folder.
//!
//! ```text
//! <folder>/batch.json                           what is made: variant, bundles, users, shards; written first, once
//! <folder>/lists/buckets-0000-0099.parquet      the lists of the users in those of the router's buckets
//! <folder>/shards/0-of-8.json                   the files of a shard; written when all of them are there
//! <folder>/manifest.json                        the files of all shards; written last
//! ```
//!
//! A way through: [`shard`] says how a batch is split, [`audience`] who is in it, [`plan`] what it is made of; [`lists`] asks
//! the variant, [`table`] and [`folder`] write, and [`submission`] makes the file of a competition of a whole batch.
//!
//! Promises: lists are those that the variant answers, by the same code; the same plan gives the same bytes, whatever the
//! number of threads; every object is written whole or not at all, and without `manifest.json` there is no batch.
//!
//! Absent on purpose: which users an experiment's arms have. A batch has lists of one variant for all of its users.

pub mod audience;
pub mod folder;
pub mod lists;
pub mod plan;
pub mod shard;
pub mod submission;
pub mod table;
