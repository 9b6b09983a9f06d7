//! An error with all of its causes in one line, for whoever can't ask it further: people at a terminal, clients, logs, and the
//! status of a pipeline.
//!
//! Errors of this project leave their causes to `source()`, and the chain is printed once, here. Some of other libraries print their
//! causes themselves; those are not repeated.

/// An error and all of its causes in one line. A cause that is told already, because an error shows its causes itself, is not
/// told again.
pub fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |told, cause| {
        let cause = cause.to_string();
        if told.contains(&cause) {
            told
        } else {
            format!("{told}: {cause}")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Failure {
        #[error("no recommendations")]
        Outer(#[source] Box<Failure>),
        #[error("no store: {0}")]
        Telling(#[source] Box<Failure>),
        #[error("no network")]
        Root,
    }

    #[test]
    fn every_cause_is_told_once() {
        let telling = Failure::Telling(Box::new(Failure::Root));
        assert_eq!(with_causes(&telling), "no store: no network");
        let outer = Failure::Outer(Box::new(telling));
        assert_eq!(with_causes(&outer), "no recommendations: no store: no network");
        let plain = Failure::Outer(Box::new(Failure::Root));
        assert_eq!(with_causes(&plain), "no recommendations: no network");
    }
}
