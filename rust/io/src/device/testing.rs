//! What tests of devices share.
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use netfast_buf::{PacketPool, Skb};

use super::memory::{MemoryLink, MemoryOptions};

/// A folder that is removed at the end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("netfast-device-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl AsRef<Path> for Folder {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Two ports in memory, with room for so many packets each way.
pub fn memory(packets: usize) -> (MemoryLink, MemoryLink) {
    MemoryLink::pair(MemoryOptions { packets, ..MemoryOptions::default() }).unwrap()
}

/// An Ethernet frame with an IPv4 and a UDP header without a checksum, from 10.0.0.1:`from` to 10.0.0.2:53.
pub fn datagram(from: u16, payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u16;
    let mut frame = vec![0; 12];
    frame.extend_from_slice(&[0x08, 0x00, 0x45, 0]);
    frame.extend_from_slice(&(28 + length).to_be_bytes());
    frame.extend_from_slice(&[0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    for field in [from, 53, 8 + length, 0] {
        frame.extend_from_slice(&field.to_be_bytes());
    }
    frame.extend_from_slice(payload);
    frame
}

pub fn packet(bytes: &[u8], pool: &mut PacketPool) -> Skb {
    Skb::from_slice(bytes, pool).unwrap()
}
