//! `netfast.offload`: packets that travel as one, and are made several again.
mod collator;
pub mod features;
mod file;
mod packets;
mod segmentation;
mod virtio;

pub use collator::{Collator, trust};
pub use features::{FeatureChange, Features, OffloadPlan, PortFeatures, RemovedFeature};
pub use file::collate;
pub use packets::{OffloadBatch, OffloadBatchIterator, OffloadPacket};
pub use segmentation::{checksums_of, finish_checksums, segment};
pub use virtio::{VirtioCodec, VirtioHeader};
