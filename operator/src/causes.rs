//! An error and everything that led to it, in one line.

use std::error::Error;
use std::fmt;

/// Shows an error with all of its causes. An error of somebody else may show its cause itself, after a colon: that cause is not shown
/// a second time.
#[derive(Clone, Copy, Debug)]
pub struct Causes<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = self.0.to_string();
        f.write_str(&last)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            if last != text && !last.contains(&format!(": {text}")) {
                write!(f, ": {text}")?;
                last = text;
            }
            source = cause.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Failure {
        #[error("retried 5 times")]
        Outer(#[source] Box<Failure>),
        #[error("service error: {0} (see the log)")]
        ShowsItsCause(#[source] Box<Failure>),
        #[error(transparent)]
        Transparent(Box<Failure>),
        #[error("5")]
        Code(#[source] Box<Failure>),
        #[error("no network")]
        Root,
    }

    #[test]
    fn every_cause_is_shown_once() {
        use Failure::{Code, Outer, Root, ShowsItsCause, Transparent};
        let check = |error: Failure, expected: &str| assert_eq!(Causes(&error).to_string(), expected);
        check(Root, "no network");
        check(
            Outer(Box::new(Code(Box::new(Root)))),
            "retried 5 times: 5: no network",
        );
        check(
            ShowsItsCause(Box::new(Code(Box::new(Root)))),
            "service error: 5 (see the log): no network",
        );
        check(
            Transparent(Box::new(Outer(Box::new(Root)))),
            "retried 5 times: no network",
        );
    }
}
