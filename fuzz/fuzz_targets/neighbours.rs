#![no_main]
#[path = "../properties/neighbours.rs"]
mod neighbours;

libfuzzer_sys::fuzz_target!(|data: &[u8]| neighbours::check(data));
