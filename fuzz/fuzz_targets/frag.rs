#![no_main]
#[path = "../properties/frag.rs"]
mod frag;

libfuzzer_sys::fuzz_target!(|data: &[u8]| frag::check(data));
