//! The worked cases, computed by scipy, statsmodels and gbstats, and laws that hold for all numbers.

use proptest::prelude::*;
use serde_json::Value;

use gondola_wire::operations::{Dispersion, HarmEvidence};

use super::operations::{Tick, disperse, dispersion, log_evidence, weigh};
use super::planning::{self, Plan};
use super::sample_ratio::SampleRatio;
use super::sequence::{OneSided, Sequence};
use super::{Contrast, Estimate, Interval, Observation, Sums, cuped, guardrail, lift, welch};

fn case(id: &str) -> (Value, Value, f64) {
    let cases: Value = serde_json::from_str(include_str!("cases.json")).unwrap();
    let all = cases["cases"].as_array().unwrap();
    let case = all.iter().find(|case| case["id"] == id).unwrap();
    (
        case["input"].clone(),
        case["expected"].clone(),
        case["relTol"].as_f64().unwrap(),
    )
}

#[track_caller]
fn close(got: f64, expected: &Value, tolerance: f64) {
    let expected = expected.as_f64().unwrap();
    assert!(
        (got - expected).abs() <= tolerance * expected.abs().max(1e-12),
        "{got} is not {expected}"
    );
}

#[track_caller]
fn close_interval(got: Interval, expected: &Value, tolerance: f64) {
    close(got.low, &expected[0], tolerance);
    close(got.high, &expected[1], tolerance);
}

fn counts(arm: &Value) -> Sums {
    let (n, y) = (arm["n"].as_u64().unwrap(), arm["sum"].as_f64().unwrap());
    Sums {
        n,
        mean_y: y / n as f64,
        yy: arm["sumSq"].as_f64().unwrap() - y * y / n as f64,
        ..Sums::default()
    }
}

#[test]
fn welch_sequence_lift_and_guardrail_are_those_of_the_worked_case() {
    let (input, expected, tolerance) = case("sequential-and-fixed");
    let control = Estimate::mean(&counts(&input["control"])).unwrap();
    let treatment = Estimate::mean(&counts(&input["treatment"])).unwrap();
    let alpha = input["alpha"].as_f64().unwrap();
    let tuned_at = input["tunedAt"].as_f64().unwrap();

    let fixed = welch::welch(&control, &treatment, 1.0).unwrap();
    let wanted = &expected["welch"];
    close(fixed.difference, &wanted["diff"], tolerance);
    close(fixed.standard_error, &wanted["se"], tolerance);
    close(fixed.t, &wanted["t"], tolerance);
    close(fixed.degrees, &wanted["df"], tolerance);
    close(fixed.p, &wanted["p"], tolerance);
    close_interval(fixed.interval(alpha), &wanted["ci"], tolerance);

    let sequence = Sequence::new(alpha, tuned_at);
    let contrast = Contrast::new(&control, &treatment, 1.0);
    let wanted = &expected["absolute"];
    close(sequence.rho2(), &wanted["rho2"], tolerance);
    close_interval(sequence.interval(&contrast), &wanted["ci"], tolerance);
    close(sequence.p(&contrast), &wanted["p"], tolerance);

    let critical_value = sequence.critical_value(contrast.n);
    let interval = lift::interval(&control, &treatment, critical_value).unwrap();
    close_interval(interval, &expected["liftFieller"], tolerance);

    let margin = input["margin"].as_f64().unwrap();
    let read = guardrail::read(&control, &treatment, margin, &OneSided::new(alpha, tuned_at));
    let wanted = &expected["guardrail"];
    close(read.contrast.difference, &wanted["contrast"], tolerance);
    close(read.contrast.variance.sqrt(), &wanted["se"], tolerance);
    close(read.bounds.low, &wanted["lower"], tolerance);
    close(read.bounds.high, &wanted["upper"], tolerance);
    assert_eq!(format!("{:?}", read.verdict), wanted["verdict"].as_str().unwrap());
}

#[test]
fn ratios_are_those_of_the_worked_case() {
    let (input, expected, tolerance) = case("ratio-and-cuped");
    let ratio = |arm: &Value| {
        let sum = |name: &str| arm[name].as_f64().unwrap();
        let n = arm["n"].as_u64().unwrap();
        let about_means = |products: &str, a: &str, b: &str| sum(products) - sum(a) * sum(b) / n as f64;
        Estimate::ratio(&Sums {
            n,
            mean_y: sum("sumY") / n as f64,
            mean_m: sum("sumM") / n as f64,
            yy: about_means("sumYY", "sumY", "sumY"),
            mm: about_means("sumMM", "sumM", "sumM"),
            ym: about_means("sumYM", "sumY", "sumM"),
            ..Sums::default()
        })
        .unwrap()
    };
    let (control, treatment) = (
        ratio(&input["ratio"]["control"]),
        ratio(&input["ratio"]["treatment"]),
    );
    let wanted = &expected["ratio"];
    close(control.mean, &wanted["controlRatio"], tolerance);
    close(treatment.mean, &wanted["treatmentRatio"], tolerance);
    close(control.variance, &wanted["controlVar"], tolerance);
    close(treatment.variance, &wanted["treatmentVar"], tolerance);
    let contrast = Contrast::new(&control, &treatment, 1.0);
    close(
        contrast.difference / contrast.variance.sqrt(),
        &wanted["z"],
        tolerance,
    );
}

#[test]
fn cuped_is_that_of_the_worked_case() {
    let (input, expected, tolerance) = case("ratio-and-cuped");
    let sums = |arm: &str| {
        let numbers =
            |name: &str| -> Vec<f64> { serde_json::from_value(input["cuped"][arm][name].clone()).unwrap() };
        let mut sums = Sums::default();
        for (x, y) in numbers("x").into_iter().zip(numbers("y")) {
            sums.add(Observation { y, m: 0.0, x });
        }
        sums
    };
    let (control, treatment) = (sums("control"), sums("treatment"));
    let wanted = &expected["cuped"];
    let theta = cuped::theta(&[&control, &treatment]);
    close(theta, &wanted["theta"], tolerance);
    let center = cuped::center(&[&control, &treatment]);
    let adjusted = |sums| cuped::adjusted(sums, theta, center).unwrap();
    let contrast = Contrast::new(&adjusted(&control), &adjusted(&treatment), 1.0);
    close(contrast.difference, &wanted["diff"], tolerance);
    close(contrast.variance.sqrt(), &wanted["se"], tolerance);
    let plain = |sums| Estimate::mean(sums).unwrap();
    let unadjusted = Contrast::new(&plain(&control), &plain(&treatment), 1.0);
    close(unadjusted.difference, &wanted["unadjustedDiff"], tolerance);
    close(unadjusted.variance.sqrt(), &wanted["unadjustedSe"], tolerance);
    let reduction = 1.0 - contrast.variance / unadjusted.variance;
    close(reduction, &wanted["varianceReduction"], tolerance);
}

#[test]
fn the_sample_ratio_is_tested_as_in_the_worked_case() {
    let (input, expected, tolerance) = case("srm");
    let mut test = SampleRatio::new(&[1, 1]);
    let mut counts = vec![0, 0];
    for (look, batch) in input["batches"].as_array().unwrap().iter().enumerate() {
        for (count, new) in counts.iter_mut().zip(batch.as_array().unwrap()) {
            *count += new.as_u64().unwrap();
        }
        close(
            test.log_bayes_factor(&counts),
            &expected["logBF"][look],
            // The difference of numbers near 100,000: what is left of their digits.
            tolerance.max(1e-9),
        );
        close(test.look(&counts), &expected["runningP"][look], tolerance);
    }
    let (statistic, p) = test.chi_square(&counts);
    close(statistic, &expected["chi2"], tolerance);
    close(p, &expected["chiP"], tolerance);
}

#[test]
fn evidence_of_errors_grows_as_in_the_worked_case() {
    let (input, expected, tolerance) = case("ops-eprocess");
    let mut evidence = HarmEvidence::default();
    let alarm = (1.0 / input["alpha"].as_f64().unwrap()).ln();
    let mut first_alarm = None;
    for (position, tick) in input["ticks"].as_array().unwrap().iter().enumerate() {
        let number = |index: usize| tick[index].as_u64().unwrap();
        let arm = |bad, requests| Tick {
            requests: number(requests),
            bad: number(bad),
        };
        weigh(
            &mut evidence,
            arm(0, 1),
            arm(2, 3),
            input["ratioMargin"].as_f64().unwrap(),
            1.0,
        );
        close(log_evidence(&evidence), &expected["logE"][position], tolerance);
        if log_evidence(&evidence) >= alarm {
            first_alarm.get_or_insert(position);
        }
    }
    assert_eq!(
        first_alarm,
        expected["alarmTick"].as_u64().map(|tick| tick as usize)
    );
}

#[test]
fn clumps_of_errors_are_seen_as_dispersion() {
    let mut steady = Dispersion::default();
    let mut clumped = Dispersion::default();
    for tick in 0..40 {
        let requests = 1000;
        disperse(
            &mut steady,
            Tick {
                requests,
                bad: 9 + tick % 3,
            },
        );
        disperse(
            &mut clumped,
            Tick {
                requests,
                bad: if tick % 10 == 0 { 100 } else { 0 },
            },
        );
    }
    assert_eq!(dispersion(&steady), Some(1.0));
    assert!(dispersion(&clumped).unwrap() > 50.0);
    let mut young = Dispersion::default();
    disperse(&mut young, Tick { requests: 10, bad: 1 });
    assert_eq!(dispersion(&young), None, "one tick says nothing");
}

#[test]
fn a_plan_needs_the_users_that_the_textbook_formula_gives() {
    // z = 1.959964 + 0.841621; 3 % against 3.15 %: (2.801585)² (0.0291 + 0.03050775) / 0.0015² = 207,936.x
    let plan = Plan::conversion(0.03, 0.05, planning::quantile(0.975), 0.8);
    let z: f64 = 1.959_963_984_540_054 + 0.841_621_233_572_914_3;
    let wanted = (z * z * (0.03 * 0.97 + 0.0315 * 0.9685) / 0.0015_f64.powi(2)).ceil();
    assert_eq!(plan.units_per_arm(), Some(wanted as u64));
    assert_eq!(Plan::conversion(0.03, 0.0, 1.96, 0.8).units_per_arm(), None);
    // What is planned for is what can be found.
    let variance = 0.03 * 0.97;
    let found = planning::detectable_lift(0.03, variance, 208_000, 208_000, 0.05, 0.8).unwrap();
    assert!((found - 0.05).abs() < 0.001, "{found}");
}

#[test]
fn holm_is_between_nothing_and_bonferroni() {
    assert_eq!(welch::holm(&[0.01, 0.04, 0.03]), [0.03, 0.06, 0.06]);
    assert_eq!(welch::holm(&[0.5, 0.9]), [1.0, 1.0]);
}

#[test]
fn a_small_spread_of_large_amounts_is_kept() {
    for mean in [0.0, 1e7, 1e8, 1e9, 1e12] {
        let mut halves = [Sums::default(); 2];
        for number in 0..100_000_u32 {
            let spread = if number.is_multiple_of(2) { 1.0 } else { -1.0 };
            halves[usize::from(number > 30_000)].add(Observation {
                y: mean + spread,
                m: 0.0,
                x: mean - spread,
            });
        }
        let [mut sums, other] = halves;
        sums.merge(&other);
        let variance = Estimate::mean(&sums).unwrap().variance * 1e5;
        assert!((variance - 1.0).abs() < 1e-3, "{variance} at {mean}");
        let theta = cuped::theta(&[&sums]);
        assert!((theta + 1.0).abs() < 1e-3, "{theta} at {mean}");
    }
    // What is the same for everybody does not vary at all, whatever it is.
    let mut same = Sums::default();
    (0..1000).for_each(|_| {
        same.add(Observation {
            y: 0.1,
            m: 0.0,
            x: 0.0,
        })
    });
    assert_eq!(Estimate::mean(&same).unwrap().variance, 0.0);
}

#[test]
fn a_negative_baseline_turns_nothing_around() {
    let estimate = |mean: f64| Estimate {
        n: 100_000,
        mean,
        variance: 0.0001,
    };
    let (control, better, worse) = (estimate(-10.0), estimate(-9.0), estimate(-11.0));
    let one_sided = OneSided::new(0.05, 100_000.0);
    let verdict = |treatment: &Estimate| guardrail::read(&control, treatment, 0.02, &one_sided).verdict;
    assert_eq!(verdict(&control), guardrail::GuardrailVerdict::NonInferior);
    assert_eq!(verdict(&better), guardrail::GuardrailVerdict::NonInferior);
    assert_eq!(verdict(&worse), guardrail::GuardrailVerdict::Harm);
    assert!((lift::lift(&control, &better).unwrap() - 0.1).abs() < 1e-12);
    assert!((lift::lift(&control, &worse).unwrap() + 0.1).abs() < 1e-12);
    let interval = lift::interval(&control, &better, 3.0).unwrap();
    assert!(
        0.0 < interval.low && interval.low < 0.1 && 0.1 < interval.high,
        "{interval:?}"
    );
    let read = |treatment: &Estimate| welch::welch(&control, treatment, control.factor(0.05)).unwrap();
    assert!(read(&better).difference > 0.0 && read(&control).difference < 0.0);
}

#[test]
fn what_does_not_vary_says_nothing() {
    let mut sums = Sums::default();
    for _ in 0..10 {
        sums.add(Observation::default());
    }
    let nothing = Estimate::mean(&sums).unwrap();
    assert_eq!(welch::welch(&nothing, &nothing, 1.0), None);
    let contrast = Contrast::new(&nothing, &nothing, 1.0);
    assert_eq!(Sequence::new(0.05, 1000.0).p(&contrast), 1.0);
    assert_eq!(lift::lift(&nothing, &nothing), None);
    assert_eq!(lift::interval(&nothing, &nothing, 2.0), None);
    assert_eq!(Estimate::ratio(&sums), None);
    assert_eq!(Estimate::mean(&Sums::default()), None);
}

fn arm() -> impl Strategy<Value = Sums> {
    (2_u64..100_000, 0.0_f64..1.0).prop_map(|(n, rate)| {
        let y = (n as f64 * rate).floor();
        Sums {
            n,
            nonzero: y as u64,
            mean_y: y / n as f64,
            yy: y - y * y / n as f64,
            ..Sums::default()
        }
    })
}

proptest! {
    #[test]
    fn a_lift_excludes_nothing_exactly_where_the_difference_does(control in arm(), treatment in arm()) {
        let (control, treatment) = (Estimate::mean(&control).unwrap(), Estimate::mean(&treatment).unwrap());
        let sequence = Sequence::new(0.05, 50_000.0);
        let contrast = Contrast::new(&control, &treatment, 1.0);
        prop_assume!(contrast.variance > 0.0);
        let difference = sequence.interval(&contrast);
        if let Some(lift) = lift::interval(&control, &treatment, sequence.critical_value(contrast.n)) {
            let excludes = |interval: Interval| interval.low > 1e-9 || interval.high < -1e-9;
            prop_assert_eq!(excludes(lift), excludes(difference));
        }
    }

    #[test]
    fn sums_of_parts_are_the_sums_of_the_whole(numbers in prop::collection::vec((0_i32..100, 0_i32..100, 0_i32..100), 1..50), cut in 0_usize..50) {
        let observe = |numbers: &[(i32, i32, i32)]| {
            let mut sums = Sums::default();
            for (y, m, x) in numbers {
                sums.add(Observation { y: f64::from(*y), m: f64::from(*m), x: f64::from(*x) });
            }
            sums
        };
        let cut = cut.min(numbers.len());
        let mut merged = observe(&numbers[..cut]);
        merged.merge(&observe(&numbers[cut..]));
        let whole = observe(&numbers);
        prop_assert_eq!((merged.n, merged.nonzero), (whole.n, whole.nonzero));
        for (parts, whole) in [
            (merged.mean_y, whole.mean_y),
            (merged.mean_m, whole.mean_m),
            (merged.mean_x, whole.mean_x),
            (merged.yy, whole.yy),
            (merged.mm, whole.mm),
            (merged.ym, whole.ym),
            (merged.xx, whole.xx),
            (merged.xy, whole.xy),
        ] {
            prop_assert!((parts - whole).abs() <= 1e-9 * whole.abs().max(1.0), "{} is not {}", parts, whole);
        }
    }

    #[test]
    fn a_sequence_is_wider_than_the_test_at_one_moment(control in arm(), treatment in arm()) {
        let (control, treatment) = (Estimate::mean(&control).unwrap(), Estimate::mean(&treatment).unwrap());
        let Some(fixed) = welch::welch(&control, &treatment, 1.0) else { return Ok(()) };
        prop_assume!(control.n > 50 && treatment.n > 50);
        prop_assert!(Sequence::new(0.05, 50_000.0).critical_value(control.n + treatment.n) > fixed.critical_value(0.05));
    }
}
