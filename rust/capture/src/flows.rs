//! A capture becomes flow records: on one thread in the caller's, or split over several.
use crate::input::Input;
use crate::threads::Threads;
use crate::{Error, FlowColumns};
use netfast_flow::{
    ClockCounts, FlowBudget, FlowConfig, FlowCounts, FlowError, FlowMeter, FlowPacket, FlowRecord, NoFlow,
    Observed, PacketClock, Seen, Upper, fragment_key,
};
use netfast_frag::{FragmentConfig, FragmentCounts, FragmentTable};
use netfast_io::capture::Record;
use netfast_wire::{Frame, Layers, Limits, LinkType, Present, Verdict, dissect, dissect_innermost};
use std::sync::Arc;

/// Records asked for at once: what is kept of them fits the first-level cache.
const VECTOR: usize = 64;
/// Vectors that one step reads at most: some tenth of a second.
const VECTORS_A_STEP: usize = 8192;
/// Flows in a batch of records, about: they stay in the second-level cache until they are columns.
pub(crate) const FLOW_BATCH: usize = 2048;

/// How flows are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowOptions {
    /// The flow table.
    pub flow: FlowConfig,
    /// Flows of the innermost packets in place of the outermost.
    pub inner: bool,
    /// Threads; 0 and 1 are the caller's own, and so it is for a pipe, whose flows come as they end. Records are the
    /// same with any number, their order is not.
    pub threads: usize,
}

/// Where the packets of an input went: `packets = in_flows + sum(no_flow)`, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowCounters {
    /// Packets read and kept by the filter.
    pub packets: u64,
    /// Packets that belong to a flow.
    pub in_flows: u64,
    /// Packets that belong to none, by the order of [`NoFlow::ALL`].
    pub no_flow: [u64; NoFlow::ALL.len()],
    /// Flows begun and ended.
    pub flows: FlowCounts,
    /// Fragments.
    pub fragments: FragmentCounts,
    /// What the clock mended.
    pub clock: ClockCounts,
}

impl FlowCounters {
    /// Adds another part's counters.
    pub(crate) fn add(&mut self, other: &Self) {
        self.packets += other.packets;
        self.in_flows += other.in_flows;
        self.no_flow.iter_mut().zip(other.no_flow).for_each(|(a, b)| *a += b);
        self.flows.packets += other.flows.packets;
        self.flows.begun += other.flows.begun;
        self.flows.ended.iter_mut().zip(other.flows.ended).for_each(|(a, b)| *a += b);
        self.flows.reseeded += other.flows.reseeded;
        self.fragments.first += other.fragments.first;
        self.fragments.matched += other.fragments.matched;
        self.fragments.unmatched += other.fragments.unmatched;
        self.fragments.forgotten += other.fragments.forgotten;
        self.clock.backward += other.clock.backward;
        self.clock.wild += other.clock.wild;
        self.clock.jumps += other.clock.jumps;
    }

    /// Every packet went to exactly one place.
    pub fn conserved(&self) -> bool {
        self.packets == self.in_flows + self.no_flow.iter().sum::<u64>()
            && self.in_flows == self.flows.packets
    }
}

/// A vector of packets on its way into a flow table.
#[derive(Debug, Default)]
pub(crate) struct Vector {
    pub packets: Vec<FlowPacket>,
    fragments: Vec<Fragment>,
    taken: u64,
    no_flow: [u64; NoFlow::ALL.len()],
    /// The time at its end, where its packets are only some of those that were read.
    pub now: Option<Seen>,
}

/// A fragment among them: what it says must be known before the vector is pushed.
#[derive(Debug)]
struct Fragment {
    at: usize,
    layers: Layers,
}

impl Vector {
    pub fn clear(&mut self) {
        self.packets.clear();
        self.fragments.clear();
        self.taken = 0;
        self.no_flow = Default::default();
        self.now = None;
    }

    /// Takes a dissected packet; the hash is made when the vector is pushed or handed over.
    #[inline(always)]
    pub fn add(&mut self, layers: &Layers, time_ns: u64, seen: Seen, wire_len: u32) {
        self.taken += 1;
        // In its place from the beginning: what was written field by field is slow to copy at once.
        let at = self.packets.len();
        self.packets.push(FlowPacket { time_ns, wire_len, ..FlowPacket::default() });
        let packet = &mut self.packets[at];
        packet.seen(seen);
        match packet.fill(layers) {
            Ok(()) => {
                if layers.present.has(Present::MORE_FRAGMENTS) {
                    self.fragments.push(Fragment { at, layers: *layers });
                }
            }
            Err(reason) => self.odd(layers, reason),
        }
    }

    /// The packet added last has no ports.
    #[cold]
    fn odd(&mut self, layers: &Layers, reason: NoFlow) {
        let Some(mut packet) = self.packets.pop() else { return };
        if layers.verdict == Verdict::NonFirstFragment && layers.present.has(Present::IP) {
            // Its addresses are known, and with them whose it is; the rest its first fragment tells.
            packet.with_upper(layers, &Upper { protocol: layers.protocol, ..Upper::default() });
            self.fragments.push(Fragment { at: self.packets.len(), layers: *layers });
            self.packets.push(packet);
        } else {
            self.no_flow[reason as usize] += 1;
        }
    }

    /// Says when its packets count as seen, and moves them behind those of another vector.
    pub fn settle(&mut self, seen: Seen, into: &mut Self) {
        let before = into.packets.len();
        self.packets.iter_mut().for_each(|packet| packet.seen(seen));
        into.packets.append(&mut self.packets);
        let moved = self.fragments.drain(..);
        into.fragments.extend(moved.map(|fragment| Fragment { at: fragment.at + before, ..fragment }));
        into.taken += std::mem::take(&mut self.taken);
        into.no_flow.iter_mut().zip(std::mem::take(&mut self.no_flow)).for_each(|(a, b)| *a += b);
    }

    /// Moves the packets whose addresses hash to each part into that part's vector.
    pub fn split(&mut self, parts: &mut [Self], seed: netfast_low::hash::Seed) {
        let count = parts.len() as u64;
        let part_of = |packet: &FlowPacket| (((packet.key.address_hash(seed) >> 32) * count) >> 32) as usize;
        let mut fragments = self.fragments.drain(..).peekable();
        for (at, packet) in self.packets.drain(..).enumerate() {
            let part = &mut parts[part_of(&packet)];
            if let Some(fragment) = fragments.next_if(|fragment| fragment.at == at) {
                part.fragments.push(Fragment { at: part.packets.len(), layers: fragment.layers });
            }
            part.taken += 1;
            part.packets.push(packet);
        }
        parts[0].taken += self.no_flow.iter().sum::<u64>();
        parts[0].no_flow = std::mem::take(&mut self.no_flow);
        self.taken = 0;
    }
}

/// A clock, and the packet that waits until the next one tells whether its time is believed.
#[derive(Debug, Default)]
pub(crate) struct Timing {
    pub clock: PacketClock,
    pub held: Vector,
}

impl Timing {
    /// Says when the next packet counts as seen; `None` when it waits and is to be put into `held`. One that waited
    /// goes into `vector` before it.
    #[inline(always)]
    fn next(&mut self, time_ns: u64, vector: &mut Vector) -> Option<Seen> {
        if self.clock.is_waiting() {
            self.settle(Some(time_ns), vector);
        }
        match self.clock.observe(time_ns) {
            Observed::Seen(seen) => Some(seen),
            Observed::Waits => None,
        }
    }

    /// The packet that waits, if one does, goes into `vector`; `next_ns` is the time of the one behind it.
    #[cold]
    pub fn settle(&mut self, next_ns: Option<u64>, vector: &mut Vector) {
        let seen = self.clock.settle(next_ns);
        self.held.settle(seen, vector);
    }
}

/// A flow table with what stands before it: the fragments' memory.
#[derive(Debug)]
pub(crate) struct Part {
    meter: FlowMeter,
    fragments: FragmentTable<Upper>,
    counters: FlowCounters,
}

impl Part {
    pub fn new(options: &FlowOptions) -> Result<Self, FlowError> {
        Self::sharing(options, Arc::new(FlowBudget::new(options.flow.max_flows)), 1)
    }

    /// One of `parts` that keep the limit of flows together.
    pub fn sharing(options: &FlowOptions, budget: Arc<FlowBudget>, parts: u32) -> Result<Self, FlowError> {
        let fragments = FragmentConfig { seed: options.flow.seed, ..FragmentConfig::default() };
        Ok(Self {
            meter: FlowMeter::sharing(options.flow, budget, parts)?,
            fragments: FragmentTable::new(fragments),
            counters: FlowCounters::default(),
        })
    }

    /// Takes the vector's packets and empties it.
    pub fn take(&mut self, vector: &mut Vector) {
        if !vector.fragments.is_empty() {
            self.resolve(vector);
        }
        let seed = self.meter.seed();
        for packet in &mut vector.packets {
            packet.hash = packet.key.seeded_hash(seed);
        }
        self.counters.packets += vector.taken;
        self.counters.in_flows += vector.packets.len() as u64;
        self.counters.no_flow.iter_mut().zip(vector.no_flow).for_each(|(a, b)| *a += b);
        self.meter.push(&vector.packets);
        if let Some(now) = vector.now {
            self.meter.observe(now);
        }
        vector.clear();
    }

    /// Later fragments get their first one's ports, or leave the vector.
    #[cold]
    fn resolve(&mut self, vector: &mut Vector) {
        let mut orphans = Vec::new();
        for Fragment { at, layers } in vector.fragments.drain(..) {
            let packet = &mut vector.packets[at];
            let key = fragment_key(&layers);
            if layers.fragment_offset == 0 {
                self.fragments.first(key, Upper::of(&layers), packet.now_ns);
            } else if let Some(upper) = self.fragments.later(key, packet.now_ns) {
                packet.with_upper(&layers, &upper);
            } else {
                orphans.push(at);
            }
        }
        vector.no_flow[NoFlow::FragmentWithoutFirst as usize] += orphans.len() as u64;
        for at in orphans.into_iter().rev() {
            vector.packets.remove(at);
        }
    }

    pub fn meter(&mut self) -> &mut FlowMeter {
        &mut self.meter
    }

    pub fn counters(&self) -> FlowCounters {
        FlowCounters { flows: self.meter.counts(), fragments: self.fragments.counts(), ..self.counters }
    }
}

/// Dissects one record and adds it to a vector.
#[inline(always)]
pub(crate) fn add_record<const INNER: bool>(
    vector: &mut Vector,
    layers: &mut Layers,
    record: &Record,
    bytes: &[u8],
    seen: Seen,
) {
    let frame = Frame { bytes, wire_len: record.len, link: LinkType(record.link) };
    if INNER {
        dissect_innermost(&frame, &Limits::default(), layers, &mut ());
    } else {
        dissect(&frame, &Limits::default(), layers, &mut ());
    }
    vector.add(layers, record.time_ns, seen, record.len);
}

/// Reads an input as batches of flow records, in the order in which flows end.
#[derive(Debug)]
pub struct FlowReader(Engine);

#[derive(Debug)]
enum Engine {
    Here(Box<Single>),
    Threads(Threads),
}

#[derive(Debug)]
struct Single {
    input: Input,
    options: FlowOptions,
    part: Part,
    timing: Timing,
    vector: Vector,
    /// The error that ended the input; told after the flows that were open.
    pending: Option<Error>,
    at_end: bool,
    done: bool,
}

impl FlowReader {
    /// Reads this input.
    ///
    /// # Errors
    /// Limits of the flow table that are out of range.
    pub fn new(input: Input, options: FlowOptions) -> Result<Self, Error> {
        // A thread that waits for a pipe could not hand out what ends meanwhile in its part.
        if options.threads > 1 && !input.is_live() {
            return Ok(Self(Engine::Threads(Threads::start(input, options)?)));
        }
        Ok(Self(Engine::Here(Box::new(Single {
            input,
            part: Part::new(&options)?,
            options,
            timing: Timing::default(),
            vector: Vector::default(),
            pending: None,
            at_end: false,
            done: false,
        }))))
    }

    /// The next batch of flows; `None` at the end. From a pipe, flows come as they end.
    ///
    /// # Errors
    /// Damage in the input: the flows of all packets before it come first, then the error, once.
    pub fn next_flows(&mut self) -> Result<Option<FlowColumns>, Error> {
        loop {
            match self.step()? {
                Step::Flows(flows) => return Ok(Some(flows)),
                Step::Working => {}
                Step::Done => return Ok(None),
            }
        }
    }

    /// As [`FlowReader::next_flows`], but comes back after about a tenth of a second without a result, for callers
    /// who have something else to look at.
    ///
    /// # Errors
    /// As [`FlowReader::next_flows`].
    pub fn step(&mut self) -> Result<Step, Error> {
        match &mut self.0 {
            Engine::Here(single) => single.step(),
            Engine::Threads(threads) => threads.step(),
        }
    }

    /// Packets and bytes read so far: [`Input::progress`].
    pub fn progress(&self) -> (u64, u64) {
        match &self.0 {
            Engine::Here(single) => single.input.progress(),
            Engine::Threads(threads) => threads.progress(),
        }
    }

    /// Counters so far; complete after the last batch.
    pub fn counters(&self) -> FlowCounters {
        match &self.0 {
            Engine::Here(single) => {
                FlowCounters { clock: single.timing.clock.counts(), ..single.part.counters() }
            }
            Engine::Threads(threads) => threads.counters(),
        }
    }
}

/// What a step came to.
#[derive(Debug)]
pub enum Step {
    /// Flows that have ended.
    Flows(FlowColumns),
    /// None so far.
    Working,
    /// The end of the input; all flows were given.
    Done,
}

impl Single {
    fn step(&mut self) -> Result<Step, Error> {
        for _ in 0..VECTORS_A_STEP {
            if self.at_end || self.part.meter.ended_len() >= FLOW_BATCH {
                break;
            }
            if self.input.is_live() && self.part.meter.ended_len() > 0 {
                break;
            }
            self.read_vector();
        }
        while self.at_end && !self.done && self.part.meter.ended_len() < FLOW_BATCH {
            self.done = self.part.meter.finish(self.timing.clock.now(), FLOW_BATCH);
        }
        let mut records = Vec::with_capacity(self.part.meter.ended_len());
        self.part.meter.take_ended(&mut records);
        if !records.is_empty() {
            return Ok(Step::Flows(FlowColumns::new(records, self.options.flow.statistics.is_some())));
        }
        if !self.at_end {
            return Ok(Step::Working);
        }
        match self.pending.take() {
            Some(error) => Err(error),
            None => check(&self.part.counters()).map(|()| Step::Done),
        }
    }

    fn read_vector(&mut self) {
        match self.input.next(VECTOR) {
            Ok(true) if self.options.inner => self.read::<true>(),
            Ok(true) => self.read::<false>(),
            Ok(false) => self.end(None),
            Err(error) => self.end(Some(error)),
        }
    }

    fn end(&mut self, error: Option<Error>) {
        self.pending = error;
        self.at_end = true;
        self.timing.settle(None, &mut self.vector);
        self.part.take(&mut self.vector);
    }

    fn read<const INNER: bool>(&mut self) {
        let mut layers = Layers::default();
        for (_, record, bytes) in self.input.packets() {
            match self.timing.next(record.time_ns, &mut self.vector) {
                Some(seen) => add_record::<INNER>(&mut self.vector, &mut layers, record, bytes, seen),
                None => {
                    let now = self.timing.clock.now();
                    add_record::<INNER>(&mut self.timing.held, &mut layers, record, bytes, now);
                }
            }
        }
        self.part.take(&mut self.vector);
    }
}

/// Conservation, checked at the end of every input.
pub(crate) fn check(counters: &FlowCounters) -> Result<(), Error> {
    if counters.conserved() { Ok(()) } else { Err(Error::Conservation { counters: Box::new(*counters) }) }
}

/// What a flow record is made of, without a file: for those who bring packets themselves.
#[derive(Debug)]
pub struct FlowFeeder {
    part: Part,
    options: FlowOptions,
    timing: Timing,
    vector: Vector,
}

impl FlowFeeder {
    /// An empty table; `options.threads` is not used.
    ///
    /// # Errors
    /// Limits of the flow table that are out of range.
    pub fn new(options: FlowOptions) -> Result<Self, Error> {
        Ok(Self { part: Part::new(&options)?, options, timing: Timing::default(), vector: Vector::default() })
    }

    /// Takes packets in order: time in ns, link type, length on the wire (at least that of the bytes), captured bytes.
    ///
    /// A packet more than a day from the one before it waits for the next packet, or for [`FlowFeeder::advance`] or
    /// [`FlowFeeder::finish`]: these say whether its time is believed.
    pub fn push<'a>(&mut self, packets: impl IntoIterator<Item = (u64, LinkType, u32, &'a [u8])>) {
        let mut layers = Layers::default();
        for (time_ns, link, len, bytes) in packets {
            let len = len.max(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
            let record = Record { time_ns, len, link: link.0, ..Record::default() };
            let seen = self.timing.next(time_ns, &mut self.vector);
            let vector = if seen.is_some() { &mut self.vector } else { &mut self.timing.held };
            let seen = seen.unwrap_or(self.timing.clock.now());
            if self.options.inner {
                add_record::<true>(vector, &mut layers, &record, bytes, seen);
            } else {
                add_record::<false>(vector, &mut layers, &record, bytes, seen);
            }
            if self.vector.packets.len() >= VECTOR {
                self.part.take(&mut self.vector);
            }
        }
        self.part.take(&mut self.vector);
    }

    /// Lets the caller's time pass, so that idle flows end although no packet comes. What comes after it is believed
    /// as far as it is near this time.
    pub fn advance(&mut self, now_ns: u64) {
        if self.timing.clock.is_waiting() {
            self.timing.settle(Some(now_ns), &mut self.vector);
            self.part.take(&mut self.vector);
        }
        self.timing.clock.advance(now_ns);
        self.part.meter.advance(now_ns);
    }

    /// Flows that have ended since the last call.
    pub fn take_ended(&mut self) -> FlowColumns {
        let mut records: Vec<FlowRecord> = Vec::with_capacity(self.part.meter.ended_len());
        self.part.meter.take_ended(&mut records);
        FlowColumns::new(records, self.options.flow.statistics.is_some())
    }

    /// Ends all flows; their records come with the next [`FlowFeeder::take_ended`], and the table is as new.
    pub fn finish(&mut self) {
        self.timing.settle(None, &mut self.vector);
        self.part.take(&mut self.vector);
        while !self.part.meter.finish(self.timing.clock.now(), FLOW_BATCH) {}
        self.timing.clock.restart();
        self.part.fragments.clear();
    }

    /// Flows in the table.
    pub fn len(&self) -> usize {
        self.part.meter.len()
    }

    /// True without flows.
    pub fn is_empty(&self) -> bool {
        self.part.meter.is_empty()
    }

    /// Bytes that the table occupies, with its statistics, fragments and records to be taken.
    pub fn memory(&self) -> usize {
        self.part.meter.memory() + self.part.fragments.memory()
    }

    /// Counters.
    pub fn counters(&self) -> FlowCounters {
        FlowCounters { clock: self.timing.clock.counts(), ..self.part.counters() }
    }
}
