//! What a fragment costs while it waits.
use crate::config::ReassemblyConfig;
use crate::outcome::ReassemblyCounters;
use netfast_buf::{PacketPool, Skb};

/// Bytes that a waiting datagram occupies beside its fragments.
pub const DATAGRAM_BYTES: usize = 384;
/// Bytes that a waiting fragment occupies beside the blocks of its packet.
pub const FRAGMENT_BYTES: usize = 160;
/// Blocks of up to so many bytes are counted whole for each fragment that keeps them. Larger ones are shared by many packets.
pub const LARGE_BLOCK: usize = 1 << 16;

/// Bytes that a packet keeps, which is copied when it keeps a large block for a small part.
#[inline(always)]
pub(super) fn charge(
    packet: &mut Skb,
    config: &ReassemblyConfig,
    counters: &mut ReassemblyCounters,
    pool: &mut PacketPool,
) -> usize {
    packet.owned_memory().unwrap_or_else(|| charge_shared(packet, config, counters, pool)) + FRAGMENT_BYTES
}

#[inline(never)]
fn charge_shared(
    packet: &mut Skb,
    config: &ReassemblyConfig,
    counters: &mut ReassemblyCounters,
    pool: &mut PacketPool,
) -> usize {
    let bytes = blocks(packet);
    if config.pin_large_blocks || packet.memory().all(|size| size <= LARGE_BLOCK) {
        return bytes;
    }
    let whole = packet.head().len() == packet.len() as usize;
    let copy =
        if whole { Skb::from_slice(packet.head(), pool) } else { Skb::from_slice(&packet.to_vec(), pool) };
    let Ok(mut copy) = copy else { return bytes };
    counters.copied_bytes += u64::from(packet.len());
    let hot = packet.hot;
    copy.hot.timestamp = hot.timestamp;
    copy.hot.in_port = hot.in_port;
    copy.hot.flow = hot.flow;
    copy.hot.outer = hot.outer;
    copy.hot.checksum = hot.checksum;
    copy.hot.direction = hot.direction;
    *packet = copy;
    packet.owned_memory().unwrap_or(bytes)
}

/// Bytes of the blocks that a packet keeps; of large ones those that it shows.
pub(super) fn blocks(packet: &Skb) -> usize {
    let pieces = packet.memory().zip(packet.segments());
    pieces.map(|(size, piece)| if size > LARGE_BLOCK { piece.len() } else { size }).sum()
}
