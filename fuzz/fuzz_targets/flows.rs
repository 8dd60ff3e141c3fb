#![no_main]
#[path = "../properties/flows.rs"]
mod flows;

libfuzzer_sys::fuzz_target!(|data: &[u8]| flows::check(data));
