//! Prefetch, SIMD with portable twins, aligned tables: what needs unsafe and knows no protocol.
