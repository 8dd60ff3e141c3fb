//! The rule language: what is accepted, what is refused and where, and that nft agrees.
mod language {
    mod bounds;
    mod cases;
    mod doubts;
    mod including;
    mod messages;
    mod nft;
    mod properties;
    mod refusals;
    mod variables;
}
