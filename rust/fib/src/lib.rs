//! Forwarding tables: longest-prefix match, next-hop groups, policy rules.
#![forbid(unsafe_code)]
