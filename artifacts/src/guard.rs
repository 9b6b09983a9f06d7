//! Libraries that panic over damaged files.
//!
//! The Parquet reader indexes by numbers that it finds in the file. Such a panic is an error of the file, and nothing that it was
//! about is used again.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    /// Whether this thread is in [`guarded`], where a panic becomes an error.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Does something with a file; gives what a panic said.
pub fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !GUARDED.get() {
                usual(panic);
            }
        }));
    });
    GUARDED.set(true);
    let outcome = panic::catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(false);
    outcome.map_err(|panic| said(panic.as_ref()))
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "its numbers contradict each other".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_what_it_said_and_the_next_one_is_a_panic_again() {
        assert_eq!(guarded(|| 5), Ok(5));
        assert_eq!(
            guarded(|| panic!("no row {}", 7)),
            Err::<(), _>("no row 7".to_owned())
        );
        assert!(!GUARDED.get());
        assert!(panic::catch_unwind(|| panic!("outside")).is_err());
    }
}
