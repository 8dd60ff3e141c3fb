//! What is left to do for a packet before a wire takes it that offloads nothing.
use netfast_buf::{ChecksumState, GsoType, PacketPool, Skb};
use netfast_offload::segment::finish_checksum;
use netfast_wire::LinkType;
use std::collections::VecDeque;

use super::{DeviceCounters, DeviceReason};

/// How many packets from the front may be sent in one call, at most `most`. Those before them that can never go are dropped
/// and counted: they are longer than `longest` bytes or no frame. Checksums that were left to the device are filled in; a
/// super-packet, which the device's features do not ask for, is longer than the wire carries by any measure.
pub(super) fn sendable(
    packets: &mut VecDeque<Skb>,
    most: usize,
    longest: u32,
    counters: &mut DeviceCounters,
    pool: &mut PacketPool,
) -> usize {
    let mut count = 0;
    while count < most {
        let Some(packet) = packets.get_mut(count) else { break };
        match ready(packet, longest, pool) {
            Ok(()) => count += 1,
            Err(_) if count > 0 => break,
            Err(reason) => drop_front(packets, reason, counters, pool),
        }
    }
    count
}

fn ready(packet: &mut Skb, longest: u32, pool: &mut PacketPool) -> Result<(), DeviceReason> {
    if packet.len() > longest || packet.hot.gso_type != GsoType::None {
        return Err(DeviceReason::TooLong);
    }
    if packet.len() < ETHERNET_HEADER {
        return Err(DeviceReason::Malformed);
    }
    if packet.hot.checksum == ChecksumState::Partial {
        finish_checksum(packet, LinkType::ETHERNET, pool).map_err(|_| DeviceReason::Malformed)?;
    }
    Ok(())
}

/// Bytes of an Ethernet header.
pub(super) const ETHERNET_HEADER: u32 = 14;

/// Bytes of an Ethernet header with two VLAN tags (IEEE 802.1ad): what a frame may be longer than its packet.
pub(super) const LINK_HEADERS: u32 = ETHERNET_HEADER + 8;

/// Drops the packet at the front.
pub(super) fn drop_front(
    packets: &mut VecDeque<Skb>,
    reason: DeviceReason,
    counters: &mut DeviceCounters,
    pool: &mut PacketPool,
) {
    if let Some(packet) = packets.pop_front() {
        counters.drop_out(reason);
        pool.recycle(packet);
    }
}

/// Drops all packets.
pub(super) fn drop_all(
    packets: &mut VecDeque<Skb>,
    reason: DeviceReason,
    counters: &mut DeviceCounters,
    pool: &mut PacketPool,
) {
    while !packets.is_empty() {
        drop_front(packets, reason, counters, pool);
    }
}

/// Takes `count` packets from the front that were sent.
pub(super) fn sent(
    packets: &mut VecDeque<Skb>,
    count: usize,
    counters: &mut DeviceCounters,
    pool: &mut PacketPool,
) {
    for packet in packets.drain(..count.min(packets.len())) {
        counters.sent += 1;
        counters.sent_bytes += u64::from(packet.len());
        pool.recycle(packet);
    }
}
