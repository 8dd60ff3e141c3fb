#![no_main]
#[path = "../properties/segment.rs"]
mod segment;

libfuzzer_sys::fuzz_target!(|data: &[u8]| segment::check(data));
