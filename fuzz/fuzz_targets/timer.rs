#![no_main]
#[path = "../properties/timer.rs"]
mod timer;

libfuzzer_sys::fuzz_target!(|data: &[u8]| timer::check(data));
