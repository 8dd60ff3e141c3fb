#![no_main]
#[path = "../properties/datapath.rs"]
mod datapath;

libfuzzer_sys::fuzz_target!(|data: &[u8]| datapath::check(data));
