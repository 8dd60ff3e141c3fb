//! Neighbours: static entries, and bounded queues of packets that wait for one.
#![forbid(unsafe_code)]
