//! Offload features of a port, and what each of them needs.
