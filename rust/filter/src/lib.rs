//! Rule sets: a subset of nft(8), compiled and evaluated.
#![forbid(unsafe_code)]
