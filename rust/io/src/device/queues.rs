//! Several queues of one interface as one device, all served by one worker.
//!
//! Where each queue is to have a worker of its own, each is given to a loop of its own instead: in another thread or another
//! process, which joins the interface (TUN, TAP) or the group (packet sockets).
//!
//! What comes in is taken from the queues in turn, a call each; the kernel keeps the packets of a flow in one queue, so they
//! stay in order. What is sent goes by a queue that its IP addresses choose, so it stays in order, too, and a TUN interface,
//! which sends by the queue that it heard a flow from, spreads the answers.
use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use netfast_buf::{BATCH_PACKETS, PacketBatch, PacketPool, Skb};
use netfast_low::hash::Seed;
use netfast_time::{Duration, Instant};
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use super::stack::debug;
use super::{Device, DeviceCounters, DeviceError, Link, Received};

/// When a queue that took no more is offered its packets again.
const RETRY: Duration = Duration::from_millis(1);

/// Queues of which one call of the system tells; more wait for the next.
const EVENTS: usize = 64;

/// Several queues of one interface.
pub struct Queues<D> {
    name: String,
    queues: Vec<D>,
    /// Tells which of them are readable.
    epoll: OwnedFd,
    /// Those that may have something, the next one first.
    ready: VecDeque<usize>,
    listed: Vec<bool>,
    /// What is offered to each; empty between two calls.
    offered: Vec<VecDeque<Skb>>,
    /// A queue took no more: when all are asked again.
    retry: Option<Instant>,
    /// Calls of the system for [`Queues::epoll`].
    calls: u64,
}

impl<D: Device> Queues<D> {
    /// Queues that [`TunOptions::open_queues`](super::tun::TunOptions::open_queues) or
    /// [`PacketSocket::open_queues`](super::packet_socket::PacketSocket::open_queues) opened, as one device.
    ///
    /// # Errors
    /// [`DeviceError::System`] where the system has no more descriptors, [`DeviceError::Setting`] without a queue, or
    /// when one of them cannot be waited for.
    pub fn new(name: &str, queues: Vec<D>) -> Result<Self, DeviceError> {
        let failed = |call| {
            move |source: rustix::io::Errno| DeviceError::System {
                device: name.to_owned(),
                call,
                source: source.into(),
            }
        };
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(failed("epoll_create1"))?;
        if queues.is_empty() {
            return Err(unfit(name, "0", "at least one"));
        }
        for (number, queue) in queues.iter().enumerate() {
            let descriptor =
                queue.descriptor().ok_or_else(|| unfit(name, queue.name(), "a descriptor each"))?;
            epoll::add(&epoll, descriptor, EventData::new_u64(number as u64), EventFlags::IN)
                .map_err(failed("epoll_ctl"))?;
        }
        let count = queues.len();
        Ok(Self {
            name: name.to_owned(),
            queues,
            epoll,
            ready: VecDeque::with_capacity(count),
            listed: vec![false; count],
            offered: (0..count).map(|_| VecDeque::new()).collect(),
            retry: None,
            calls: 0,
        })
    }

    /// The queues.
    pub fn queues(&self) -> &[D] {
        &self.queues
    }

    fn list(&mut self, number: usize) {
        if let Some(listed) = self.listed.get_mut(number)
            && !std::mem::replace(listed, true)
        {
            self.ready.push_back(number);
        }
    }

    /// Lists the queues that have something, and those that want to be asked.
    fn look(&mut self, now: Instant) -> Result<(), DeviceError> {
        let mut events = [const { MaybeUninit::<Event>::uninit() }; EVENTS];
        self.calls += 1;
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        match epoll::wait(&self.epoll, &mut events[..], Some(&zero)) {
            Ok((events, _)) => events.iter().for_each(|event| {
                let data = event.data;
                self.list(data.u64() as usize);
            }),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => {
                let (device, source) = (self.name.clone(), errno.into());
                return Err(DeviceError::System { device, call: "epoll_wait", source });
            }
        }
        for number in 0..self.queues.len() {
            if self.queues[number].next_timeout().is_some_and(|time| time <= now) {
                self.list(number);
            }
        }
        Ok(())
    }

    /// Offers each queue its packets. False when one took no more.
    fn offer(&mut self, now: Instant, pool: &mut PacketPool) -> (bool, Result<(), DeviceError>) {
        let (mut all, mut done) = (true, Ok(()));
        for (queue, offered) in self.queues.iter_mut().zip(&mut self.offered) {
            done = done.and(queue.transmit(now, offered, pool));
            all &= offered.is_empty() && !queue.is_blocked();
        }
        (all, done)
    }
}

fn unfit(device: &str, value: &str, expected: &str) -> DeviceError {
    let (device, value, expected) = (device.to_owned(), value.to_owned(), expected.to_owned());
    DeviceError::Setting { device, setting: "queues", value, expected }
}

/// What chooses the queue of a frame: its IP addresses; 0 without.
fn hash(frame: &[u8]) -> u64 {
    let addresses = match frame.get(12..14) {
        Some([0x08, 0x00]) => frame.get(26..34),
        Some([0x86, 0xdd]) => frame.get(22..54),
        _ => None,
    };
    let Some(addresses) = addresses else { return 0 };
    let mut words = [0; 5];
    for (word, bytes) in words.iter_mut().zip(addresses.chunks_exact(8)) {
        *word = bytes.first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes));
    }
    Seed::new(0).hash5(&words)
}

impl<D: Device> Device for Queues<D> {
    fn name(&self) -> &str {
        &self.name
    }

    /// That of the first queue.
    fn link(&self) -> Link {
        self.queues[0].link()
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.epoll.as_fd())
    }

    fn receive(
        &mut self,
        now: Instant,
        batch: &mut PacketBatch,
        pool: &mut PacketPool,
    ) -> Result<Received, DeviceError> {
        if self.ready.is_empty() {
            self.look(now)?;
        }
        // Each queue once: who always has more does not keep the others waiting.
        for _ in 0..self.ready.len() {
            if batch.is_full() {
                return Ok(Received::More);
            }
            let Some(number) = self.ready.pop_front() else { break };
            self.listed[number] = false;
            if self.queues[number].receive(now, batch, pool)? == Received::More {
                self.list(number);
            }
        }
        Ok(if self.ready.is_empty() { Received::Empty } else { Received::More })
    }

    fn transmit(
        &mut self,
        now: Instant,
        packets: &mut VecDeque<Skb>,
        pool: &mut PacketPool,
    ) -> Result<(), DeviceError> {
        loop {
            let count = packets.len().min(BATCH_PACKETS);
            for packet in packets.drain(..count) {
                let number = hash(packet.head()) % self.queues.len() as u64;
                self.offered[number as usize].push_back(packet);
            }
            let (all, done) = self.offer(now, pool);
            // Packets of one flow are in one queue, and so stay in order.
            for offered in &mut self.offered {
                offered.drain(..).rev().for_each(|packet| packets.push_front(packet));
            }
            self.retry = (!all).then(|| now + RETRY);
            done?;
            if !all || packets.is_empty() {
                return Ok(());
            }
        }
    }

    fn reap(&mut self, pool: &mut PacketPool) -> Result<(), DeviceError> {
        self.queues.iter_mut().try_for_each(|queue| queue.reap(pool))
    }

    fn in_flight(&self) -> usize {
        self.queues.iter().map(Device::in_flight).sum()
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.queues.iter().filter_map(Device::next_timeout).chain(self.retry).min()
    }

    fn counters(&self) -> DeviceCounters {
        let mut sum = DeviceCounters { system_calls: self.calls, ..DeviceCounters::default() };
        self.queues.iter().for_each(|queue| sum.add(&queue.counters()));
        sum
    }

    fn close(&mut self, pool: &mut PacketPool) -> Result<(), DeviceError> {
        self.queues.iter_mut().map(|queue| queue.close(pool)).fold(Ok(()), Result::and)
    }
}

impl<D: Device> std::fmt::Debug for Queues<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        debug(self, "Queues", f)
    }
}
