//! What needs `unsafe` or a machine's special instructions and knows no protocol; every reason stands in `SAFETY.md`.
#![deny(unsafe_op_in_unsafe_fn)]

pub mod bits;
pub mod crc32c;
pub mod hash;
pub mod moves;
pub mod pages;
pub mod prefetch;
pub mod sum;
pub mod tags;
pub mod zeroed;
