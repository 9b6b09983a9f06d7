//! The lists of a part's users, on all cores.
//!
//! Threads take chunks of users in turn, and what they make is put in the order of the users again: neither the number of
//! threads nor their speed can be seen in the lists.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use gondola_models::pipeline::{Answer, Degradation, Recommendation, RequestError, Variant};
use gondola_request::UserId;

use super::audience::Member;

/// Users that a thread takes at a time.
const CHUNK: usize = 128;

/// What one user is recommended.
#[derive(Clone, Debug, PartialEq)]
pub struct List {
    /// The bucket that the router finds them in.
    pub bucket: u16,
    /// Who they are.
    pub user: UserId,
    /// The items, best first.
    pub items: Vec<Recommendation>,
    /// Why the list is less than it could be.
    pub degraded: Vec<Degradation>,
}

/// Why there are no lists.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The variant refuses such requests.
    #[error(transparent)]
    Refused(#[from] RequestError),
    /// A stage failed. A request would be answered with what is left; a batch is better not written.
    #[error(
        "the {} of user {user} failed, and a batch has no lists without it; the log says why", reason.as_str()
    )]
    Failed {
        /// The user.
        user: UserId,
        /// What failed.
        reason: Degradation,
    },
}

/// The lists of `members`, in their order.
pub fn lists(
    variant: &Variant,
    members: &[Member],
    k: usize,
    threads: NonZeroUsize,
) -> Result<Vec<List>, ListError> {
    let chunks: Vec<&[Member]> = members.chunks(CHUNK).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut made = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(chunk) = chunks.get(number) else {
                return Ok(made);
            };
            made.push((number, chunk_lists(variant, chunk, k)?));
        }
    };
    let made: Result<Vec<_>, ListError> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.get()).map(|_| scope.spawn(work)).collect();
        let made = workers.into_iter().map(|worker| {
            worker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        made.collect()
    });
    let mut made: Vec<(usize, Vec<List>)> = made?.into_iter().flatten().collect();
    made.sort_unstable_by_key(|(number, _)| *number);
    Ok(made.into_iter().flat_map(|(_, lists)| lists).collect())
}

fn chunk_lists(variant: &Variant, members: &[Member], k: usize) -> Result<Vec<List>, ListError> {
    let table = variant.users().table();
    let users: Vec<UserId> = members.iter().map(|member| table.id(member.row).into()).collect();
    let answers = variant.recommend_all(&users, Some(k))?;
    let answered = members.iter().zip(users).zip(answers);
    answered
        .map(|((member, user), answer)| list(member.bucket, user, answer))
        .collect()
}

fn list(bucket: u16, user: UserId, answer: Answer) -> Result<List, ListError> {
    let Answer { items, degraded, .. } = answer;
    let failed = |reason: &&Degradation| matches!(reason, Degradation::Retrieval | Degradation::Scoring);
    if let Some(reason) = degraded.iter().find(failed) {
        return Err(ListError::Failed {
            user,
            reason: *reason,
        });
    }
    Ok(List {
        bucket,
        user,
        items,
        degraded,
    })
}
