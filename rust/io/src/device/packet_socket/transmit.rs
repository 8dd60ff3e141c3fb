//! From packets to the kernel.
use netfast_buf::{ChecksumState, GsoType, PacketPool, Skb};
use netfast_offload::features::VirtioFeatures;
use netfast_offload::segment::finish_checksum;
use netfast_offload::virtio::SHORT_HEADER;
use netfast_wire::LinkType;
use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;

use super::PacketSocket;
use crate::device::messages::MESSAGES;
use crate::device::outgoing::{self, ETHERNET_HEADER};
use crate::device::{DeviceError, DeviceReason};

/// The headers of offloads of the messages of one call.
type Headers = [[u8; SHORT_HEADER]; MESSAGES];

/// What is to be done about the packet at the front.
enum Front {
    /// It can go.
    Ready,
    /// It is to be cut first.
    Cut,
    /// It can never go.
    Drop(DeviceReason),
}

impl PacketSocket {
    /// Sends packets from the front.
    pub(super) fn send(
        &mut self,
        packets: &mut VecDeque<Skb>,
        pool: &mut PacketPool,
    ) -> Result<(), DeviceError> {
        if !self.interface.up && !packets.is_empty() {
            self.look()?;
            if !self.interface.up {
                outgoing::drop_all(packets, DeviceReason::LinkDown, &mut self.counters, pool);
            }
        }
        let mut headers: Headers = [[0; SHORT_HEADER]; MESSAGES];
        while !packets.is_empty() {
            let count = self.prepare(packets, &mut headers, pool);
            if count == 0 {
                continue;
            }
            let mut call = self.outbox.begin();
            for (packet, header) in packets.iter().take(count).zip(&headers) {
                call.message();
                if self.codec.is_some() {
                    call.piece(header);
                }
                call.packet(packet);
            }
            self.counters.system_calls += 1;
            match call.send(self.sender.as_fd()) {
                Ok(count) => outgoing::sent(packets, count, &mut self.counters, pool),
                Err(error) => {
                    if !self.front_failed(error, packets, pool)? {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// How many packets from the front can go in one call, with their headers. What can never go is dropped, what the
    /// kernel does not cut is cut.
    fn prepare(
        &mut self,
        packets: &mut VecDeque<Skb>,
        headers: &mut Headers,
        pool: &mut PacketPool,
    ) -> usize {
        let mut count = 0;
        while count < MESSAGES {
            let Some(packet) = packets.get_mut(count) else { break };
            match self.ready(packet, &mut headers[count], pool) {
                Front::Ready => count += 1,
                _ if count > 0 => break,
                Front::Cut => self.cut_front(packets, pool),
                Front::Drop(reason) => outgoing::drop_front(packets, reason, &mut self.counters, pool),
            }
        }
        count
    }

    #[inline]
    fn ready(&mut self, packet: &mut Skb, header: &mut [u8; SHORT_HEADER], pool: &mut PacketPool) -> Front {
        *header = [0; SHORT_HEADER];
        if packet.len() < ETHERNET_HEADER {
            return Front::Drop(DeviceReason::Malformed);
        }
        if packet.hot.gso_type == GsoType::None && packet.hot.checksum != ChecksumState::Partial {
            return Front::Ready;
        }
        self.offload(packet, header, pool)
    }

    /// Leaves a super-packet or a checksum to the kernel, as the header then says.
    fn offload(&mut self, packet: &mut Skb, header: &mut [u8; SHORT_HEADER], pool: &mut PacketPool) -> Front {
        let takes = self.takes(packet.hot.gso_type);
        let Some(codec) = self.codec.as_mut().filter(|_| takes) else {
            if packet.hot.gso_type != GsoType::None {
                return Front::Cut;
            }
            let finished = finish_checksum(packet, LinkType::ETHERNET, pool);
            return finished.map_or(Front::Drop(DeviceReason::Malformed), |()| Front::Ready);
        };
        match codec.send(std::mem::take(packet), pool) {
            Ok(mut sent) => {
                // The header is in a piece of its own: should the packet stay in the queue, it is as it was.
                let read = sent.read(0, header).and_then(|()| sent.pop(SHORT_HEADER as u32));
                *packet = sent;
                read.map_or(Front::Drop(DeviceReason::Malformed), |()| Front::Ready)
            }
            Err(refused) => {
                *packet = refused.packet;
                if packet.hot.gso_type != GsoType::None {
                    Front::Cut
                } else {
                    Front::Drop(DeviceReason::Malformed)
                }
            }
        }
    }

    /// True when the kernel has not refused such super-packets.
    fn takes(&self, kind: GsoType) -> bool {
        let needed = match kind {
            GsoType::None => return true,
            GsoType::Tcp4 => VirtioFeatures::HOST_TSO4,
            GsoType::Tcp6 => VirtioFeatures::HOST_TSO6,
            GsoType::Udp => VirtioFeatures::HOST_USO,
        };
        self.features.has(needed)
    }

    /// Cuts the super-packet at the front.
    fn cut_front(&mut self, packets: &mut VecDeque<Skb>, pool: &mut PacketPool) {
        let Some(packet) = packets.pop_front() else { return };
        let mut segments = Vec::new();
        match self.segmenter.segment(packet, pool, &mut segments) {
            Ok(_) => segments.into_iter().rev().for_each(|segment| packets.push_front(segment)),
            Err(refused) => {
                self.counters.drop_out(DeviceReason::Malformed);
                pool.recycle(refused.packet);
            }
        }
    }

    /// What the answer to the packet at the front means: true when there is more to be tried.
    fn front_failed(
        &mut self,
        error: io::Error,
        packets: &mut VecDeque<Skb>,
        pool: &mut PacketPool,
    ) -> Result<bool, DeviceError> {
        let kind = packets.front().map_or(GsoType::None, |packet| packet.hot.gso_type);
        let reason = match error.raw_os_error() {
            Some(libc::EINTR) => return Ok(true),
            Some(libc::EAGAIN) => {
                self.counters.blocked += 1;
                return Ok(false);
            }
            // Some kernels do not cut every kind for packet sockets: from now on we do.
            Some(libc::EINVAL) if kind != GsoType::None => {
                self.features = self.features.without(match kind {
                    GsoType::Udp => VirtioFeatures::HOST_USO,
                    _ => VirtioFeatures::HOST_TSO4.with(VirtioFeatures::HOST_TSO6),
                });
                return Ok(true);
            }
            Some(libc::EMSGSIZE) => DeviceReason::TooLong,
            Some(libc::ENETDOWN | libc::ENXIO | libc::ENODEV) => {
                self.look()?;
                if !self.interface.up {
                    outgoing::drop_all(packets, DeviceReason::LinkDown, &mut self.counters, pool);
                    return Ok(false);
                }
                DeviceReason::LinkDown
            }
            // The queueing discipline or the driver had no room. Nothing says when there is, so waiting would be spinning.
            Some(libc::ENOBUFS | libc::EINVAL | libc::EPERM | libc::EIO) => DeviceReason::Refused,
            _ => return Err(self.failed("sendmmsg", error)),
        };
        outgoing::drop_front(packets, reason, &mut self.counters, pool);
        Ok(true)
    }
}
