//! Findings: what is true of a pipeline, and what that means for whoever looks at it.

use strum::IntoStaticStr;

/// Whether something is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
pub enum Truth {
    /// It is true.
    True,
    /// It is false.
    False,
    /// It is not known yet.
    Unknown,
}

impl Truth {
    /// The status as the API writes it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// How serious a finding is for the people who run the pipeline, in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It repeats another finding, and is never an event.
    Repeated,
    /// Normal: an event only if it was different before.
    Usual,
    /// Good to know.
    Notice,
    /// Something is wrong, and may heal by itself.
    Warning,
    /// Something is wrong, and stays so until somebody acts.
    Stuck,
}

/// Something that is true, false or not known, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether it is true.
    pub truth: Truth,
    /// What it means.
    pub severity: Severity,
    /// The reason, one of [`crate::reasons`].
    pub reason: &'static str,
    /// The reason as a sentence: equal for equal states, without times or counts that keep changing.
    pub message: String,
}

impl Finding {
    /// A finding.
    pub fn new(truth: Truth, severity: Severity, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            truth,
            severity,
            reason,
            message: message.into(),
        }
    }

    /// True, as it should be.
    pub fn met(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Truth::True, Severity::Notice, reason, message)
    }

    /// Not known yet, which is nothing to act on.
    pub fn pending(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Truth::Unknown, Severity::Usual, reason, message)
    }

    /// False, and should be true; it may heal by itself.
    pub fn unmet(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Truth::False, Severity::Warning, reason, message)
    }

    /// False until somebody acts.
    pub fn stuck(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Truth::False, Severity::Stuck, reason, message)
    }

    /// Status and reason of the condition that says so.
    pub fn as_condition(&self) -> (&'static str, &'static str) {
        (self.truth.as_str(), self.reason)
    }
}
