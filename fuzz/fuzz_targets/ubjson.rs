#![no_main]

use gondola_fuzz::{Format, read_and_walk};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| read_and_walk(Format::Ubjson, bytes));
