//! Nanoseconds a segment.
fn main() {}
