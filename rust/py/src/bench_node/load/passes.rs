//! What is timed: hits, first packets, scans, flows after a change of the rules.
use super::frames::{self, Chance, Part, UPPER};
use super::network::{LAN, WAN, WAN_MAC};
use super::{FRAMES, LAN_MAC, Load, LoadError, Transport, network};
use netfast_buf::{BATCH_PACKETS, Block, BlockMut};
use netfast_datapath::PortId;
use netfast_time::Duration;
use std::time::Instant as Clock;

/// Costs in a scan, ns a packet, and what became of the flows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scan {
    /// A packet of the scan, in batches that take turns with those of established flows.
    pub scan: f64,
    /// A packet of an established flow, in those.
    pub established: f64,
    /// A packet of an established flow, without a scan.
    pub calm: f64,
    /// A packet of the scan and an established one, side by side in one batch.
    pub pair: f64,
    /// Established flows that are not in the table any more.
    pub evicted: u64,
}

/// Costs after a change of the rules.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Revalidation {
    /// The change itself, ns: it does not visit flows.
    pub swap: f64,
    /// The first packet of a flow after it, ns.
    pub after: f64,
    /// The same packet without a change, ns.
    pub calm: f64,
}

/// Nanoseconds a packet since `begun`.
fn each(begun: Clock, packets: usize) -> f64 {
    begun.elapsed().as_nanos() as f64 / packets as f64
}

impl Load {
    /// All hits: ns a packet of a pass over the first `frames` of each direction, again and again up to a million packets,
    /// in batches of `batch`, which take turns between the directions.
    ///
    /// # Errors
    /// [`LoadError`]: a packet was no hit, or `batch` or `frames` are out of range.
    pub fn hits(&mut self, batch: usize, frames: usize) -> Result<f64, LoadError> {
        let (batch, frames) = (size("batch", batch, BATCH_PACKETS)?, size("frames", frames, FRAMES)?);
        let rounds = FRAMES / frames;
        let packets = rounds * frames * 2;
        let length = self.length();
        let mut cost = 0.0;
        self.all_hits(packets, |load, requests, replies| {
            let (requests, replies) = (&requests[..frames * length], &replies[..frames * length]);
            let begun = Clock::now();
            for _ in 0..rounds {
                for (request, reply) in requests.chunks(batch * length).zip(replies.chunks(batch * length)) {
                    load.send(LAN, request, length)?;
                    load.send(WAN, reply, length)?;
                }
            }
            cost = each(begun, packets);
            Ok(())
        })?;
        Ok(cost)
    }

    /// ns a packet in the node alone, packets made beforehand: of one piece, or with their payload in a piece of its own.
    ///
    /// # Errors
    /// [`LoadError`]: a packet was no hit.
    pub fn pieces(&mut self, nonlinear: bool) -> Result<f64, LoadError> {
        let length = self.length();
        let block = payload(length);
        // Headers are in the first piece, always.
        let headers = if self.plan.transport == Transport::Udp { UPPER + 8 } else { length };
        let mut nanos = 0;
        self.all_hits(2 * FRAMES, |load, requests, replies| {
            let batches = requests.chunks(BATCH_PACKETS * length).zip(replies.chunks(BATCH_PACKETS * length));
            for (port, frames) in batches.flat_map(|(request, reply)| [(LAN, request), (WAN, reply)]) {
                for frame in frames.chunks_exact(length) {
                    let head = if nonlinear { &frame[..headers] } else { frame };
                    load.batch.push_slice(head, load.node.pool())?;
                }
                if nonlinear {
                    for packet in load.batch.packets_mut() {
                        packet.append_block(block.clone(), headers, length - headers, load.node.pool())?;
                    }
                }
                let begun = Clock::now();
                load.node.push(load.now, port, &mut load.batch, &mut load.out);
                nanos += begun.elapsed().as_nanos();
                load.out.recycle(load.node.pool());
            }
            Ok(())
        })?;
        Ok(nanos as f64 / (2 * FRAMES) as f64)
    }

    /// ns a packet, each the first of another flow; `count` of them.
    ///
    /// # Errors
    /// [`LoadError`]: a packet was not forwarded.
    pub fn first_packets(&mut self, count: usize) -> Result<f64, LoadError> {
        let (length, bytes) = (self.length(), self.first_frames(count));
        let out = self.node.counters().out;
        let begun = Clock::now();
        for batch in bytes.chunks(BATCH_PACKETS * length) {
            self.send(LAN, batch, length)?;
        }
        let cost = each(begun, count);
        let (expected, found) = (count as u64, self.node.counters().out - out);
        match found == expected {
            true => Ok(cost),
            false => Err(LoadError::Astray { what: "forwarded", expected, found }),
        }
    }

    /// The first frames of `count` flows that were never there, one after the other.
    pub fn first_frames(&mut self, count: usize) -> Vec<u8> {
        let length = self.length();
        let mut bytes = Vec::with_capacity(count * length);
        for flow in self.fresh..self.fresh + count as u64 {
            bytes.extend_from_slice(&self.request(flow, Part::Open)[..length]);
        }
        self.fresh += count as u64;
        bytes
    }

    /// Lets all flows go: what they leave is free memory that was used before.
    pub fn flush(&mut self) {
        self.node.flush_connections();
    }

    /// A scan of random addresses and ports, mixed one to one with packets of established flows. From the side of the
    /// `clients` it passes the rules, so that each of its packets begins a flow and the table is full soon; from the
    /// other side the policy drops it.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn scan(&mut self, from_clients: bool, count: usize) -> Result<Scan, LoadError> {
        let count = size("count", count, FRAMES)?;
        let length = self.length();
        let (port, mac) = if from_clients { (LAN, LAN_MAC) } else { (WAN, WAN_MAC) };
        let frames_of = |load: &mut Self| {
            let mut bytes = Vec::with_capacity(count * length);
            for number in load.fresh..load.fresh + count as u64 {
                let ends = frames::scan(load.plan.seed, number, from_clients);
                bytes.extend_from_slice(&ends.frame(load.plan.transport, Part::Open, mac)[..length]);
            }
            load.fresh += count as u64;
            bytes
        };
        let (apart, mixed) = (frames_of(self), frames_of(self));
        let mut result = Scan { scan: 0.0, established: 0.0, calm: 0.0, pair: 0.0, evicted: 0 };
        self.all_hits(3 * count, |load, requests, replies| {
            let known = &if from_clients { requests } else { replies }[..count * length];
            // The batches of the scan come after those of the others: with none, that is the calm.
            (result.calm, _) = load.take_turns(port, known, &[], length)?;
            (result.established, result.scan) = load.take_turns(port, known, &apart, length)?;
            let begun = Clock::now();
            let half = BATCH_PACKETS / 2 * length;
            for (known, scan) in known.chunks(half).zip(mixed.chunks(half)) {
                for (known, scan) in known.chunks_exact(length).zip(scan.chunks_exact(length)) {
                    load.batch.push_slice(known, load.node.pool())?;
                    load.batch.push_slice(scan, load.node.pool())?;
                }
                load.node.push(load.now, port, &mut load.batch, &mut load.out);
                load.out.recycle(load.node.pool());
            }
            result.pair = each(begun, count);
            Ok(())
        })?;
        let kept = self.node.connections().filter(|connection| connection.packets[1] > 0).count();
        result.evicted = u64::from(self.plan.flows).saturating_sub(kept as u64);
        Ok(result)
    }

    /// ns a packet of each, batch by batch.
    fn take_turns(
        &mut self,
        port: PortId,
        known: &[u8],
        scan: &[u8],
        length: usize,
    ) -> Result<(f64, f64), LoadError> {
        let (mut nanos, packets) = ([0u128; 2], known.len() / length);
        let mut others = scan.chunks(BATCH_PACKETS * length);
        for batch in known.chunks(BATCH_PACKETS * length) {
            let begun = Clock::now();
            self.send(port, batch, length)?;
            nanos[0] += begun.elapsed().as_nanos();
            if let Some(batch) = others.next() {
                let begun = Clock::now();
                self.send(port, batch, length)?;
                nanos[1] += begun.elapsed().as_nanos();
            }
        }
        Ok((nanos[0] as f64 / packets as f64, nanos[1] as f64 / packets as f64))
    }

    /// Another set of rules, which differs in one; then a packet of each flow, in random order.
    ///
    /// # Errors
    /// [`LoadError`]: a packet was not forwarded, or not decided anew.
    pub fn revalidate(&mut self) -> Result<Revalidation, LoadError> {
        let (flows, length) = (self.plan.flows, self.length());
        let mut order: Vec<u32> = (0..flows).collect();
        let mut chance = Chance::new(self.plan.seed ^ 0x6f_72_64_65_72);
        for at in (1..order.len()).rev() {
            order.swap(at, chance.below(at as u64 + 1) as usize);
        }
        let mut bytes = Vec::with_capacity(flows as usize * length);
        for flow in order {
            bytes.extend_from_slice(&self.request(u64::from(flow), Part::Request)[..length]);
        }
        let calm = self.once(&bytes, length)?;
        let more = network::rules(self.plan.rules + 1, self.plan.nat)?;
        let usual = network::rules(self.plan.rules, self.plan.nat)?;
        let begun = Clock::now();
        self.node.set_rules(more)?;
        let swap = begun.elapsed().as_nanos() as f64;
        let before = self.node.counters().cache.revalidated;
        let after = self.once(&bytes, length)?;
        let found = self.node.counters().cache.revalidated - before;
        self.node.set_rules(usual)?;
        self.once(&bytes, length)?;
        // Both ways of each flow have to be right for the next pass.
        self.settle()?;
        let expected = u64::from(flows);
        match found == expected {
            true => Ok(Revalidation { swap, after, calm }),
            false => Err(LoadError::Astray { what: "decided anew", expected, found }),
        }
    }

    /// ns a packet of frames of the clients.
    fn once(&mut self, bytes: &[u8], length: usize) -> Result<f64, LoadError> {
        self.now += Duration::from_millis(1);
        let begun = Clock::now();
        for batch in bytes.chunks(BATCH_PACKETS * length) {
            self.send(LAN, batch, length)?;
        }
        Ok(each(begun, bytes.len() / length))
    }

    /// The frames that are drawn for passes go through once, however they are decided.
    fn settle(&mut self) -> Result<(), LoadError> {
        let (length, replies) = (self.length(), std::mem::take(&mut self.replies));
        let sent = replies.chunks(BATCH_PACKETS * length).try_for_each(|batch| self.send(WAN, batch, length));
        self.replies = replies;
        sent
    }
}

/// A count from one to `most`.
fn size(field: &'static str, value: usize, most: usize) -> Result<usize, LoadError> {
    let (value, most) = (value as u64, most as u64);
    match (1..=most).contains(&value) {
        true => Ok(value as usize),
        false => Err(LoadError::Range { field, value, least: 1, most }),
    }
}

/// Payload that packets share.
fn payload(length: usize) -> Block {
    BlockMut::unpooled(length).freeze()
}
