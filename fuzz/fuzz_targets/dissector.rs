#![no_main]
#[path = "../properties/dissector.rs"]
mod dissector;

libfuzzer_sys::fuzz_target!(|data: &[u8]| dissector::check(data));
