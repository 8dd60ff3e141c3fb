#![forbid(unsafe_code)]
//! 64-bit clock types and the timer wheel.
