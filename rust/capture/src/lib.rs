#![forbid(unsafe_code)]
//! A capture file becomes columns and flow records.
