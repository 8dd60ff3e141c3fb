//! The node: routes, rules, connections and translations in one lookup.
#![forbid(unsafe_code)]
