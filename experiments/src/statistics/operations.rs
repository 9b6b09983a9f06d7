//! Whether an arm has more bad answers than allowed: evidence that grows tick by tick, within minutes.
//!
//! Given how many bad answers both arms had in a tick, the treatment's part is binomial with q = n_t r / (n_t r + n_c) where its
//! rate is r times the control's. Ratios above the margin m are weighed against m itself, as a mixture over a grid; the evidence is
//! an e-process, so that it may be looked at after every tick (Ville's inequality). Each tick has its own q, so that traffic may
//! change. Errors come in clumps, which are no more evidence than one of them: log likelihoods are divided by the control's
//! dispersion, once it is known.

use gondola_wire::operations::{Dispersion, HarmEvidence};

/// Ratios to the margin that are weighed.
const GRID: [f64; 7] = [1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0];
/// Ticks of the control until its dispersion is known, and evidence counts.
const WARM_UP: u64 = 10;

/// What one arm did in a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tick {
    /// Answers and errors.
    pub requests: u64,
    /// Those of them that were bad.
    pub bad: u64,
}

/// Takes a tick of both arms. `dispersion` is 1 for independent errors, and more where they come in clumps.
pub fn weigh(evidence: &mut HarmEvidence, treatment: Tick, control: Tick, ratio: f64, dispersion: f64) {
    if treatment.requests == 0 || control.requests == 0 {
        return;
    }
    let (n_t, n_c) = (treatment.requests as f64, control.requests as f64);
    let (bad_t, bad_c) = (treatment.bad as f64, control.bad as f64);
    let part = |ratio: f64| n_t * ratio / (n_t * ratio + n_c);
    let allowed = part(ratio);
    for (log_likelihood, step) in evidence.log_likelihoods.iter_mut().zip(GRID) {
        let worse = part(step * ratio);
        let gain = bad_t * (worse / allowed).ln() + bad_c * ((1.0 - worse) / (1.0 - allowed)).ln();
        *log_likelihood += gain / dispersion;
    }
}

/// Logarithm of the evidence: alarm at ln(1/alpha).
pub fn log_evidence(evidence: &HarmEvidence) -> f64 {
    let log_likelihoods = evidence.log_likelihoods.iter().copied();
    let largest = log_likelihoods.clone().fold(f64::MIN, f64::max);
    let sum: f64 = log_likelihoods
        .map(|log_likelihood| (log_likelihood - largest).exp())
        .sum();
    largest + (sum / GRID.len() as f64).ln()
}

/// Takes a tick of the control.
pub fn disperse(dispersion: &mut Dispersion, tick: Tick) {
    if tick.requests == 0 {
        return;
    }
    let (requests, bad) = (tick.requests as f64, tick.bad as f64);
    dispersion.ticks += 1;
    dispersion.requests += requests;
    dispersion.bad += bad;
    dispersion.weighted += bad * bad / requests;
}

/// How much more the control's bad answers vary between ticks than independent ones would: Pearson's statistic over its degrees of
/// freedom, and at least 1. `None` until enough ticks were seen.
pub fn dispersion(seen: &Dispersion) -> Option<f64> {
    if seen.ticks < WARM_UP {
        return None;
    }
    let rate = seen.bad / seen.requests;
    if rate <= 0.0 || rate >= 1.0 {
        return Some(1.0);
    }
    // Σ (bad − n·rate)² / (n·rate·(1 − rate))
    let squares = seen.weighted - 2.0 * rate * seen.bad + rate * rate * seen.requests;
    let pearson = squares / (rate * (1.0 - rate));
    Some((pearson / (seen.ticks - 1) as f64).max(1.0))
}
