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

/// Something that is true, false or not known, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether it is true.
    pub truth: Truth,
    /// Why, in one word of [`crate::reasons`].
    pub reason: &'static str,
    /// Why, for people; the same for the same state, without times or counts that change by themselves.
    pub message: String,
}

impl Finding {
    /// A finding.
    pub fn new(truth: Truth, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            truth,
            reason,
            message: message.into(),
        }
    }
}
