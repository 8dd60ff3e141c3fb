//! Two ports that are joined in memory, in one process: what one sends the other receives.
//!
//! Packets move, with their marks: super-packets and open checksums go through whole. Each direction is a queue of at most
//! [`MemoryOptions::packets`] packets and [`MEMORY_BYTES`] bytes. What does not fit stays with the sender: its descriptor
//! is writable again when half of that is free.
//!
//! The descriptors are those of a pair of sockets, as one descriptor has to say both that something can be received and
//! that something can be sent, which an eventfd cannot. They carry a byte when a queue is no longer empty, and are filled
//! when it is full.
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use netfast_buf::{Direction, PacketBatch, PacketPool, Skb};
use netfast_offload::features::FeatureSet;
use netfast_time::Instant;

use super::{Device, DeviceCounters, DeviceError, DeviceReason, Link, Received};

/// The default of [`MemoryOptions::packets`]: four batches.
pub const MEMORY_PACKETS: usize = 1_024;

/// The most bytes that wait in a direction; a packet more may stand there, so that none is too long.
pub const MEMORY_BYTES: u64 = 16 << 20;

/// How two ports are joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryOptions {
    /// The names of the two ends.
    pub names: [String; 2],
    /// The link addresses of the two ends.
    pub macs: [Option<[u8; 6]>; 2],
    /// The most packets that wait in a direction.
    pub packets: usize,
    /// The MTU in bytes, from 68 to 65,535.
    pub mtu: u32,
    /// Whether there are no neighbours to resolve.
    pub point_to_point: bool,
    /// What the ends say that they do for the sender. Nothing has to be done for a packet that stays in memory.
    pub features: FeatureSet,
}

impl Default for MemoryOptions {
    fn default() -> Self {
        let features = FeatureSet::SCATTER_GATHER
            .with(FeatureSet::TX_CHECKSUM_IP_GENERIC)
            .with(FeatureSet::TX_TCP_SEGMENTATION)
            .with(FeatureSet::TX_TCP6_SEGMENTATION)
            .with(FeatureSet::TX_TCP_ECN_SEGMENTATION)
            .with(FeatureSet::TX_TCP_MANGLEID_SEGMENTATION)
            .with(FeatureSet::TX_UDP_SEGMENTATION)
            .with(FeatureSet::RX_CHECKSUM);
        Self {
            names: ["memory0".to_owned(), "memory1".to_owned()],
            macs: [None, None],
            packets: MEMORY_PACKETS,
            mtu: 1_500,
            point_to_point: false,
            features,
        }
    }
}

/// What waits for an end.
#[derive(Debug, Default)]
struct Queue {
    packets: VecDeque<Skb>,
    bytes: u64,
    /// The sockets were filled, because more is to come than fits.
    filled: bool,
    /// Nobody sends any more, or nobody takes.
    closed: bool,
}

#[derive(Debug)]
struct Shared {
    /// What waits for each end.
    queues: [Mutex<Queue>; 2],
    /// The descriptor of each end; what is written to one is read from the other.
    sockets: [UnixStream; 2],
}

impl Shared {
    fn queue(&self, end: usize) -> MutexGuard<'_, Queue> {
        // A panic while it was held cannot leave a half-changed queue: nothing in between can.
        self.queues[end].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes an end's descriptor readable.
    fn tell(&self, end: usize) {
        // When no byte fits it is readable.
        let _ = (&self.sockets[1 - end]).write(&[0]);
    }

    /// Makes the descriptor of the one who sends to an end not writable.
    fn fill(&self, end: usize) {
        while (&self.sockets[1 - end]).write(&[0; 4_096]).is_ok_and(|count| count > 0) {}
    }

    /// Takes back what [`Shared::tell`] and [`Shared::fill`] did.
    fn drain(&self, end: usize) {
        while (&self.sockets[end]).read(&mut [0; 4_096]).is_ok_and(|count| count > 0) {}
    }
}

/// An end of two ports that are joined in memory. It may be sent to another thread.
#[derive(Debug)]
pub struct MemoryLink {
    shared: Arc<Shared>,
    end: usize,
    options: Arc<MemoryOptions>,
    counters: DeviceCounters,
    closed: bool,
}

impl MemoryLink {
    /// Two ends.
    ///
    /// # Errors
    /// [`DeviceError::Setting`]; [`DeviceError::System`] where there are no descriptors left.
    pub fn pair(options: MemoryOptions) -> Result<(Self, Self), DeviceError> {
        let setting = |setting, value: String, expected: &str| DeviceError::Setting {
            device: options.names[0].clone(),
            setting,
            value,
            expected: expected.to_owned(),
        };
        if options.packets == 0 {
            return Err(setting("packets", "0".to_owned(), "at least 1"));
        }
        if !(68..=65_535).contains(&options.mtu) {
            return Err(setting("mtu", options.mtu.to_string(), "68 to 65535"));
        }
        let system = |call| {
            let device = options.names[0].clone();
            move |source| DeviceError::System { device, call, source }
        };
        let (a, b) = UnixStream::pair().map_err(system("socketpair"))?;
        for socket in [&a, &b] {
            socket.set_nonblocking(true).map_err(system("fcntl O_NONBLOCK"))?;
            // The least that there is: it is filled with it.
            let small = rustix::net::sockopt::set_socket_send_buffer_size(socket, 1);
            small.map_err(|error| system("setsockopt SO_SNDBUF")(error.into()))?;
        }
        let shared = Arc::new(Shared { queues: Default::default(), sockets: [a, b] });
        let options = Arc::new(options);
        let end = |end| Self {
            shared: shared.clone(),
            end,
            options: options.clone(),
            counters: DeviceCounters::default(),
            closed: false,
        };
        Ok((end(0), end(1)))
    }

    fn leave(&mut self) {
        if self.closed {
            return;
        }
        self.closed = true;
        self.shared.queue(self.end).closed = true;
        self.shared.queue(1 - self.end).closed = true;
        self.shared.tell(1 - self.end);
        // The other one may wait to send.
        self.shared.drain(self.end);
    }
}

impl Drop for MemoryLink {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Device for MemoryLink {
    fn name(&self) -> &str {
        &self.options.names[self.end]
    }

    fn link(&self) -> Link {
        Link {
            mac: self.options.macs[self.end],
            mtu: self.options.mtu,
            point_to_point: self.options.point_to_point,
            up: !self.closed && !self.shared.queue(self.end).closed,
            features: self.options.features,
        }
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        (!self.closed).then(|| self.shared.sockets[self.end].as_fd())
    }

    fn receive(
        &mut self,
        now: Instant,
        batch: &mut PacketBatch,
        _: &mut PacketPool,
    ) -> Result<Received, DeviceError> {
        if self.closed {
            return Ok(Received::End);
        }
        let mut queue = self.shared.queue(self.end);
        while !batch.is_full()
            && let Some(mut packet) = queue.packets.pop_front()
        {
            let bytes = u64::from(packet.len());
            queue.bytes -= bytes;
            self.counters.received += 1;
            self.counters.received_bytes += bytes;
            // Whose flow it was says nothing here.
            (packet.hot.timestamp, packet.hot.flow, packet.hot.direction) = (now, 0, Direction::Forward);
            batch.push(packet).expect("it is not full");
        }
        let empty = queue.packets.is_empty();
        let has_room = queue.packets.len() <= self.options.packets / 2 && queue.bytes <= MEMORY_BYTES / 2;
        if (empty || (queue.filled && has_room)) && !queue.closed {
            queue.filled = false;
            self.shared.drain(self.end);
            if !empty {
                self.shared.tell(self.end);
            }
        }
        Ok(match (empty, queue.closed) {
            (false, _) => Received::More,
            (true, false) => Received::Empty,
            (true, true) => Received::End,
        })
    }

    fn transmit(
        &mut self,
        _: Instant,
        packets: &mut VecDeque<Skb>,
        pool: &mut PacketPool,
    ) -> Result<(), DeviceError> {
        if packets.is_empty() {
            return Ok(());
        }
        let mut queue = self.shared.queue(1 - self.end);
        if queue.closed {
            for packet in packets.drain(..) {
                self.counters.drop_out(DeviceReason::LinkDown);
                pool.recycle(packet);
            }
            return Ok(());
        }
        let was_empty = queue.packets.is_empty();
        while queue.packets.len() < self.options.packets
            && queue.bytes < MEMORY_BYTES
            && let Some(packet) = packets.pop_front()
        {
            let bytes = u64::from(packet.len());
            queue.bytes += bytes;
            self.counters.sent += 1;
            self.counters.sent_bytes += bytes;
            queue.packets.push_back(packet);
        }
        if was_empty {
            self.counters.system_calls += 1;
            self.shared.tell(1 - self.end);
        }
        if !packets.is_empty() {
            self.counters.blocked += 1;
            if !queue.filled {
                queue.filled = true;
                self.shared.fill(1 - self.end);
            }
        }
        Ok(())
    }

    fn counters(&self) -> DeviceCounters {
        self.counters.clone()
    }

    fn close(&mut self, pool: &mut PacketPool) -> Result<(), DeviceError> {
        self.leave();
        let left = std::mem::take(&mut self.shared.queue(self.end).packets);
        for packet in left {
            self.counters.drop_in(DeviceReason::LinkDown);
            pool.recycle(packet);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
