#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gondola_fuzz::read_manifest(bytes));
