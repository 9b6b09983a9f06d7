//! Rows of users and items, by what they count in.
//!
//! A user has one row in each [`Snapshot`](crate::features::Snapshot) and others in the examples that models are
//! fitted on, which hold rows of several snapshots. Both are small numbers, and a row of one read in the other is
//! another user without any error; so they are two types.

use std::hash::Hash;

/// A row of users or items in one of the two spaces.
pub trait Row: Copy + Ord + Hash {
    /// The row at a position, from 0.
    fn at(position: usize) -> Self;
    /// Its position, from 0.
    fn position(self) -> usize;
}

/// A row of a snapshot's users or items, as the tables of the serving code count them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SnapshotRow(pub u32);

/// A row of the users or items that examples hold, each as of the cut-off of the pairs that name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExampleRow(pub u32);

/// A user and an item, as rows of one space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pair<R> {
    /// The user's row.
    pub user: R,
    /// The item's row.
    pub item: R,
}

impl Row for SnapshotRow {
    fn at(position: usize) -> Self {
        Self(position as u32)
    }

    fn position(self) -> usize {
        self.0 as usize
    }
}

impl Row for ExampleRow {
    fn at(position: usize) -> Self {
        Self(position as u32)
    }

    fn position(self) -> usize {
        self.0 as usize
    }
}

impl<R: Row> Pair<R> {
    /// The pair of rows at two positions.
    pub fn at(user: usize, item: usize) -> Self {
        Self {
            user: R::at(user),
            item: R::at(item),
        }
    }
}
