#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gondola_fuzz::feast::read_feast(bytes));
