//! What devices that hold another one share.
use std::collections::VecDeque;
use std::fmt;
use std::path::Path;

use netfast_buf::{BATCH_PACKETS, ChecksumState, PacketPool, Skb};
use netfast_offload::segment::finish_checksum;
use netfast_time::Instant;
use netfast_wire::LinkType;

use super::{Device, DeviceError};

/// Methods of [`Device`] that are those of the device in a field: `forward!(self => self.inner; name link);`.
macro_rules! forward {
    ($self:ident => $inner:expr; name) => {
        fn name(&$self) -> &str {
            $inner.name()
        }
    };
    ($self:ident => $inner:expr; link) => {
        fn link(&$self) -> $crate::device::Link {
            $inner.link()
        }
    };
    ($self:ident => $inner:expr; descriptor) => {
        fn descriptor(&$self) -> Option<std::os::fd::BorrowedFd<'_>> {
            $inner.descriptor()
        }
    };
    ($self:ident => $inner:expr; sender) => {
        fn sender(&$self) -> Option<std::os::fd::BorrowedFd<'_>> {
            $inner.sender()
        }
    };
    ($self:ident => $inner:expr; receive) => {
        fn receive(
            &mut $self,
            now: netfast_time::Instant,
            batch: &mut netfast_buf::PacketBatch,
            pool: &mut netfast_buf::PacketPool,
        ) -> Result<$crate::device::Received, $crate::device::DeviceError> {
            $inner.receive(now, batch, pool)
        }
    };
    ($self:ident => $inner:expr; transmit) => {
        fn transmit(
            &mut $self,
            now: netfast_time::Instant,
            packets: &mut std::collections::VecDeque<netfast_buf::Skb>,
            pool: &mut netfast_buf::PacketPool,
        ) -> Result<(), $crate::device::DeviceError> {
            $inner.transmit(now, packets, pool)
        }
    };
    ($self:ident => $inner:expr; reap) => {
        fn reap(&mut $self, pool: &mut netfast_buf::PacketPool) -> Result<(), $crate::device::DeviceError> {
            $inner.reap(pool)
        }
    };
    ($self:ident => $inner:expr; in_flight) => {
        fn in_flight(&$self) -> usize {
            $inner.in_flight()
        }
    };
    ($self:ident => $inner:expr; is_blocked) => {
        fn is_blocked(&$self) -> bool {
            $inner.is_blocked()
        }
    };
    ($self:ident => $inner:expr; completions) => {
        fn completions(&$self) -> Option<std::os::fd::BorrowedFd<'_>> {
            $inner.completions()
        }
    };
    ($self:ident => $inner:expr; next_timeout) => {
        fn next_timeout(&$self) -> Option<netfast_time::Instant> {
            $inner.next_timeout()
        }
    };
    ($self:ident => $inner:expr; counters) => {
        fn counters(&$self) -> $crate::device::DeviceCounters {
            $inner.counters()
        }
    };
    ($self:ident => $inner:expr; keeper) => {
        fn keeper(&$self) -> Option<$crate::device::Keeper> {
            $inner.keeper()
        }
    };
    ($self:ident => $inner:expr; close) => {
        fn close(&mut $self, pool: &mut netfast_buf::PacketPool) -> Result<(), $crate::device::DeviceError> {
            $inner.close(pool)
        }
    };
    ($self:ident => $inner:expr; $($method:ident)+) => { $(forward!($self => $inner; $method);)+ };
}

/// What a device shows of itself for `Debug`: what it is called, is on its link, and did.
pub(super) fn debug(device: &dyn Device, kind: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.debug_struct(kind)
        .field("name", &device.name())
        .field("link", &device.link())
        .field("counters", &device.counters())
        .finish_non_exhaustive()
}

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

/// What is wrong with a file that a device reads or writes.
pub(super) fn file_error(path: &Path, source: crate::Error) -> DeviceError {
    DeviceError::File { path: path.display().to_string(), source }
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
