//! Memory for what requests read at random: tables of tens of megabytes.
//!
//! A read of such a table misses the processor's cache of page addresses nearly always, and on a virtual machine looking
//! an address up costs more than the read itself. Pages of 2 MiB make the whole table fit into that cache. They are
//! requested, not relied on: a kernel that has none to give, or is configured not to, gives small ones.

/// An empty vector with room for `capacity` values, on huge pages where the system has them.
pub(crate) fn on_huge_pages<T>(capacity: usize) -> Vec<T> {
    let vector = Vec::with_capacity(capacity);
    #[cfg(target_os = "linux")]
    advise(vector.as_ptr() as usize, capacity * size_of::<T>());
    vector
}

/// `count` zeros, on huge pages where the system has them.
pub(crate) fn zeros_on_huge_pages(count: usize) -> Vec<f32> {
    let mut zeros = on_huge_pages(count);
    zeros.resize(count, 0.0);
    zeros
}

/// Asks for huge pages where whole ones fit in. A refusal changes nothing but speed.
#[cfg(target_os = "linux")]
fn advise(start: usize, bytes: usize) {
    const HUGE: usize = 2 << 20;
    let (first, end) = (start.next_multiple_of(HUGE), (start + bytes) / HUGE * HUGE);
    if first < end {
        // SAFETY: the range is inside an allocation of ours, and this advice does not change what it holds.
        unsafe { libc::madvise(first as *mut libc::c_void, end - first, libc::MADV_HUGEPAGE) };
    }
}

/// Gives memory back to the system that was freed while models were loaded: glibc keeps it for the thread that freed it, and loading has
/// several.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes no pointer, and works on glibc's own lists under their locks.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_every_size_hold_what_is_put_into_them() {
        for count in [0, 1, 1000, 3 << 20] {
            let zeros = zeros_on_huge_pages(count);
            assert!(zeros.len() == count && zeros.iter().all(|zero| *zero == 0.0));
            let mut numbers = on_huge_pages(count);
            numbers.extend(0..count);
            assert!(numbers.iter().copied().eq(0..count));
        }
    }
}
