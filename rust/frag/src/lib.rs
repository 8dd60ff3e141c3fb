#![forbid(unsafe_code)]
//! Fragment to flow table.
