//! Whether an arm harms what it must not harm, told at any time and to one side.

use super::sequence::OneSided;
use super::{Contrast, Estimate, Interval};

/// What can be said of a guardrail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardrailVerdict {
    /// The arm loses less than the margin, for certain.
    NonInferior,
    /// The arm loses more than the margin, for certain.
    Harm,
    /// The data don't say yet.
    Undecided,
}

/// A guardrail, looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GuardrailRead {
    /// m_t − m_c + margin |m_c|: above 0 is within the margin.
    pub contrast: Contrast,
    /// Bounds of the contrast, each valid at any time.
    pub bounds: Interval,
    /// What follows.
    pub verdict: GuardrailVerdict,
}

/// Looks at a guardrail with a relative `margin`, say 0.02.
pub fn read(control: &Estimate, treatment: &Estimate, margin: f64, sequence: &OneSided) -> GuardrailRead {
    let contrast = Contrast::new(control, treatment, control.factor(-margin));
    let bounds = Interval::around(contrast.difference, sequence.width(&contrast));
    let verdict = if contrast.variance <= 0.0 {
        GuardrailVerdict::Undecided
    } else if bounds.low > 0.0 {
        GuardrailVerdict::NonInferior
    } else if bounds.high < 0.0 {
        GuardrailVerdict::Harm
    } else {
        GuardrailVerdict::Undecided
    };
    GuardrailRead {
        contrast,
        bounds,
        verdict,
    }
}
