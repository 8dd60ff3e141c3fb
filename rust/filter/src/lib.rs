#![forbid(unsafe_code)]
//! Packet filters: pcap-filter(7) expressions.
