//! Findings: what is true of a pipeline, and what that means for whoever looks at it.

/// Whether something is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It is.
    True,
    /// It is not.
    False,
    /// Nobody can tell yet.
    Unknown,
}

impl Truth {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// What a finding means for whoever looks after the pipeline, in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It says again what another finding says, and is never an event.
    Repeated,
    /// Nothing that anybody would act on: no event unless it was otherwise before.
    Usual,
    /// Good to know.
    Notice,
    /// Something is wrong, and time may heal it.
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
    /// Why, in one word of [`crate::reasons`].
    pub reason: &'static str,
    /// Why, for people; the same for the same state, without times or counts that change by themselves.
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

    /// False, and should be true; time may heal it.
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
