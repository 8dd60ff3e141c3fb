//! Packets of a capture through a node, as they come.
use super::LoadError;
use super::network::{self, LAN, LAN_MAC, WAN, WAN_MAC};
use netfast_buf::{BATCH_PACKETS, PacketBatch};
use netfast_time::Instant;
use std::time::Instant as Clock;

/// Frames of a capture, each of the side that its sender is on.
#[derive(Debug, Default)]
pub struct Replay {
    bytes: Vec<u8>,
    /// Where each ends, whether it comes from the servers, and its time, ns.
    frames: Vec<(usize, bool, u64)>,
}

impl Replay {
    /// Adds a frame; its link address becomes that of the node's port.
    pub fn add(&mut self, time_ns: u64, frame: &[u8]) {
        let from_servers = is_from_servers(frame);
        let at = self.bytes.len();
        self.bytes.extend_from_slice(frame);
        if let Some(mac) = self.bytes[at..].first_chunk_mut::<6>() {
            *mac = if from_servers { WAN_MAC } else { LAN_MAC };
        }
        self.frames.push((self.bytes.len(), from_servers, time_ns));
    }

    /// All frames through a new node with as many rules: ns a packet, first packets of flows among them, and the part of the
    /// packets that one lookup decided.
    ///
    /// # Errors
    /// [`LoadError`]: the node refuses something, or there are no frames.
    pub fn run(&self, rules: usize, seed: u64) -> Result<(f64, f64), LoadError> {
        let (mut node, mut out) = network::node(1 << 18, network::rules(rules, false)?, seed)?;
        let mut batches = [PacketBatch::new(), PacketBatch::new()];
        let (mut at, mut now) = (0, Instant::ZERO);
        let begun = Clock::now();
        for (end, from_servers, time_ns) in &self.frames {
            let side = usize::from(*from_servers);
            batches[side].push_slice(&self.bytes[at..*end], node.pool())?;
            (at, now) = (*end, now.max(Instant::from_nanos(*time_ns)));
            if batches[side].len() == BATCH_PACKETS {
                node.push(now, [LAN, WAN][side], &mut batches[side], &mut out);
                out.recycle(node.pool());
            }
        }
        for (port, batch) in [LAN, WAN].into_iter().zip(&mut batches) {
            node.push(now, port, batch, &mut out);
            out.recycle(node.pool());
        }
        let nanos = begun.elapsed().as_nanos() as f64;
        let (expected, counters) = (self.frames.len() as u64, node.counters());
        if expected == 0 || counters.packets_in != expected {
            return Err(LoadError::Astray { what: "taken", expected, found: counters.packets_in });
        }
        Ok((nanos / expected as f64, counters.cache.hits as f64 / expected as f64))
    }
}

/// Servers are in 2001:db8:1::/48, 10.1.0.0/16 and 10.128.0.0/9.
fn is_from_servers(frame: &[u8]) -> bool {
    match frame.get(12..14) {
        Some([0x86, 0xdd]) => frame.get(26..28) == Some(&[0, 1]),
        Some([0x08, 0x00]) => frame.get(27).is_some_and(|second| *second == 1 || *second >= 128),
        _ => false,
    }
}
