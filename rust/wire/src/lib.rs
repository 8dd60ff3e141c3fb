#![forbid(unsafe_code)]
//! Header views and values, one-pass dissection, checksums.
