//! The next tree, brought near while rows walk through one.
//!
//! A forest is larger than the caches that are a core's own, and on a shared machine others take what is not used for a while. A step that
//! waits for memory takes a hundred times as long as one that doesn't; asked for in time, a whole tree comes in the background.

use super::Trees;

/// Bytes that come into a cache together.
const BYTES: usize = 64;

/// A line of memory.
#[derive(Clone, Copy)]
pub(super) struct Line(*const i8);

impl Line {
    fn of<T>(value: &T) -> Self {
        Self(std::ptr::from_ref(value).cast())
    }

    /// Asks for it, where the processor can be told to, and waits for nothing.
    #[inline(always)]
    pub(super) fn fetch(self) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a hint, which reads nothing.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(self.0);
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = self.0;
    }
}

impl Trees {
    /// The memory of a tree; none past the last.
    pub(super) fn lines(&self, tree: usize) -> impl Iterator<Item = Line> {
        let end = |next: Option<usize>, all: usize| next.unwrap_or(all);
        let (this, next) = (self.spans.get(tree), self.spans.get(tree + 1));
        let (nodes, leaves) = this.map_or((0..0, 0..0), |this| {
            (
                this.nodes..end(next.map(|next| next.nodes), self.nodes.len()),
                this.leaves..end(next.map(|next| next.leaves), self.leaves.len()),
            )
        });
        let nodes = self.nodes[nodes].iter().step_by(BYTES / size_of::<u64>());
        let leaves = self.leaves[leaves].iter().step_by(BYTES / size_of::<f64>());
        nodes.map(Line::of).chain(leaves.map(Line::of))
    }
}
