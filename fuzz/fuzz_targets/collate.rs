#![no_main]
#[path = "../properties/collate.rs"]
mod collate;

libfuzzer_sys::fuzz_target!(|data: &[u8]| collate::check(data));
