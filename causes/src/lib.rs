//! An error with all of its causes in one line, for whoever can't ask it further: people at a terminal, clients, logs, and the
//! status of a pipeline.
//!
//! Errors of this project leave their causes to `source()`, and the chain is printed once, here. Some of other libraries print their
//! causes themselves; those are not repeated.

/// An error and all of its causes in one line. An error of somebody else may show its cause itself, after a colon or at its end: that
/// cause is not shown a second time.
pub fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut last = line.clone();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !last.ends_with(&text) && !last.contains(&format!(": {text}")) {
            line = format!("{line}: {text}");
            last = text;
        }
        source = cause.source();
    }
    line
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
        #[error("retried 5 times")]
        Retried(#[source] Box<Failure>),
        #[error("5")]
        Code(#[source] Box<Failure>),
        #[error(transparent)]
        Transparent(Box<Failure>),
        #[error("no network")]
        Root,
    }

    #[test]
    fn every_cause_is_printed_once() {
        let telling = Failure::Telling(Box::new(Failure::Root));
        assert_eq!(with_causes(&telling), "no store: no network");
        let outer = Failure::Outer(Box::new(telling));
        assert_eq!(with_causes(&outer), "no recommendations: no store: no network");
        let code = Failure::Code(Box::new(Failure::Root));
        let retried = Failure::Retried(Box::new(code));
        assert_eq!(with_causes(&retried), "retried 5 times: 5: no network");
        let transparent = Failure::Transparent(Box::new(retried));
        assert_eq!(with_causes(&transparent), "retried 5 times: 5: no network");
        let plain = Failure::Outer(Box::new(Failure::Root));
        assert_eq!(with_causes(&plain), "no recommendations: no network");
    }
}
