//! What an experiment costs a request: assignment and exposure, with a recorder that writes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gondola_artifacts::Store;
use gondola_events::recorder::{Recorder, RecorderSettings};
use gondola_events::unit::UnitKey;
use gondola_protocol::{Served, Visit};
use gondola_request::{Answer, Recommendation};
use gondola_router::experiment::{Enrolment, Recording, Sink};
use gondola_wire::buckets::Buckets;
use gondola_wire::routes::{ArmRoute, ExperimentRoutes};

use super::Lines;
use crate::measure::Times;

const REQUESTS: usize = 200_000;

pub(super) fn check(lines: &mut Lines) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let folder = tempfile::tempdir()?;
    let (times, dropped) = runtime.block_on(async { measure(folder.path()) })?;
    let summary = times.summary();
    lines.line(
        summary.p50 < 2.0,
        "assignment and exposure of a request",
        format!(
            "p50 {:.2} µs, p99 {:.2} µs, below 2 µs at the median; {dropped} of {REQUESTS} dropped",
            summary.p50, summary.p99
        ),
    );
    Ok(())
}

fn measure(folder: &std::path::Path) -> anyhow::Result<(Times, u64)> {
    let settings = RecorderSettings {
        folder: folder.join("journal"),
        base: "shop/home".into(),
        writer: "bench".into(),
        flush: Duration::from_secs(60),
        max_waiting_bytes: 1 << 30,
    };
    let store = Store::open(&format!("file://{}/store", folder.display()))?;
    let sink = Sink {
        recorder: Recorder::start(settings, store)?,
        key: UnitKey::new(b"0123456789abcdef")?,
    };
    let recording = Arc::new(Recording::new("bench".into(), Ok(sink)));
    let arm = |name: &str| ArmRoute {
        variant: name.into(),
        weight: 50,
    };
    let routes = ExperimentRoutes {
        name: "dlrm-vs-rf".into(),
        epoch: 1,
        revision: "0123456789ab".into(),
        salt: "shop/home/dlrm-vs-rf".into(),
        unit_header: None,
        holdout: None,
        traffic_buckets: Buckets::ALL,
        arms: vec![arm("rf"), arm("dlrm")],
        slow_milliseconds: 300,
    };
    let enrolment = Enrolment::new(&routes, recording)?;
    let item = Recommendation {
        item: "42".into(),
        score: 0.5,
        chance: None,
    };
    let digest = format!("sha256:{}", "0".repeat(64));
    let served = Ok(Served {
        variant: "dlrm".into(),
        reason: None,
        bundles: Arc::new([("scorer".to_owned(), digest)].into()),
        answer: Answer {
            items: vec![item; 12],
            ..Answer::default()
        },
    });
    let visit = Visit::default();
    let mut times = Times::default();
    for request in 0..REQUESTS {
        let user = crate::user_id(request);
        let started = Instant::now();
        let unit = enrolment.unit(&user, &visit);
        let ticket = enrolment.enrol(unit, &visit);
        enrolment.note(ticket, unit, None, &served);
        times.add(started.elapsed());
        // As many as a busy router has: 50,000 a second.
        while started.elapsed() < Duration::from_micros(20) {
            std::hint::spin_loop();
        }
    }
    let dropped = enrolment.report().arms.iter().map(|arm| arm.dropped).sum();
    Ok((times, dropped))
}
