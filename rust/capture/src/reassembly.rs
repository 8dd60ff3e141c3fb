//! Fragments of an input become whole datagrams before anybody sees them.
use crate::place::{NetworkPlace, Snap, forget_check_sequence, may_be_fragment, network_place};
use crate::tunnel::{self, tunnelled};
use netfast_buf::{Block, ChecksumState, Offsets, PacketPool, Skb};
use netfast_frag::{Outcome, Reassembled, Reassembler, ReassemblyConfig, ReassemblyCounters};
use netfast_io::capture::{PacketOptions, Record, RecordBatch};
use netfast_low::hash::Seed;
use netfast_time::{Duration, Instant};
use netfast_wire::LinkType;
use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

/// pcapng's option code of a comment.
const COMMENT: u16 = 1;

/// How the fragments of an input are put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReassembleOptions {
    /// Policies and limits. What concerns events and dropped fragments is set by the input.
    pub config: ReassemblyConfig,
    /// Whether fragments that never become a whole datagram are given in its place: where they are given up, with their own
    /// times. Otherwise they are left out.
    pub keep_incomplete: bool,
}

/// Counters of an input's reassembly; a handle that stays valid. Clones are one and the same.
#[derive(Clone, Debug, Default)]
pub struct ReassemblyGauge(Arc<Mutex<ReassemblyCounters>>);

impl ReassemblyGauge {
    /// Counters so far, of all packets of the input.
    pub fn counters(&self) -> ReassemblyCounters {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, counters: ReassemblyCounters) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = counters;
    }
}

/// The capture's time as reassembly sees it, which never goes back: a step forward beyond all timeouts counts as just
/// beyond them, and after such a step back time goes on from there. So one wrong time stamp only ends what waits.
#[derive(Debug)]
struct Clock {
    now: Instant,
    /// The latest time believed.
    last_ns: u64,
    /// Beyond all timeouts.
    step_ns: u64,
}

impl Clock {
    fn new(config: &ReassemblyConfig) -> Self {
        let longest = config.timeout_ipv4.max(config.timeout_ipv6).as_nanos();
        Self { now: Instant::ZERO, last_ns: 0, step_ns: longest.saturating_add(1_000_000_000) }
    }

    fn observe(&mut self, time_ns: u64) -> Instant {
        if time_ns >= self.last_ns {
            self.now += Duration::from_nanos((time_ns - self.last_ns).min(self.step_ns));
            self.last_ns = time_ns;
        } else if self.last_ns - time_ns > self.step_ns {
            self.last_ns = time_ns;
        }
        self.now
    }
}

/// Where a packet that may be a fragment is in its frame.
#[derive(Clone, Copy, Debug)]
struct Place {
    network: NetworkPlace,
    /// The header that says the length of an 802.3 frame before it.
    snap: Option<Snap>,
    /// The tunnels around it, as a number.
    tunnels: Option<u64>,
}

/// What stands between reading and filtering.
#[derive(Debug)]
pub(crate) struct Reassembly {
    engine: Reassembler,
    pool: PacketPool,
    clock: Clock,
    seed: Seed,
    keep_incomplete: bool,
    /// Link types by interface.
    links: Vec<u16>,
    gauge: ReassemblyGauge,
    given_up: Vec<Skb>,
    /// Packets that the engine need not see.
    others: u64,
    /// What the engine saw more than once: as what was made, or found within it, was a fragment again.
    again: ReassemblyCounters,
    places: Vec<Option<Place>>,
    /// The vector that is being made.
    made: Made,
}

/// A vector whose packets are not those of the file.
#[derive(Debug, Default)]
struct Made {
    bytes: Vec<u8>,
    records: Vec<Record>,
    frames: Vec<u64>,
    options: Vec<PacketOptions>,
    without_time: Vec<u32>,
}

impl Reassembly {
    pub fn new(options: &ReassembleOptions) -> Self {
        /// More than the fragments that one packet can make be given up.
        const KEPT: usize = 1 << 20;
        let config = ReassemblyConfig {
            max_events: 0,
            max_dropped: if options.keep_incomplete { KEPT } else { 0 },
            ..options.config.clone()
        };
        Self {
            clock: Clock::new(&config),
            seed: Seed::new(config.seed).next(),
            engine: Reassembler::new(config),
            pool: PacketPool::default(),
            keep_incomplete: options.keep_incomplete,
            links: Vec::new(),
            gauge: ReassemblyGauge::default(),
            given_up: Vec::new(),
            others: 0,
            again: ReassemblyCounters::default(),
            places: Vec::new(),
            made: Made::default(),
        }
    }

    /// Where a record's IP packet is, if it may be a fragment: the outermost, or one in a tunnel.
    fn place_of(&self, link: LinkType, bytes: &[u8]) -> Option<Place> {
        let (network, snap) = network_of(link, bytes)?;
        if may_be_fragment(bytes.get(network.offset as usize..)?) {
            return Some(Place { network, snap, tunnels: None });
        }
        within(link, bytes, &self.seed)
    }

    pub fn gauge(&self) -> ReassemblyGauge {
        self.gauge.clone()
    }

    /// Makes what the file has what is seen of it; `frames` gets the frame of each record where they do not follow each other.
    pub fn take(&mut self, batch: &mut RecordBatch, frames: &mut Vec<u64>) {
        frames.clear();
        let mut places = std::mem::take(&mut self.places);
        places.clear();
        places.extend(batch.packets().map(|(record, bytes)| self.place_of(LinkType(record.link), bytes)));
        let candidates = places.iter().flatten().count();
        self.others += (places.len() - candidates) as u64;
        if candidates > 0 || (self.keep_incomplete && !self.engine.is_empty()) {
            self.make(batch, &places);
            self.made.hand_over(batch, frames);
        } else {
            for record in &batch.records {
                let now = self.clock.observe(record.time_ns);
                self.expire(now);
            }
        }
        self.places = places;
        self.gauge.set(self.counters());
    }

    /// The engine's counters, and the packets that it did not see.
    fn counters(&self) -> ReassemblyCounters {
        let mut counters = self.engine.counters();
        let again = &self.again;
        counters.packets += self.others;
        counters.packets -= again.completed + again.atomic + again.not_fragments;
        counters.not_fragments = counters.not_fragments + self.others - again.not_fragments;
        counters.completed -= again.completed;
        counters.atomic -= again.atomic;
        counters
    }

    fn make(&mut self, batch: &RecordBatch, places: &[Option<Place>]) {
        for (at, &place) in places.iter().enumerate() {
            let record = batch.records[at];
            let now = self.clock.observe(record.time_ns);
            self.expire(now);
            match place {
                None => self.made.copy(batch, at),
                Some(place) => self.fragment(batch, at, place, now),
            }
        }
    }

    /// At the input's end: what waits is given up. False when there is nothing to be seen of it.
    pub fn finish(&mut self, batch: &mut RecordBatch, frames: &mut Vec<u64>) -> bool {
        self.expire(Instant::MAX);
        batch.clear();
        frames.clear();
        self.made.hand_over(batch, frames);
        self.gauge.set(self.counters());
        !batch.records.is_empty()
    }

    /// A record that may be a fragment. What it completes may be one again, of the packet in a tunnel.
    fn fragment(&mut self, batch: &RecordBatch, at: usize, mut place: Place, now: Instant) {
        let record = batch.records[at];
        let (link, frame) = (LinkType(record.link), batch.first_frame + at as u64);
        let mut bytes = Cow::Borrowed(record.data(batch.bytes()));
        let mut words = String::new();
        // Each round is deeper in the frame.
        while let Ok(mut packet) = Skb::from_slice(&bytes, &mut self.pool) {
            self.mark(&mut packet, &record, frame, place.network.offset);
            let context = self.context(record.interface, &place);
            let (packet, again) = match self.engine.handle_packet(now, context, packet, &mut self.pool) {
                Outcome::Held => break,
                Outcome::NotFragment(packet) => (packet, &mut self.again.not_fragments),
                Outcome::Dropped(dropped) => {
                    self.drop_waiting();
                    if self.keep_incomplete {
                        self.made.seen(batch, at, &bytes, &words);
                    }
                    self.pool.recycle(dropped.packet);
                    break;
                }
                Outcome::Atomic(packet) => {
                    words = "an atomic fragment (RFC 6946): its fragment header is gone".to_owned();
                    bytes = Cow::Owned(place.made(link, &packet));
                    (packet, &mut self.again.atomic)
                }
                Outcome::Complete(whole) => {
                    words = words_of(&whole, now);
                    bytes = Cow::Owned(place.made(link, &whole.packet));
                    (whole.packet, &mut self.again.completed)
                }
            };
            self.pool.recycle(packet);
            match within(link, &bytes, &self.seed).filter(|next| next.network.offset > place.network.offset) {
                Some(next) => {
                    *again += 1;
                    place = next;
                }
                None => {
                    self.made.seen(batch, at, &bytes, &words);
                    break;
                }
            }
        }
        // One came too late for the datagram that it names, whose fragments are given up.
        self.drop_waiting();
    }

    /// Notes on a packet what its record says, for the case that it is given up.
    fn mark(&mut self, packet: &mut Skb, record: &Record, frame: u64, network: u32) {
        let interface = usize::from(record.interface);
        if self.links.len() <= interface {
            self.links.resize(interface + 1, 0);
        }
        self.links[interface] = record.link;
        packet.hot.timestamp = Instant::from_nanos(record.time_ns);
        packet.hot.in_port = u32::from(record.interface) | ((frame >> 32) as u32) << 16;
        packet.hot.flow = frame as u32;
        packet.hot.outer = Offsets::new(None, Some(network), None);
    }

    /// Interfaces, VLANs and tunnels are worlds of their own.
    fn context(&self, interface: u16, Place { network, tunnels, .. }: &Place) -> u32 {
        if network.tags == 0 && tunnels.is_none() {
            return u32::from(interface);
        }
        let tunnels = tunnels.map_or((0, 0), |tunnels| (1, tunnels));
        let key = [u64::from(interface), network.vlans, u64::from(network.tags), tunnels.0, tunnels.1];
        self.seed.hash5(&key) as u32 | 1 << 31
    }

    fn expire(&mut self, now: Instant) {
        if self.engine.next_timeout().is_none_or(|next| next > now) {
            return;
        }
        while let Some(expired) = self.engine.poll_timeout(now, &mut self.pool) {
            match expired.first {
                Some(first) if self.keep_incomplete => self.given_up.push(first),
                Some(first) => self.pool.recycle(first),
                None => {}
            }
            self.drop_waiting();
        }
    }

    /// What was given up is seen as it came.
    fn drop_waiting(&mut self) {
        while let Some((packet, _)) = self.engine.poll_dropped() {
            self.given_up.push(packet);
        }
        if self.given_up.is_empty() {
            return;
        }
        self.given_up.sort_by_key(frame_of);
        for packet in self.given_up.drain(..) {
            let interface = packet.hot.in_port as u16;
            let link = self.links.get(usize::from(interface)).copied().unwrap_or_default();
            let time_ns = packet.hot.timestamp.as_nanos();
            self.made.push(
                Record { time_ns, link, interface, ..Record::default() },
                frame_of(&packet),
                &packet,
            );
            self.pool.recycle(packet);
        }
    }
}

fn frame_of(packet: &Skb) -> u64 {
    u64::from(packet.hot.in_port >> 16) << 32 | u64::from(packet.hot.flow)
}

impl Place {
    /// A frame whose packet is whole now, with the lengths before it right.
    fn made(&self, link: LinkType, packet: &Skb) -> Vec<u8> {
        let mut bytes = packet.to_vec();
        if self.tunnels.is_some() {
            // Headers before it may be shorter now.
            let offset = packet.hot.outer.l3().unwrap_or(self.network.offset);
            tunnel::set_lengths(link, &mut bytes, offset);
        }
        self.network.set_lengths(&mut bytes, packet.len());
        forget_check_sequence(link, &mut bytes);
        if let Some(snap) = self.snap {
            snap.remove(&mut bytes);
        }
        bytes
    }
}

/// The fragment that tunnels of a frame carry.
fn within(link: LinkType, bytes: &[u8], seed: &Seed) -> Option<Place> {
    let found = tunnelled(link, bytes, seed)?;
    let (network, snap) = network_of(link, bytes)?;
    let network = NetworkPlace { offset: found.offset, ..network };
    Some(Place { network, snap, tunnels: Some(found.world) })
}

fn network_of(link: LinkType, bytes: &[u8]) -> Option<(NetworkPlace, Option<Snap>)> {
    match network_place(link, bytes) {
        Some(network) => Some((network, None)),
        None if link == LinkType::ETHERNET => Snap::of(bytes).map(|(network, snap)| (network, Some(snap))),
        None => None,
    }
}

/// The comment of a reassembled datagram.
fn words_of(whole: &Reassembled, now: Instant) -> String {
    let (fragments, took) = (whole.fragments, words_of_time(now - whole.began));
    let doubt = match whole.packet.hot.checksum {
        ChecksumState::Bad => "; transport checksum wrong: perhaps of two datagrams (RFC 4963)",
        _ => "",
    };
    format!("reassembled from {fragments} fragments within {took}{doubt}")
}

/// A span of time in the unit that suits it.
fn words_of_time(span: Duration) -> String {
    match span.as_nanos() {
        nanos if nanos < 1_000_000 => format!("{:.3} µs", nanos as f64 / 1e3),
        nanos if nanos < 1_000_000_000 => format!("{:.3} ms", nanos as f64 / 1e6),
        nanos => format!("{:.3} s", nanos as f64 / 1e9),
    }
}

impl Made {
    /// A packet as it is in the file.
    fn copy(&mut self, batch: &RecordBatch, at: usize) {
        let record = batch.records[at];
        let place = self.begin();
        self.bytes.extend_from_slice(record.data(batch.bytes()));
        self.end(Record { offset: place, ..record }, batch.first_frame + at as u64);
        self.copy_options(batch, at, None);
    }

    /// What is seen in place of the record `at`: its bytes where there are no `words` about it.
    fn seen(&mut self, batch: &RecordBatch, at: usize, bytes: &[u8], words: &str) {
        if words.is_empty() {
            return self.copy(batch, at);
        }
        let (record, offset, len) = (batch.records[at], self.begin(), bytes.len() as u32);
        self.bytes.extend_from_slice(bytes);
        self.end(Record { offset, caplen: len, len, ..record }, batch.first_frame + at as u64);
        self.copy_options(batch, at, Some(words));
    }

    fn push(&mut self, record: Record, frame: u64, packet: &Skb) {
        let offset = self.begin();
        packet.segments().for_each(|segment| self.bytes.extend_from_slice(segment));
        forget_check_sequence(LinkType(record.link), &mut self.bytes[offset as usize..]);
        self.end(Record { offset, caplen: packet.len(), len: packet.len(), ..record }, frame);
    }

    fn begin(&self) -> u32 {
        self.bytes.len() as u32
    }

    fn end(&mut self, record: Record, frame: u64) {
        self.records.push(record);
        self.frames.push(frame);
    }

    /// What the file says of a record besides its bytes, and a comment more.
    fn copy_options(&mut self, batch: &RecordBatch, at: usize, comment: Option<&str>) {
        let record = self.records.len() as u32 - 1;
        if !batch.has_time(at) {
            self.without_time.push(record);
        }
        let theirs = batch.options.binary_search_by_key(&(at as u32), |options| options.record);
        let theirs = theirs.ok().map(|found| batch.options[found]);
        if theirs.is_none() && comment.is_none() {
            return;
        }
        let (start, big_endian) = (self.begin(), theirs.is_some_and(|theirs| theirs.big_endian));
        if let Some(text) = comment {
            let number = |value: u16| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
            self.bytes.extend_from_slice(&number(COMMENT));
            self.bytes.extend_from_slice(&number(text.len() as u16));
            self.bytes.extend_from_slice(text.as_bytes());
            self.bytes.resize(start as usize + (4 + text.len()).next_multiple_of(4), 0);
        }
        if let Some(theirs) = theirs {
            let bytes = batch.bytes().get(theirs.start as usize..theirs.end as usize).unwrap_or_default();
            self.bytes.extend_from_slice(bytes);
        }
        self.options.push(PacketOptions { record, start, end: self.begin(), big_endian });
    }

    fn hand_over(&mut self, batch: &mut RecordBatch, frames: &mut Vec<u64>) {
        batch.records.clear();
        batch.options.clear();
        batch.without_time.clear();
        std::mem::swap(&mut batch.records, &mut self.records);
        std::mem::swap(&mut batch.options, &mut self.options);
        std::mem::swap(&mut batch.without_time, &mut self.without_time);
        frames.append(&mut self.frames);
        batch.block = Some(Block::from(std::mem::take(&mut self.bytes)));
        (batch.file_offset, batch.block_offset) = (0, 0);
    }
}
