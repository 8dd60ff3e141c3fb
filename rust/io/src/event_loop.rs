//! The loop that moves packets between devices and what stands above them.
//!
//! One worker, epoll(7), batches. A *turn* gives every port that has something one batch of up to 256 packets, in the order in
//! which they came to have it; what comes out is offered to its ports at once, while it is in the cache. Then timers, memory to
//! give back, and the wait for the next.
//!
//! # Whoever waits, and whoever drops
//! Each port has a queue of packets that its device would not take, bounded in packets and in bytes. When it is a good part
//! full ([`LoopConfig::pause_packets`], [`LoopConfig::pause_bytes`]), ports that feed it and [can wait](PortOptions::can_wait) are
//! not read until half of that has left; ports that cannot wait are read on, for their packets would be lost in the kernel all the
//! same, together with those for other ports. Behind the hard limit ([`LoopConfig::queue_packets`]) packets are dropped, newest
//! first, and counted. A device that takes nothing for [`LoopConfig::patience`] loses what waits for it, counted, and nobody
//! waits for it until it takes something: one peer that does not read stops nobody else for longer.
//!
//! # Devices that go
//! A device that fails is closed and taken out, which is told as an event; with [`PortOptions::reopen`] it is opened again,
//! after a delay that doubles from [`LoopConfig::retry_first`] to [`LoopConfig::retry_last`].
//!
//! # Who calls what
//! [`EventLoop::turn`] does all of a turn for an [`Above`]. Whoever has to do something else in the middle of one (to let a lock
//! go, say) calls its parts: [`EventLoop::begin`], then for each [`EventLoop::next_ready`] [`EventLoop::receive`],
//! [`EventLoop::send`] and [`EventLoop::flush`], and [`EventLoop::finish`]. Ports may come and go between any two calls.
use crate::device::{Device, DeviceCounters, DeviceError, Link, Received};
use netfast_buf::{PacketBatch, PacketPool, Skb};
use netfast_time::{Duration, Instant};
use std::collections::VecDeque;
use std::sync::Arc;

mod poller;
mod port;
#[cfg(test)]
mod tests;
mod types;
mod waiter;

pub use poller::{Clock, Poller, Ready};
pub use port::{LivePortCounters, PortOptions, Reopen};
pub use types::{Above, LoopConfig, LoopCounters, LoopError, LoopEvent, Turn};
pub use waiter::Waiter;

use poller::Told;
use port::{LivePort, Place};

/// Numbers of ports are below this; the loop keeps a place for each below the highest.
pub const MAX_PORTS: u32 = 1 << 20;

/// Events that wait to be taken; later ones are only counted.
const MAX_EVENTS: usize = 1_024;

/// How often devices are asked for their link.
const LINK_CHECK: Duration = Duration::from_millis(250);

/// Devices by number of their port, and what moves between them. See the module.
pub struct EventLoop {
    config: LoopConfig,
    poller: Arc<Poller>,
    /// By number; a place without a port is a pointer.
    ports: Vec<Option<Box<LivePort>>>,
    ready: VecDeque<u32>,
    /// Ports of this turn that are yet to come.
    round: usize,
    /// Ports that packets were put before, not offered yet, and where those came from.
    touched: Vec<(u32, Option<u32>)>,
    counters: LoopCounters,
    events: VecDeque<LoopEvent>,
    /// The deadline that the timer is set to.
    armed: Option<Instant>,
    next_link_check: Instant,
    draining: Option<Instant>,
}

impl EventLoop {
    /// A loop without ports.
    ///
    /// # Errors
    /// [`LoopError::System`] where the system has no more descriptors.
    pub fn new(config: LoopConfig) -> Result<Self, LoopError> {
        Ok(Self {
            config,
            poller: Arc::new(Poller::new()?),
            ports: Vec::new(),
            ready: VecDeque::new(),
            round: 0,
            touched: Vec::new(),
            counters: LoopCounters::default(),
            events: VecDeque::new(),
            armed: None,
            next_link_check: Instant::ZERO,
            draining: None,
        })
    }

    /// What to wait with; it may be waited at while the loop itself is used.
    pub fn poller(&self) -> Arc<Poller> {
        self.poller.clone()
    }

    /// Its limits.
    pub fn config(&self) -> &LoopConfig {
        &self.config
    }

    /// What it did.
    pub fn counters(&self) -> LoopCounters {
        self.counters
    }

    /// Events since the last time.
    pub fn take_events(&mut self) -> Vec<LoopEvent> {
        self.events.drain(..).collect()
    }

    /// Gives a port its device; it takes part from the next turn on, which may be under way.
    ///
    /// # Errors
    /// [`LoopError`]; nothing was changed but that the device is gone.
    pub fn add(&mut self, port: u32, device: Box<dyn Device>, options: PortOptions) -> Result<(), LoopError> {
        if port >= MAX_PORTS {
            return Err(LoopError::Number(port));
        }
        let at = port as usize;
        if self.ports.len() <= at {
            self.ports.resize_with(at + 1, || None);
        }
        if self.ports[at].is_some() {
            return Err(LoopError::Taken(port));
        }
        let mut live = LivePort::new(port, device, options, &self.config);
        live.link = live.device().map(|device| device.link());
        live.watch(self.poller.clock().now(), self.draining.is_some(), &self.poller)?;
        self.ports[at] = Some(Box::new(live));
        // What has arrived before is found, and its deadlines are heeded.
        self.list(port);
        self.poller.wake();
        Ok(())
    }

    /// Takes a port's device away, open; packets that wait for it are dropped and counted. With the device come the counters, which
    /// the loop forgets.
    pub fn remove(
        &mut self,
        port: u32,
        pool: &mut PacketPool,
    ) -> Option<(Option<Box<dyn Device>>, LivePortCounters)> {
        let mut live = self.ports.get_mut(port as usize)?.take()?;
        live.counters.unsent += live.empty_queue(pool);
        let device = live.take_device(&self.poller);
        self.release(port);
        Some((device, live.counters))
    }

    /// Ports with a device, or whose device is away.
    pub fn ports(&self) -> impl Iterator<Item = u32> + '_ {
        self.ports.iter().flatten().map(|port| port.number)
    }

    /// A port's device, unless it is away.
    pub fn device(&self, port: u32) -> Option<&dyn Device> {
        self.port(port)?.device()
    }

    /// What the devices of a port counted, all together.
    pub fn device_counters(&self, port: u32) -> Option<DeviceCounters> {
        let port = self.port(port)?;
        let mut sum = port.before.clone();
        if let Some(device) = port.device() {
            sum.add(&device.counters());
        }
        Some(sum)
    }

    /// What the loop counted for a port.
    pub fn port_counters(&self, port: u32) -> Option<LivePortCounters> {
        let port = self.port(port)?;
        Some(LivePortCounters { queued: port.queue.len(), queued_bytes: port.queue_bytes, ..port.counters })
    }

    /// What a port is on its link, as far as that is known; `None` while its device is away.
    pub fn link(&self, port: u32) -> Option<&Link> {
        self.port(port)?.link.as_ref()
    }

    /// True when nothing will come from a port any more.
    pub fn is_ended(&self, port: u32) -> bool {
        self.port(port).is_some_and(|port| port.ended)
    }

    /// From now on nothing is received; the loop is [drained](Turn::Drained) when what waits has left, at the latest at `until`:
    /// the earliest of those that were said since it last went on.
    pub fn drain(&mut self, until: Instant) {
        self.draining = Some(self.draining.map_or(until, |before| before.min(until)));
        self.poller.wake();
    }

    /// Goes on after it was drained.
    pub fn resume(&mut self) {
        self.draining = None;
        for at in 0..self.ports.len() {
            self.list(at as u32);
        }
    }

    /// Ends all devices in order and forgets the ports. What still waits is dropped.
    ///
    /// # Errors
    /// The first [`DeviceError`] of those that could not be completed; the others are closed all the same.
    pub fn close(&mut self, pool: &mut PacketPool) -> Result<(), DeviceError> {
        let mut first = Ok(());
        for port in self.ports().collect::<Vec<_>>() {
            if let Some((Some(mut device), _)) = self.remove(port, pool) {
                let closed = device.close(pool);
                first = first.and(closed);
            }
        }
        first
    }

    /// One turn for what stands above: all parts in their order. `batch` and `out` are memory from the turn before, empty.
    ///
    /// # Errors
    /// [`LoopError`]; what devices say is an event.
    pub fn turn(
        &mut self,
        ready: &Ready,
        above: &mut impl Above,
        batch: &mut PacketBatch,
        out: &mut Vec<(u32, Skb)>,
    ) -> Result<Turn, LoopError> {
        let now = self.poller.clock().now();
        self.begin(now, ready, above.pool());
        while let Some(port) = self.next_ready() {
            self.receive(now, port, batch, above.pool());
            if !batch.is_empty() {
                above.push(now, port, batch, out);
                for (to, packet) in out.drain(..) {
                    self.send(Some(port), to, std::iter::once(packet), above.pool());
                }
                self.flush(now, above.pool());
            }
        }
        if above.next_timeout().is_some_and(|time| time <= now) {
            above.poll(now, out);
            for (to, packet) in out.drain(..) {
                self.send(None, to, std::iter::once(packet), above.pool());
            }
            self.flush(now, above.pool());
        }
        self.finish(now, above.next_timeout(), above.pool())
    }

    /// Begins a turn with what the poller found.
    pub fn begin(&mut self, now: Instant, ready: &Ready, pool: &mut PacketPool) {
        self.counters.turns += 1;
        self.counters.timeouts += u64::from(ready.timer);
        self.counters.wakes += u64::from(ready.woken);
        if ready.timer {
            self.armed = None;
        }
        for told in &ready.told {
            match *told {
                Told::Readable(number) => {
                    self.list(number);
                    if let Some(port) = self.port_mut(number) {
                        port.told = true;
                    }
                }
                Told::Writable(port) => self.offer(now, port, true, pool),
                Told::Completed => {}
            }
        }
        for at in 0..self.ports.len() {
            let due = |port: &LivePort| port.deadline().is_some_and(|time| time <= now);
            if self.ports[at].as_deref().is_some_and(due) {
                self.look_again(now, at as u32, pool);
            }
        }
        if now >= self.next_link_check {
            self.next_link_check = now + LINK_CHECK;
            self.check_links();
        }
        self.round = if self.draining.is_some() { 0 } else { self.ready.len() };
    }

    /// The next port of this turn that may have something.
    pub fn next_ready(&mut self) -> Option<u32> {
        while self.round > 0 {
            self.round -= 1;
            let number = self.ready.pop_front()?;
            if let Some(port) = self.port_mut(number) {
                port.listed = false;
                if !port.ended && port.waits_for.is_none() {
                    return Some(number);
                }
            }
        }
        None
    }

    /// Takes a batch of what has arrived at a port. When its device fails the batch may still hold packets.
    pub fn receive(&mut self, now: Instant, number: u32, batch: &mut PacketBatch, pool: &mut PacketPool) {
        let Some(port) = self.port_mut(number) else { return };
        let Some(found) = port.receive(now, batch, pool) else { return };
        match found {
            Ok(Received::More) => {
                port.counters.budget_exhausted += 1;
                self.list(number);
            }
            Ok(Received::Empty) => {}
            Ok(Received::End) => {
                port.ended = true;
                self.tell(LoopEvent::Ended { port: number });
            }
            Err(error) => self.lose(now, number, error, pool),
        }
        if !batch.is_empty() {
            self.counters.batches += 1;
            self.counters.packets += batch.len() as u64;
        }
    }

    /// Packets to be sent by a port; `from` is where they came in, if they did. [`EventLoop::flush`] offers them to the device.
    pub fn send(
        &mut self,
        from: Option<u32>,
        to: u32,
        packets: impl Iterator<Item = Skb>,
        pool: &mut PacketPool,
    ) {
        let Some(port) = self.port_mut(to) else {
            self.counters.nowhere += packets.map(|packet| pool.recycle(packet)).count() as u64;
            return;
        };
        for packet in packets {
            port.enqueue(packet, pool);
        }
        if self.touched.last() != Some(&(to, from)) {
            self.touched.push((to, from));
        }
    }

    /// Offers devices what was put before them.
    pub fn flush(&mut self, now: Instant, pool: &mut PacketPool) {
        let mut touched = std::mem::take(&mut self.touched);
        for &(to, from) in &touched {
            self.offer(now, to, false, pool);
            let congested = self.port(to).is_some_and(|port| port.is_congested());
            if let Some(from) = from.filter(|_| congested).and_then(|from| self.port_mut(from))
                && from.options.can_wait
                && from.waits_for.is_none()
            {
                from.waits_for = Some(to);
                from.counters.paused += 1;
            }
        }
        touched.clear();
        self.touched = touched;
    }

    /// Ends a turn; `next` is when what stands above has something to do.
    ///
    /// # Errors
    /// [`LoopError::System`]; none is known that a loop can come to.
    pub fn finish(
        &mut self,
        now: Instant,
        next: Option<Instant>,
        pool: &mut PacketPool,
    ) -> Result<Turn, LoopError> {
        self.flush(now, pool);
        let mut deadline = [next, Some(self.next_link_check), self.draining].into_iter().flatten().min();
        let mut waiting = false;
        for at in 0..self.ports.len() {
            let Some(port) = &mut self.ports[at] else { continue };
            let reaped = port.device_mut().map_or(Ok(()), |device| device.reap(pool));
            if let Err(error) = reaped {
                self.lose(now, at as u32, error, pool);
                continue;
            }
            if let Some(to) = self.ports[at].as_ref().and_then(|port| port.waits_for)
                && self.port(to).is_none_or(|port| port.is_relaxed())
            {
                if let Some(port) = &mut self.ports[at] {
                    port.waits_for = None;
                }
                self.list(at as u32);
            }
            let Some(port) = &mut self.ports[at] else { continue };
            port.watch(now, self.draining.is_some(), &self.poller)?;
            let look = port.next_look(now, self.draining.is_some());
            deadline = deadline.into_iter().chain(look).min();
            waiting |= !port.queue.is_empty() || port.device().is_some_and(|device| device.in_flight() > 0);
        }
        if let Some(until) = self.draining {
            if !waiting || now >= until {
                return Ok(Turn::Drained);
            }
        } else if !self.ready.is_empty() {
            return Ok(Turn::More);
        }
        if let Some(deadline) = deadline {
            if deadline <= now {
                return Ok(Turn::More);
            }
            // A timer that is set to an earlier time is left: one turn for nothing is cheaper than setting it in each.
            if self.armed.is_none_or(|armed| deadline < armed || armed <= now) {
                self.poller.arm(deadline)?;
                self.armed = Some(deadline);
            }
        }
        Ok(Turn::Idle)
    }

    fn port(&self, port: u32) -> Option<&LivePort> {
        self.ports.get(port as usize)?.as_deref()
    }

    fn port_mut(&mut self, port: u32) -> Option<&mut LivePort> {
        self.ports.get_mut(port as usize)?.as_deref_mut()
    }

    /// Puts a port into the list of those that may have something.
    fn list(&mut self, number: u32) {
        if let Some(port) = self.port_mut(number)
            && !port.listed
            && !port.ended
        {
            port.listed = true;
            self.ready.push_back(number);
        }
    }

    /// Offers a port's device what waits for it.
    fn offer(&mut self, now: Instant, number: u32, writable: bool, pool: &mut PacketPool) {
        let Some(port) = self.port_mut(number) else { return };
        let before = port.unsent();
        let sent = port.transmit(now, pool);
        if writable && before > 0 && port.unsent() == before {
            port.note_refusal(now);
        }
        if let Err(error) = sent {
            self.lose(now, number, error, pool);
        }
    }

    /// A port's deadline has come.
    fn look_again(&mut self, now: Instant, number: u32, pool: &mut PacketPool) {
        let Some(port) = self.port_mut(number) else { return };
        match port.place {
            Place::Here(_) => {
                port.asked_again();
                self.offer(now, number, false, pool);
                self.list(number);
            }
            Place::Away { delay, .. } => self.reopen(now, number, delay),
        }
    }

    fn reopen(&mut self, now: Instant, number: u32, delay: Duration) {
        let last = self.config.retry_last;
        let Some(port) = self.port_mut(number) else { return };
        let Some(reopen) = &mut port.options.reopen else { return };
        match reopen() {
            Ok(device) => {
                let link = device.link();
                port.link = Some(link.clone());
                port.place = Place::Here(device);
                port.counters.reopened += 1;
                port.refused = false;
                self.tell(LoopEvent::Returned { port: number, link });
                self.list(number);
            }
            Err(error) => {
                let delay = Duration::from_nanos(delay.as_nanos().saturating_mul(2).min(last.as_nanos()));
                port.place = Place::Away { try_at: Some(now + delay), delay };
                // That it is not back yet is nothing new; that it may not come back by itself is.
                let is_refused = matches!(error, DeviceError::NotPermitted { .. });
                if is_refused && !std::mem::replace(&mut port.refused, true) {
                    self.tell(LoopEvent::Refused { port: number, error });
                }
            }
        }
    }

    /// A device does not go on.
    fn lose(&mut self, now: Instant, number: u32, error: DeviceError, pool: &mut PacketPool) {
        let (poller, first) = (self.poller.clone(), self.config.retry_first);
        let Some(port) = self.port_mut(number) else { return };
        if let Some(mut device) = port.take_device(&poller) {
            // That it failed is told; that it cannot be ended in order follows from it.
            let _ = device.close(pool);
            port.before.add(&device.counters());
        }
        port.counters.away += port.empty_queue(pool);
        let retried = port.options.reopen.is_some();
        port.place = Place::Away { try_at: retried.then(|| now + first), delay: first };
        self.release(number);
        self.tell(LoopEvent::Gone { port: number, error, retried });
    }

    /// Nobody waits for a port any more.
    fn release(&mut self, number: u32) {
        for at in 0..self.ports.len() {
            if let Some(port) = &mut self.ports[at]
                && port.waits_for == Some(number)
            {
                port.waits_for = None;
                self.list(at as u32);
            }
        }
    }

    /// Looks at the links as they were found the last time, and asks devices to look again, which they do when they receive.
    fn check_links(&mut self) {
        for at in 0..self.ports.len() {
            self.list(at as u32);
            let Some(port) = &mut self.ports[at] else { continue };
            let Some(link) = port.device().map(|device| device.link()) else { continue };
            if port.link.as_ref() != Some(&link) {
                port.link = Some(link.clone());
                self.tell(LoopEvent::Link { port: at as u32, link });
            }
        }
    }

    fn tell(&mut self, event: LoopEvent) {
        if self.events.len() < MAX_EVENTS {
            self.events.push_back(event);
        } else {
            self.counters.missed_events += 1;
        }
    }
}
