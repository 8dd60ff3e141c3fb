//! `netfast.offload`: packets that travel as one, and are made several again.
mod collator;
mod file;
mod packets;
mod segmentation;

pub use collator::Collator;
pub use file::collate;
pub use packets::{OffloadBatch, OffloadBatchIterator, OffloadPacket};
pub use segmentation::{finish_checksums, segment};
