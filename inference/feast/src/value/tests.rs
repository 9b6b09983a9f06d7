use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(hex: &str, value: &FeastValue) {
    let bytes = hex::decode(hex).unwrap();
    assert_eq!(&FeastValue::read(&bytes).unwrap(), value);
    assert_eq!(value.write(), bytes);
}

#[test]
fn null_is_apart_from_zero_and_from_empty() {
    check("", &FeastValue::NULL);
    check("2000", &Kind::Int64(0).into());
    check("1800", &Kind::Int32(0).into());
    check("290000000000000000", &Kind::Double(0.0).into());
    check("3500000000", &Kind::Float(0.0).into());
    check("3800", &Kind::Bool(false).into());
    check("1200", &Kind::String(String::new()).into());
    check("0a00", &Kind::Bytes(Vec::new()).into());
    check("7200", &Kind::Int64List(Int64List::default()).into());
    check("980100", &Kind::Null(0).into());
    assert!(FeastValue::NULL.is_null() && FeastValue::from(Kind::Null(0)).is_null());
    assert!(!FeastValue::from(Kind::Int64(0)).is_null());
}

#[test]
fn a_kind_of_a_later_feast_is_named() {
    // Field 60, a varint.
    let error = FeastValue::read(&[0xe0, 0x03, 0x01]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a value of kind 60 of feast.types.Value, which is not known here; kinds 1 to 48 are, as in Feast 0.67"
    );
}

#[test]
fn a_value_that_holds_itself_a_thousand_times_is_refused() {
    let mut bytes = FeastValue::NULL.write();
    for _ in 0..1_000 {
        let mut list = Vec::new();
        prost::encoding::bytes::encode(1, &bytes, &mut list);
        bytes.clear();
        prost::encoding::bytes::encode(42, &list, &mut bytes);
    }
    assert!(matches!(FeastValue::read(&bytes), Err(ValueError::Damaged(_))));
}

proptest! {
    #[test]
    fn any_bytes_are_a_value_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(value) = FeastValue::read(&bytes) {
            let written = value.write();
            let again = FeastValue::read(&written).unwrap();
            // NaN is not equal to itself, so that bytes are compared.
            assert_eq!(again.write(), written);
        }
    }
}
