use super::*;

pub(crate) fn exposure(number: u64) -> Exposure {
    let unit = UnitHash((u128::from(number) << 64 | 7).to_be_bytes());
    Exposure {
        time: moment(1_793_577_600_000_000 + number as i64),
        id: Exposure::id_of("dlrm-vs-rf", 1, unit, &number.to_string()),
        experiment: "dlrm-vs-rf".into(),
        epoch: 1,
        revision: "abc".into(),
        arm: if number.is_multiple_of(2) { "rf" } else { "dlrm" }.into(),
        arm_bucket: (number % 10_000) as u16,
        traffic_bucket: 17,
        unit,
        request: number.to_string().into(),
        fallback: number.is_multiple_of(10),
        latency: 2000,
        model: "v1".into(),
    }
}

fn outcome(number: u64) -> Outcome {
    Outcome {
        time: moment(number as i64),
        received: moment(number as i64 + 5),
        id: EventId::of(&[&number.to_be_bytes()]),
        unit: exposure(number).unit,
        kind: "purchase".into(),
        value: number as f64 / 3.0,
        item: (number > 1).then(|| "42".into()),
        request: None,
    }
}

#[test]
fn exposures_are_read_as_they_were_written() {
    let rows: Vec<Exposure> = (0..20_000).map(exposure).collect();
    let file = encode_exposures(&rows).unwrap();
    assert!(
        file.len() < 40 * rows.len(),
        "{} bytes for {} rows",
        file.len(),
        rows.len()
    );
    let mut read = 0;
    read_exposures(file, |row| {
        let wanted = &rows[read];
        assert_eq!(
            (row.time, row.id, row.arm, row.unit, row.fallback),
            (wanted.time, wanted.id, &*wanted.arm, wanted.unit, wanted.fallback)
        );
        assert_eq!((row.arm_bucket, row.traffic_bucket), (wanted.arm_bucket, 17));
        read += 1;
    })
    .unwrap();
    assert_eq!(read, rows.len());
}

#[test]
fn outcomes_are_read_as_they_were_written() {
    let rows: Vec<Outcome> = (0..100).map(outcome).collect();
    let mut read = Vec::new();
    read_outcomes(encode_outcomes(&rows).unwrap(), |row| {
        read.push((
            row.time,
            row.received,
            row.id,
            row.unit,
            row.kind.to_owned(),
            row.value,
        ));
    })
    .unwrap();
    let wanted: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row.time,
                row.received,
                row.id,
                row.unit,
                row.kind.to_string(),
                row.value,
            )
        })
        .collect();
    assert_eq!(read, wanted);
}

#[test]
fn what_is_not_such_a_table_is_refused() {
    let outcomes = encode_outcomes(&[outcome(1)]).unwrap();
    let error = read_exposures(outcomes.clone(), |_| panic!("there are none")).unwrap_err();
    assert!(error.to_string().contains("no column arm"), "{error}");
    for damaged in [
        Bytes::new(),
        outcomes.slice(..outcomes.len() - 9),
        Bytes::from_static(b"PAR1PAR1"),
    ] {
        read_outcomes(damaged, |_| {}).unwrap_err();
    }
    let mut torn = outcomes.to_vec();
    for byte in &mut torn[4..40] {
        *byte ^= 0x5a;
    }
    let _ = read_outcomes(torn.into(), |_| {});
}

/// Every byte of a file, each damaged in three ways: what can still be read are events, and everything else an error.
#[test]
fn no_damaged_byte_of_a_file_is_a_panic() {
    let whole = encode_outcomes(&[outcome(1), outcome(2)]).unwrap();
    let (mut read, mut refused) = (0, 0);
    for (place, damage) in (0..whole.len()).flat_map(|place| [0x01, 0x80, 0xff].map(|damage| (place, damage)))
    {
        let mut damaged = whole.to_vec();
        damaged[place] ^= damage;
        match read_outcomes(damaged.into(), |row| drop(row.kind.to_owned())) {
            Ok(()) => read += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(
        read > 100 && refused > 1000,
        "{read} were read, {refused} refused"
    );
}
