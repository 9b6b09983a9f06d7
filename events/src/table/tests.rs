use super::*;
use crate::event::Drawn;

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
        drawn: Vec::new(),
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

/// One that was drawn by chance: of three exposures one is not.
fn drawn(number: u64) -> Exposure {
    let item = |place: u64| Drawn {
        item: format!("item-{place}").into(),
        chance: 1.0 / (place + 2) as f32,
    };
    Exposure {
        drawn: (0..number % 3).map(item).collect(),
        ..exposure(number)
    }
}

fn read_all_drawn(file: Bytes) -> Vec<(UnitHash, String, Vec<Drawn>)> {
    let mut read = Vec::new();
    read_drawn(file, |row| {
        let drawn = row.drawn.iter().map(|(item, chance)| Drawn {
            item: (*item).into(),
            chance: *chance,
        });
        read.push((row.unit, row.request.to_owned(), drawn.collect()));
    })
    .unwrap();
    read
}

#[test]
fn what_was_drawn_is_read_as_it_was_written() {
    let rows: Vec<Exposure> = (0..20_000).map(drawn).collect();
    let wanted = rows
        .iter()
        .map(|row| (row.unit, row.request.to_string(), row.drawn.clone()));
    assert_eq!(
        read_all_drawn(encode_exposures(&rows).unwrap()),
        wanted.collect::<Vec<_>>()
    );
}

/// A file of a release that wrote no items: nothing was drawn in it.
#[test]
fn files_without_items_and_chances_are_read() {
    let file = encode_exposures(&[drawn(1), drawn(2)]).unwrap();
    let columns = [
        "time",
        "id",
        "experiment",
        "epoch",
        "revision",
        "arm",
        "armBucket",
        "trafficBucket",
        "unit",
        "request",
        "fallback",
        "latency",
        "model",
    ];
    let batch = reader(file, &columns).unwrap().next().unwrap().unwrap();
    let names: Vec<String> = batch
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    assert_eq!(names, columns);
    let old = encode(&batch).unwrap();
    let read = read_all_drawn(old.clone());
    assert!(read.len() == 2 && read.iter().all(|(_, _, drawn)| drawn.is_empty()));
    let mut exposures = 0;
    read_exposures(old, |_| exposures += 1).unwrap();
    assert_eq!(exposures, 2);
}

#[test]
fn a_list_of_items_without_its_chances_is_refused() {
    let file = encode_exposures(&[drawn(1), drawn(2)]).unwrap();
    let batch = reader(
        file,
        &["time", "id", "arm", "unit", "request", "fallback", "items"],
    )
    .unwrap()
    .next()
    .unwrap()
    .unwrap();
    let refused = read_drawn(encode(&batch).unwrap(), |_| {}).unwrap_err();
    assert!(refused.to_string().contains("no column chances"), "{refused}");
}

#[test]
fn a_journal_of_before_items_were_written_is_read() {
    let mut json = serde_json::to_value(drawn(2)).unwrap();
    assert_eq!(
        serde_json::from_value::<Exposure>(json.clone()).unwrap(),
        drawn(2)
    );
    json.as_object_mut().unwrap().remove("drawn").unwrap();
    assert_eq!(serde_json::from_value::<Exposure>(json).unwrap(), exposure(2));
    let without = serde_json::to_value(exposure(2)).unwrap();
    assert!(!without.as_object().unwrap().contains_key("drawn"), "{without}");
}

#[test]
fn outcomes_are_read_with_what_they_followed() {
    let rows: Vec<Outcome> = (0..100).map(outcome).collect();
    let mut read = Vec::new();
    read_following(encode_outcomes(&rows).unwrap(), |row| {
        read.push((
            row.outcome.id,
            row.item.map(str::to_owned),
            row.request.map(str::to_owned),
        ));
    })
    .unwrap();
    let text = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
    let wanted = rows
        .iter()
        .map(|row| (row.id, text(&row.item), text(&row.request)));
    assert_eq!(read, wanted.collect::<Vec<_>>());
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
