//! Gauges of experiments for Prometheus, computed when they are scraped.

use gondola_experiments::step::Routing;
use gondola_wire::buckets::Buckets;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::Shown;
use crate::plan::experiment::Planned;

/// What is shown of experiments.
#[derive(Clone, Copy, Debug)]
enum Gauge {
    Traffic,
    Units,
    Lift,
    LiftLow,
    LiftHigh,
    SampleRatio,
}

/// Names and values of labels.
type Labels = Vec<(&'static str, String)>;

impl Gauge {
    const ALL: [Self; 6] = [
        Self::Traffic,
        Self::Units,
        Self::Lift,
        Self::LiftLow,
        Self::LiftHigh,
        Self::SampleRatio,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Traffic => "traffic_ratio",
            Self::Units => "units",
            Self::Lift => "lift_ratio",
            Self::LiftLow => "lift_low_ratio",
            Self::LiftHigh => "lift_high_ratio",
            Self::SampleRatio => "sample_ratio_p",
        }
    }

    fn help(self) -> &'static str {
        match self {
            Self::Traffic => "Share of users who take part",
            Self::Units => "Users of an arm who were exposed",
            Self::Lift => "Relative improvement of an arm over the control",
            Self::LiftLow => "Lower end of the interval of the lift, valid at any time",
            Self::LiftHigh => "Upper end of the interval of the lift, valid at any time",
            Self::SampleRatio => "Smallest p-value of the test that users are split as planned",
        }
    }

    /// Its values for one experiment, with the labels that distinguish them.
    fn samples(self, planned: &Planned) -> Vec<(Labels, f64)> {
        let Planned {
            settings,
            step,
            evidence,
        } = planned;
        let assessment = step.assessment.as_ref();
        let comparisons = assessment.iter().flat_map(|assessment| &assessment.success);
        match self {
            Self::Traffic => {
                let buckets = match &step.routing {
                    Routing::Experiment(routes) => routes.traffic_buckets,
                    Routing::Everybody(_) => Buckets::NONE,
                };
                vec![(Labels::new(), buckets.share())]
            }
            Self::Units => {
                let arms = evidence.iter().flat_map(|evidence| evidence.arms.iter());
                arms.map(|arm| (vec![("arm", arm.name.clone())], arm.units as f64))
                    .collect()
            }
            Self::Lift | Self::LiftLow | Self::LiftHigh => comparisons
                .filter_map(|comparison| {
                    let value = match self {
                        Self::LiftLow => comparison.interval?.low,
                        Self::LiftHigh => comparison.interval?.high,
                        _ => comparison.latest?.lift?,
                    };
                    let arm = settings.arms[comparison.arm].name.clone();
                    Some((vec![("arm", arm), ("metric", comparison.metric.clone())], value))
                })
                .collect(),
            Self::SampleRatio => {
                let p = assessment.map(|assessment| assessment.sample_ratio.p);
                p.map(|p| (Labels::new(), p)).into_iter().collect()
            }
        }
    }
}

/// Every gauge with its values, all labels included.
#[derive(Debug)]
struct Samples(Vec<(Gauge, Vec<(Labels, f64)>)>);

impl Samples {
    fn of(experiments: &[Shown]) -> Self {
        let of_gauge = |gauge: Gauge| {
            let samples = experiments.iter().flat_map(|shown| {
                let own = gauge.samples(&shown.planned).into_iter();
                own.map(|(labels, value)| ([labels_of(shown), labels].concat(), value))
            });
            (gauge, samples.collect())
        };
        Self(Gauge::ALL.map(of_gauge).into())
    }
}

fn labels_of(shown: &Shown) -> Labels {
    let names = &shown.pipeline.names;
    vec![
        ("namespace", names.namespace().to_owned()),
        ("pipeline", names.pipeline().to_owned()),
        ("experiment", shown.planned.settings.name.clone()),
    ]
}

impl Collector for Samples {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (gauge, samples) in &self.0 {
            let mut family =
                encoder.encode_descriptor(gauge.name(), gauge.help(), None, MetricType::Gauge)?;
            for (labels, value) in samples {
                ConstGauge::new(*value).encode(family.encode_family(labels)?)?;
            }
        }
        Ok(())
    }
}

/// The gauges of some experiments, in Prometheus' text form.
pub(super) fn text(experiments: &[Shown]) -> String {
    let mut registry = Registry::with_prefix("gondola_experiment");
    registry.register_collector(Box::new(Samples::of(experiments)));
    let mut text = String::new();
    encode(&mut text, &registry).expect("a String takes all that is written to it");
    text
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::*;
    use crate::fixtures::{Cluster, checked, with_experiment};
    use crate::plan::experiment::planned;

    #[test]
    fn every_gauge_has_its_help_and_the_labels_of_its_experiment() {
        let pipeline = checked(&with_experiment());
        let observed = Cluster::empty().observed;
        let shown = Shown {
            planned: planned(&pipeline, &observed, &[]).unwrap().unwrap(),
            pipeline,
            now: Timestamp::UNIX_EPOCH,
        };
        let text = text(&[shown]);
        for gauge in Gauge::ALL {
            let name = gauge.name();
            assert!(
                text.contains(&format!("# TYPE gondola_experiment_{name} gauge")),
                "{text}"
            );
        }
        let labels = r#"namespace="shop",pipeline="grocery",experiment="dlrm-vs-forest""#;
        let traffic = format!("gondola_experiment_traffic_ratio{{{labels}}} 0.0");
        assert!(text.contains(&traffic) && text.ends_with("# EOF\n"), "{text}");
    }
}
