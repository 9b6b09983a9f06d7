#![no_main]

use gondola_fuzz::tables::{Format, read_and_convert};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| read_and_convert(Format::Parquet, bytes));
