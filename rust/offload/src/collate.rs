//! Receive collation: packets of a flow that follow one another travel as one super-packet.
//!
//! A packet is held until its flow's next one comes. That one's headers are cut off and its payload put behind the held one's
//! when nothing is lost by it: [`segment`](crate::segment) makes of the super-packet the very frames it was made of. The
//! rules are those of Linux 6.1's generic receive offload where these are lossless, and stricter where they are not:
//!
//! | What | Rule |
//! |---|---|
//! | link header, tags, tunnel headers | the same in all bytes; frames with bytes after the IP packet stay alone |
//! | IPv4 | no options, no fragments, reserved flag clear; TOS, TTL and flags the same; header checksum right |
//! | IPv4 identification, inside and outside | goes on by one, or stays the same with "don't fragment" |
//! | IPv6 | flow label, traffic class, hop limit and extension headers the same; of these hop-by-hop options, routing headers without segments left, and destination options |
//! | TCP | ports, acknowledgment, window, urgent pointer and options the same; the sequence number goes on |
//! | TCP flags | the same, but for CWR, FIN and PSH; no SYN, RST, URG. CWR only in the first. FIN and PSH end a super-packet, and cannot begin one |
//! | UDP | ports the same; all with checksum or (IPv4, tunnels) all without |
//! | payload | at least a byte and no more than the first one's; a shorter one is the last |
//! | transport checksum | right: known to be ([`ChecksumState::Good`](netfast_buf::ChecksumState)), or verified, which reads the payload once |
//! | tunnels | one: VXLAN, Geneve, GRE without sequence numbers, IP in IP |
//! | super-packet | at most 65,535 bytes of IP, 64 packets, 64 pieces |
//!
//! # What comes out
//! A packet that cannot be merged is put out as it is, not a byte changed. In a super-packet the IP and UDP lengths and the
//! checksums are those of the whole, FIN and PSH those of the last; the identification, CWR and all else are the
//! first's. Its hot line says how it is cut again ([`HotLine::gso_size`](netfast_buf::HotLine), segments, type, flags) and where its
//! headers are, and its checksum is `Good` and in its field: the sums of payloads follow from the checksums of the
//! packets. Only packets that all are [`ChecksumState::Partial`](netfast_buf::ChecksumState) become one that is. What a packet alone
//! knew in its hot line (time, flow) is lost but for the first's.
//!
//! No payload is copied. Where the first packet's headers may not be written (captured, shared), they are copied, and
//! headers that are spread over pieces are moved together; the pool counts it.
//!
//! # Order
//! Packets of one flow, which are those with the same ports and addresses in the same tunnel, VLAN and port, come out in the order in
//! which they came: what is held goes before whatever of its flow cannot be merged, and before fragments between its
//! addresses. Between flows the order is that in which packets end: one that cannot be held at once, a train when
//! its last packet comes, or when another takes its place, and what is left when the batch ends, the oldest first.
//!
//! # Limits
//! | [`CollatorConfig`] | At the limit | Counter |
//! |---|---|---|
//! | `max_flows` | of eight places the oldest is put out | [`End::Flows`] |
//! | `max_held_bytes` | the oldest are put out | [`End::Bytes`] |
//! | `max_hold` | it is put out | [`End::Batch`], [`End::Timeout`] |
//! | `max_segments` | it is put out | [`End::Segments`] |
//! | `max_length` | a new one begins | [`Reason::Length`] |
//!
//! Nothing is dropped: packets that came are those put out, those merged into another, and those [held](Collator::held).
mod config;
mod headers;
mod hints;
mod reason;
mod sums;
mod table;
mod train;

pub use config::{CollatorConfig, CollatorError};
pub use reason::{End, Reason};

use headers::{Carrier, Headers, MAX_HEADERS};
use hints::Hints;
use netfast_buf::{ChecksumState, PacketBatch, PacketPool, Skb};
use netfast_low::hash::Seed;
use netfast_time::Instant;
use table::{Place, Table};
use train::{Bounds, Merged, Refused};

/// How many packets ahead headers are asked for.
const AHEAD: usize = 4;

/// What a collator did. Always: `packets` is `merged` and the sum of `not_merged`; and it is `merged`, `out` and what is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CollatorCounters {
    /// Packets that came.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets that were merged into one before them.
    pub merged: u64,
    /// Packets that were put out, super-packets among them.
    pub out: u64,
    /// Super-packets that were put out.
    pub super_packets: u64,
    /// Packets that these stand for.
    pub super_segments: u64,
    /// Packets that were not merged, by [`Reason`].
    pub not_merged: [u64; Reason::COUNT],
    /// Held packets that were put out, by [`End`].
    pub ended: [u64; End::COUNT],
    /// Times that the clock went back; it counts as standing still.
    pub clock_went_back: u64,
}

impl Default for CollatorCounters {
    fn default() -> Self {
        Self {
            packets: 0,
            bytes: 0,
            merged: 0,
            out: 0,
            super_packets: 0,
            super_segments: 0,
            not_merged: [0; Reason::COUNT],
            ended: [0; End::COUNT],
            clock_went_back: 0,
        }
    }
}

impl CollatorCounters {
    /// Packets that a super-packet stands for on average; none without one.
    pub fn mean_segments(&self) -> Option<f64> {
        (self.super_packets > 0).then(|| self.super_segments as f64 / self.super_packets as f64)
    }

    /// Packets that were not merged for one reason.
    pub fn not_merged(&self, reason: Reason) -> u64 {
        self.not_merged[reason as usize]
    }

    /// Held packets that were put out for one reason.
    pub fn ended(&self, end: End) -> u64 {
        self.ended[end as usize]
    }
}

/// Merges packets of a flow that follow one another.
///
/// Give it batches ([`Collator::handle_batch`]); what comes out stands behind what is in the caller's list, in order. With
/// [`CollatorConfig::max_hold`] call [`Collator::poll`] at [`Collator::next_timeout`], and [`Collator::flush`] when no more packets
/// come.
#[derive(Debug)]
pub struct Collator {
    config: CollatorConfig,
    bounds: Bounds,
    seed: Seed,
    table: Table,
    hints: Hints,
    held_bytes: u64,
    begun: u64,
    now: Instant,
    pool: PacketPool,
    counters: CollatorCounters,
}

impl Collator {
    /// A collator that holds nothing. `seed` keeps others from choosing flows that stand in one place; `pool` is where
    /// memory for copied headers comes from.
    ///
    /// # Errors
    /// [`CollatorError`], when a setting is out of its range.
    pub fn new(config: CollatorConfig, seed: u64, pool: PacketPool) -> Result<Self, CollatorError> {
        config.check()?;
        Ok(Self {
            config,
            bounds: Bounds { length: config.max_length, segments: config.max_segments },
            seed: Seed::new(seed),
            table: Table::new(config.max_flows),
            hints: Hints::default(),
            held_bytes: 0,
            begun: 0,
            now: Instant::ZERO,
            pool,
            counters: CollatorCounters::default(),
        })
    }

    /// How it works.
    pub fn config(&self) -> &CollatorConfig {
        &self.config
    }

    /// What it did so far.
    pub fn counters(&self) -> &CollatorCounters {
        &self.counters
    }

    /// Packets held, of which each may be several that were merged.
    pub fn held(&self) -> usize {
        self.table.held
    }

    /// Their bytes.
    pub fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// Where its memory comes from, and the count of what was copied.
    pub fn pool(&self) -> &PacketPool {
        &self.pool
    }

    /// The same, to give packets back to.
    pub fn pool_mut(&mut self) -> &mut PacketPool {
        &mut self.pool
    }

    /// Takes packets, which leaves the batch empty, and puts out what is not held on.
    pub fn handle_batch(&mut self, now: Instant, packets: &mut PacketBatch, out: &mut Vec<Skb>) {
        self.poll(now, out);
        let list = packets.packets_mut();
        for at in 0..list.len() {
            if let Some(soon) = list.get(at + AHEAD) {
                soon.prefetch_head(2);
            }
            self.packet(&mut list[at], out);
        }
        packets.clear();
        if self.config.max_hold.as_nanos() == 0 {
            self.end_all(End::Batch, out);
        }
    }

    /// Puts out what was held as long as it may be.
    pub fn poll(&mut self, now: Instant, out: &mut Vec<Skb>) {
        if now < self.now {
            self.counters.clock_went_back += 1;
        }
        self.now = self.now.max(now);
        while let Some(at) = self.table.oldest() {
            if self.table.trains[at].started + self.config.max_hold > self.now {
                break;
            }
            self.end(at, End::Timeout, out);
        }
    }

    /// When [`Collator::poll`] has something to do; `None` while nothing is held.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.table.oldest().map(|at| self.table.trains[at].started + self.config.max_hold)
    }

    /// Puts out all that is held, the oldest first.
    pub fn flush(&mut self, out: &mut Vec<Skb>) {
        self.end_all(End::Flush, out);
    }

    fn end_all(&mut self, end: End, out: &mut Vec<Skb>) {
        while let Some(at) = self.table.oldest() {
            self.end(at, end, out);
        }
    }

    #[inline]
    fn packet(&mut self, packet: &mut Skb, out: &mut Vec<Skb>) {
        self.counters.packets += 1;
        self.counters.bytes += u64::from(packet.len());
        let (head, length) = (packet.head(), u64::from(packet.len()));
        let at = self.hints.place(head);
        // What is in a free place is a train's that has gone.
        if let Some(train) = self.table.trains.get_mut(at).filter(|train| train.count > 0) {
            match train.look(packet, head, &self.bounds, &mut self.pool) {
                Ok(next) => {
                    let merged = train.take(packet, &next, &self.bounds, &mut self.pool);
                    return self.merged(at, length, merged, out);
                }
                Err(Refused::Checksum) => packet.hot.checksum = ChecksumState::Bad,
                Err(Refused::Packet(reason)) => return self.other(packet, Some((at, reason)), out),
                Err(_) => {}
            }
        }
        self.other(packet, None, out);
    }

    /// A packet that was not merged where it was thought to belong, or was `refused` there.
    #[inline(never)]
    fn other(&mut self, packet: &mut Skb, refused: Option<(usize, Reason)>, out: &mut Vec<Skb>) {
        let headers = self.read(packet);
        if let Some(pair) = headers.pair {
            while let Some(at) = self.table.between(pair) {
                self.end(at, End::Other, out);
            }
        }
        let Some(flow) = headers.flow else {
            return self.pass(packet, headers.reason.unwrap_or(Reason::Malformed), out);
        };
        let place = self.table.place(flow);
        let mut why = headers.reason;
        if let Place::Held(at) = place {
            if why.is_none() {
                why = match refused {
                    Some((there, reason)) if there == at => Some(reason),
                    _ => match self.merge(at, packet, &headers, out) {
                        Ok(()) => return,
                        Err(reason) => Some(reason),
                    },
                };
            }
            self.end(at, End::Other, out);
        }
        if headers.reason.is_some() || packet.hot.checksum == ChecksumState::Bad {
            return self.pass(packet, why.unwrap_or(Reason::First), out);
        }
        if headers.ends {
            return self.pass(packet, why.unwrap_or(Reason::Push), out);
        }
        self.counters.not_merged[why.unwrap_or(Reason::First) as usize] += 1;
        self.begin(packet, &headers, place, out);
    }

    /// The headers of a packet, in its first segment.
    fn read(&mut self, packet: &mut Skb) -> Headers {
        let hot = packet.hot;
        let read = |packet: &Skb| {
            headers::read(packet.head(), packet.len(), packet.hot.in_port, &self.config, self.seed)
        };
        let mut headers = read(packet);
        if headers.is_cut && packet.pull(packet.len().min(MAX_HEADERS as u32), &mut self.pool).is_ok() {
            headers = read(packet);
        }
        if hot.gso_size != 0 {
            headers.reason = Some(Reason::Super);
        } else if hot.checksum == ChecksumState::Bad {
            headers.reason.get_or_insert(Reason::ChecksumBad);
        } else if hot.checksum == ChecksumState::Partial && headers.layout.carrier != Carrier::None {
            headers.reason.get_or_insert(Reason::ChecksumPartial);
        }
        headers
    }

    /// Merges a packet with what is held of its flow, or says why not.
    fn merge(
        &mut self,
        at: usize,
        packet: &mut Skb,
        headers: &Headers,
        out: &mut Vec<Skb>,
    ) -> Result<(), Reason> {
        let (train, length) = (&mut self.table.trains[at], u64::from(packet.len()));
        match train.look(packet, packet.head(), &self.bounds, &mut self.pool) {
            Ok(next) => {
                let merged = train.take(packet, &next, &self.bounds, &mut self.pool);
                self.merged(at, length, merged, out);
                Ok(())
            }
            Err(Refused::Differs) => Err(train.difference(packet, headers)),
            Err(Refused::Packet(reason)) => Err(reason),
            Err(Refused::First) if train.packet.hot.checksum == ChecksumState::Bad => {
                Err(Reason::ChecksumBad)
            }
            Err(Refused::First) => Err(Reason::First),
            Err(Refused::Checksum) => {
                packet.hot.checksum = ChecksumState::Bad;
                Err(Reason::ChecksumBad)
            }
        }
    }

    /// A packet of `length` bytes went into a train.
    #[inline]
    fn merged(&mut self, at: usize, length: u64, merged: Merged, out: &mut Vec<Skb>) {
        self.counters.merged += 1;
        self.held_bytes += length - self.table.trains[at].headers();
        if let Merged::Ends(end) = merged {
            self.end(at, end, out);
        } else {
            self.bound_bytes(out);
        }
    }

    #[inline]
    fn begin(&mut self, packet: &mut Skb, headers: &Headers, place: Place, out: &mut Vec<Skb>) {
        let at = match place {
            Place::Held(at) | Place::Free(at) => at,
            Place::Full(at) => {
                self.end(at, End::Flows, out);
                at
            }
        };
        let (head, layout) = (packet.head(), &headers.layout);
        let pair = |network: headers::Network| {
            headers::pair(head, usize::from(network.at), network.version, self.seed)
        };
        let outer = if layout.carrier == Carrier::None { 0 } else { pair(layout.outer) };
        let pairs = [pair(layout.inner), outer];
        self.held_bytes += u64::from(packet.len());
        self.begun += 1;
        self.hints.set(head, layout.inner.transport, at);
        let train = &mut self.table.trains[at];
        train.begin(packet, head, headers, self.now);
        train.order = self.begun;
        train.packet = std::mem::take(packet);
        self.table.enter(at, pairs);
        self.bound_bytes(out);
    }

    #[inline]
    fn bound_bytes(&mut self, out: &mut Vec<Skb>) {
        while self.held_bytes > self.config.max_held_bytes {
            let Some(at) = self.table.oldest() else { return };
            self.end(at, End::Bytes, out);
        }
    }

    /// Puts out what is held at a place.
    fn end(&mut self, at: usize, end: End, out: &mut Vec<Skb>) {
        let train = &mut self.table.trains[at];
        self.held_bytes -= u64::from(train.packet.len());
        self.counters.ended[end as usize] += 1;
        self.counters.out += 1;
        if train.count > 1 {
            self.counters.super_packets += 1;
            self.counters.super_segments += u64::from(train.count);
        }
        out.push(train.finish(&mut self.pool));
        self.table.leave(at);
    }

    /// Puts out a packet as it is.
    fn pass(&mut self, packet: &mut Skb, reason: Reason, out: &mut Vec<Skb>) {
        self.counters.not_merged[reason as usize] += 1;
        self.counters.out += 1;
        out.push(std::mem::take(packet));
    }
}
