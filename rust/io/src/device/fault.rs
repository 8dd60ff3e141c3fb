//! Faults of a wire, injected on purpose: loss, duplicates, reordering, delay, corruption, each way for itself.
//!
//! What befalls a packet is decided by the seed, the direction and its number there, and by nothing else: a run with the
//! same packets in the same order meets the same faults, however they are batched.
//!
//! The kinds are those of Linux's netem (tc-netem(8)). A super-packet meets its fate whole, as there, but for corruption:
//! then it is cut, with right checksums, and one of its segments is damaged.
mod way;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use netfast_buf::{BATCH_PACKETS, PacketBatch, PacketPool, Skb};
use netfast_time::{Duration, Instant};

use super::{Device, DeviceCounters, DeviceError, DeviceReason, Received};
use way::Way;

/// When packets that a device below did not take, or that nobody asked for when they were due, are offered again.
const RETRY: Duration = Duration::from_millis(1);

/// How long a reordered packet waits for others to overtake it.
pub const REORDER_TIME: Duration = Duration::from_millis(10);

/// The default of [`Faults::limit`], as netem's.
pub const FAULT_PACKETS: usize = 1_000;

/// What befalls packets of one direction. Shares are from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Faults {
    /// Share of packets that are lost.
    pub loss: f64,
    /// Share of packets that come twice.
    pub duplicate: f64,
    /// Share of packets that are held back until [`Faults::reorder_gap`] others have overtaken them, at most
    /// [`REORDER_TIME`].
    pub reorder: f64,
    /// How many overtake, at least 1.
    pub reorder_gap: u32,
    /// Share of packets in which a bit is flipped behind the link header.
    pub corrupt: f64,
    /// How long each packet takes.
    pub delay: Duration,
    /// By how much that varies, evenly, to both sides. Packets overtake each other where it is more than their distance.
    pub jitter: Duration,
    /// The most packets that wait for their time; those that come then are lost ([`FaultCounters::overflow`]).
    pub limit: usize,
}

impl Faults {
    /// A wire without faults.
    pub const NONE: Self = Self {
        loss: 0.0,
        duplicate: 0.0,
        reorder: 0.0,
        reorder_gap: 1,
        corrupt: 0.0,
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
        limit: FAULT_PACKETS,
    };

    fn check(&self, device: &str) -> Result<(), DeviceError> {
        let setting = |setting, value: String, expected: &str| {
            Err(DeviceError::Setting {
                device: device.to_owned(),
                setting,
                value,
                expected: expected.to_owned(),
            })
        };
        for (name, share) in [
            ("loss", self.loss),
            ("duplicate", self.duplicate),
            ("reorder", self.reorder),
            ("corrupt", self.corrupt),
        ] {
            if !(0.0..=1.0).contains(&share) {
                return setting(name, share.to_string(), "a share from 0 to 1");
            }
        }
        if self.reorder_gap == 0 {
            return setting("reorder_gap", "0".to_owned(), "at least 1 packet");
        }
        if self.limit == 0 {
            return setting("limit", "0".to_owned(), "at least 1 packet");
        }
        Ok(())
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self::NONE
    }
}

/// What happened to packets of one direction:
/// `packets + duplicated + cut = passed + lost + overflow + waiting`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCounters {
    /// Packets that came.
    pub packets: u64,
    /// Packets that went on.
    pub passed: u64,
    /// Packets that were lost by chance.
    pub lost: u64,
    /// Packets that found as many as may wait, or were still waiting at the end.
    pub overflow: u64,
    /// Packets that were made in addition.
    pub duplicated: u64,
    /// Packets that were held back.
    pub reordered: u64,
    /// Packets that were damaged.
    pub corrupted: u64,
    /// What super-packets became more, when they were cut to be damaged.
    pub cut: u64,
    /// Packets that wait now.
    pub waiting: u64,
}

/// A device whose packets meet faults.
pub struct FaultInjector<D> {
    inner: D,
    receive: Way,
    transmit: Way,
    batch: PacketBatch,
    /// Counted by what is above.
    received: u64,
    received_bytes: u64,
    /// When it was asked last.
    asked: Instant,
    ended: bool,
}

impl<D: Device> FaultInjector<D> {
    /// Puts faults before a device, for what comes from it and for what goes there.
    ///
    /// # Errors
    /// [`DeviceError::Setting`].
    pub fn new(inner: D, receive: Faults, transmit: Faults, seed: u64) -> Result<Self, DeviceError> {
        receive.check(inner.name())?;
        transmit.check(inner.name())?;
        Ok(Self {
            inner,
            receive: Way::new(receive, seed, 0),
            transmit: Way::new(transmit, seed, 1),
            batch: PacketBatch::new(),
            received: 0,
            received_bytes: 0,
            asked: Instant::ZERO,
            ended: false,
        })
    }

    /// What happened to packets that came from the device, and to those that went there.
    pub fn fault_counters(&self) -> [FaultCounters; 2] {
        [self.receive.counters(), self.transmit.counters()]
    }

    /// Other faults from now on; packets that wait keep theirs.
    ///
    /// # Errors
    /// [`DeviceError::Setting`]; nothing changes then.
    pub fn set_faults(&mut self, receive: Faults, transmit: Faults) -> Result<(), DeviceError> {
        receive.check(self.inner.name())?;
        transmit.check(self.inner.name())?;
        (self.receive.faults, self.transmit.faults) = (receive, transmit);
        Ok(())
    }

    /// The device below.
    pub fn inner(&self) -> &D {
        &self.inner
    }

    /// Sends what is due. The device is asked also where that is nothing, as it may have something of its own to do.
    fn send_due(&mut self, now: Instant, pool: &mut PacketPool) -> Result<(), DeviceError> {
        self.transmit.release(now);
        let before = self.transmit.ready.len();
        let sent = self.inner.transmit(now, &mut self.transmit.ready, pool);
        self.transmit.passed(before.saturating_sub(self.transmit.ready.len()));
        sent
    }

    /// Gives what is due; false when there is more than the batch holds.
    fn give_due(&mut self, now: Instant, batch: &mut PacketBatch) -> bool {
        self.receive.release(now);
        while !batch.is_full() {
            let Some(packet) = self.receive.ready.pop_front() else { return true };
            self.received += 1;
            self.received_bytes += u64::from(packet.len());
            self.receive.passed(1);
            batch.push(packet).expect("it is not full");
        }
        self.receive.ready.is_empty()
    }

    fn give(
        &mut self,
        now: Instant,
        batch: &mut PacketBatch,
        pool: &mut PacketPool,
    ) -> Result<Received, DeviceError> {
        if !self.give_due(now, batch) || batch.is_full() {
            return Ok(Received::More);
        }
        let found = match self.ended {
            true => Ok(Received::End),
            false => self.inner.receive(now, &mut self.batch, pool),
        };
        for packet in self.batch.drain() {
            self.receive.take(now, packet, pool);
        }
        if !self.give_due(now, batch) {
            return found.map(|_| Received::More);
        }
        let found = found?;
        self.ended = found == Received::End;
        Ok(if self.ended && self.receive.waiting() > 0 { Received::Empty } else { found })
    }
}

impl<D: Device> Device for FaultInjector<D> {
    forward!(self => self.inner; name link descriptor sender reap is_blocked completions);

    fn receive(
        &mut self,
        now: Instant,
        batch: &mut PacketBatch,
        pool: &mut PacketPool,
    ) -> Result<Received, DeviceError> {
        self.asked = now;
        self.send_due(now, pool)?;
        self.give(now, batch, pool)
    }

    fn transmit(
        &mut self,
        now: Instant,
        packets: &mut VecDeque<Skb>,
        pool: &mut PacketPool,
    ) -> Result<(), DeviceError> {
        self.asked = now;
        loop {
            self.send_due(now, pool)?;
            // What the device does not take holds up those behind it.
            if !self.transmit.ready.is_empty() || packets.is_empty() {
                return Ok(());
            }
            let some = packets.len().min(BATCH_PACKETS);
            for packet in packets.drain(..some) {
                self.transmit.take(now, packet, pool);
            }
        }
    }

    fn in_flight(&self) -> usize {
        self.transmit.waiting() + self.inner.in_flight()
    }

    fn next_timeout(&self) -> Option<Instant> {
        let own = [self.receive.next(), self.transmit.next()].into_iter().flatten();
        // What was due when we were asked and is still here waits for the device, or for somebody to take it.
        let own = own.map(|due| if due > self.asked { due } else { self.asked + RETRY });
        own.chain(self.inner.next_timeout().filter(|_| !self.ended)).min()
    }

    /// Those of the device, but `received` is what went on from here, and lost packets are
    /// [`DeviceReason::Injected`]; so is what waited at the end.
    fn counters(&self) -> DeviceCounters {
        let mut counters = self.inner.counters();
        (counters.received, counters.received_bytes) = (self.received, self.received_bytes);
        counters.dropped_in[DeviceReason::Injected as usize] += self.receive.dropped();
        counters.dropped_out[DeviceReason::Injected as usize] += self.transmit.dropped();
        counters
    }

    fn close(&mut self, pool: &mut PacketPool) -> Result<(), DeviceError> {
        self.receive.clear(pool);
        self.transmit.clear(pool);
        self.inner.close(pool)
    }
}
