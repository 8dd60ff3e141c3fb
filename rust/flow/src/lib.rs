#![forbid(unsafe_code)]
//! Flow keys, the bucketed flow table, TCP state, flow records.
