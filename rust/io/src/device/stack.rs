//! What devices that hold another one share.
use std::collections::VecDeque;

use netfast_buf::{BATCH_PACKETS, ChecksumState, PacketPool, Skb};
use netfast_offload::segment::finish_checksum;
use netfast_time::Instant;
use netfast_wire::LinkType;

use super::{Device, DeviceError};

/// Who looks at packets on their way to a device.
pub(super) trait Observer {
    /// A packet that is offered to the device.
    fn offered(&mut self, packet: &Skb, pool: &mut PacketPool);

    /// The device took the first `count` of those that were offered since the last call.
    fn taken(&mut self, count: usize);
}

/// Offers packets to a device by at most a batch. Those that it does not take stay in the queue, and are offered again the
/// next time. `offered` is empty memory.
pub(super) fn offer(
    inner: &mut impl Device,
    now: Instant,
    packets: &mut VecDeque<Skb>,
    pool: &mut PacketPool,
    offered: &mut VecDeque<Skb>,
    observer: &mut impl Observer,
) -> Result<(), DeviceError> {
    if packets.is_empty() {
        return inner.transmit(now, packets, pool);
    }
    while !packets.is_empty() {
        let count = packets.len().min(BATCH_PACKETS);
        offered.extend(packets.drain(..count));
        offered.iter().for_each(|packet| observer.offered(packet, pool));
        let done = inner.transmit(now, offered, pool);
        let left = offered.len();
        observer.taken(count - left);
        offered.drain(..).rev().for_each(|packet| packets.push_front(packet));
        done?;
        if left > 0 {
            break;
        }
    }
    Ok(())
}

/// Puts a copy of a frame, at most `most` bytes of it, behind what is in `into`: as it would be on a wire, with an open
/// checksum filled in.
pub(super) fn copy_frame(packet: &Skb, most: usize, into: &mut Vec<u8>, pool: &mut PacketPool) {
    if packet.hot.checksum == ChecksumState::Partial
        && let Ok(mut twin) = Skb::from_slice(&packet.to_vec(), pool)
    {
        twin.hot.checksum = ChecksumState::Partial;
        (twin.hot.outer, twin.hot.inner) = (packet.hot.outer, packet.hot.inner);
        // What cannot be filled in is shown as it is.
        let _ = finish_checksum(&mut twin, LinkType::ETHERNET, pool);
        copy_bytes(&twin, most, into);
        return pool.recycle(twin);
    }
    copy_bytes(packet, most, into);
}

fn copy_bytes(packet: &Skb, most: usize, into: &mut Vec<u8>) {
    let mut left = most;
    for segment in packet.segments() {
        let count = segment.len().min(left);
        into.extend_from_slice(&segment[..count]);
        left -= count;
    }
}
