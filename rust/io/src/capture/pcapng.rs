//! pcapng (draft-ietf-opsawg-pcapng): sections of blocks, each section in its own byte order.
//!
//! ```text
//! block: type u32, total length u32, body (padded to 4), total length u32
//! ```
use super::format::{LATEST_NS, Resolution, Section, SharedNumbers, time_of};
use super::options::{Number, PacketOptions, RawOption, RawOptions};
use super::reader::{Meta, RESERVED, ReaderOptions, Resync, Stop, Walk};
use super::{Record, RecordBatch};
use crate::{BlockFault, Error};

mod describe;

pub(super) const SECTION: u32 = 0x0a0d_0d0a;
pub(super) const INTERFACE: u32 = 1;
const OLD_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const NAMES: u32 = 4;
const INTERFACE_STATISTICS: u32 = 5;
pub(super) const ENHANCED_PACKET: u32 = 6;
const JOURNAL: u32 = 9;
const SECRETS: u32 = 10;
const CUSTOM: u32 = 0x0bad;
const CUSTOM_NO_COPY: u32 = 0x4000_0bad;
pub(super) const BYTE_ORDER: u32 = 0x1a2b_3c4d;

/// Type, length and the length at the end.
const BLOCK_FRAME: u32 = 12;
/// Bytes of an enhanced (or old) packet block before the packet.
const PACKET_HEADER: usize = 28;
/// What a block may have besides its packet: its header and options.
const BLOCK_SLACK: u32 = 16 << 20;
/// A search after damage believes only blocks up to this length.
const PLAUSIBLE_BLOCK: u32 = 1 << 20;
/// Interfaces that records can number, and that a section may describe.
const MAX_INTERFACES: usize = 1 << 16;
/// Memory for descriptions: names, comments, secrets.
const METADATA_LIMIT: usize = 16 << 20;

/// The walker of a pcapng file.
pub(super) struct Pcapng {
    keep_options: bool,
    /// Longest block that is believed.
    limit: u32,
    max_record: u32,
    big_endian: bool,
    /// Sections met so far.
    sections: u32,
    /// The section's interfaces, as a packet needs them; none where a description was damaged, so that those
    /// after it keep their numbers.
    interfaces: Vec<Option<Hot>>,
    shared: SharedNumbers,
    /// Time of the last record, for one without.
    last_ns: u64,
    /// Bytes of descriptions that may still be kept.
    budget: usize,
}

/// What a packet takes from its interface.
struct Hot {
    link: u16,
    /// Its number in the reader's list.
    number: u16,
    /// True when it shares that number.
    shared: bool,
    snaplen: u32,
    /// Nanoseconds in a tick when that is whole and there is no offset, else 0.
    tick_ns: u64,
    resolution: Resolution,
    offset_seconds: i64,
}

impl Hot {
    /// The time in ns; counts into `outside` when it had to be clamped.
    #[inline]
    fn time_ns(&self, ticks: u64, outside: &mut u64) -> u64 {
        let ns = ticks.saturating_mul(self.tick_ns);
        if self.tick_ns != 0 && ns <= LATEST_NS {
            return ns;
        }
        let (ns, clamped) = time_of(self.resolution, ticks, self.offset_seconds);
        *outside += u64::from(clamped);
        ns
    }
}

/// One whole block.
struct Whole<'a> {
    kind: u32,
    /// Offset of its first byte in the window.
    at: usize,
    /// Type to length at the end.
    bytes: &'a [u8],
}

impl<'a> Whole<'a> {
    fn body(&self) -> &'a [u8] {
        &self.bytes[8..self.bytes.len() - 4]
    }
}

/// What handling a block came to, if it is not the next block's turn.
enum Halt {
    Full,
    Bad(Error),
}

impl Pcapng {
    pub fn new(options: &ReaderOptions, max_record: u32) -> Self {
        Self {
            keep_options: options.keep_options,
            limit: max_record + BLOCK_SLACK,
            max_record,
            big_endian: false,
            sections: 0,
            interfaces: Vec::new(),
            shared: SharedNumbers::default(),
            last_ns: 0,
            budget: METADATA_LIMIT,
        }
    }

    /// True when these bytes begin a section.
    pub fn begins(first: &[u8]) -> bool {
        first.starts_with(&SECTION.to_le_bytes())
    }

    /// Adds records to the batch and descriptions to `meta`.
    pub fn walk(&mut self, walk: &mut Walk<'_>, meta: &mut Meta, out: &mut RecordBatch) -> Stop {
        out.records.reserve(walk.max.min(RESERVED));
        debug_assert!(out.records.is_empty());
        let stop = loop {
            let stop = if self.big_endian {
                self.walk_packets::<true>(walk, meta, out)
            } else {
                self.walk_packets::<false>(walk, meta, out)
            };
            if let Some(stop) = stop {
                break stop;
            }
            match self.next_block(walk, meta, out) {
                Ok(()) => {}
                Err(stop) => break stop,
            }
        };
        let statistics = &mut meta.statistics;
        for record in &out.records {
            statistics.captured_bytes += u64::from(record.caplen);
            statistics.wire_bytes += u64::from(record.len);
            statistics.caplen_above_len += u64::from(record.caplen > record.len);
        }
        self.last_ns = out.records.last().map_or(self.last_ns, |record| record.time_ns);
        stop
    }

    /// The common case in a tight loop: enhanced packets of known interfaces, whole, nothing odd. Anything else
    /// is `None`, and left for [`Self::next_block`].
    fn walk_packets<const BE: bool>(
        &mut self,
        walk: &mut Walk<'_>,
        meta: &mut Meta,
        out: &mut RecordBatch,
    ) -> Option<Stop> {
        let bytes = walk.bytes;
        let number = Number { big_endian: BE };
        let mut blocks = 0;
        let full = loop {
            if out.records.len() >= walk.max {
                break walk.max > 0;
            }
            let at = walk.at;
            let Some(head) = bytes.get(at..).and_then(|rest| rest.first_chunk::<PACKET_HEADER>()) else {
                break false;
            };
            let total = number.u32(&head[4..]);
            let caplen = number.u32(&head[20..]);
            // The limits first: under them no sum below can overflow, on 32-bit machines either.
            if number.u32(&head[..]) != ENHANCED_PACKET || total > self.limit || caplen > self.max_record {
                break false;
            }
            let total = total as usize;
            let packet_end = (caplen as usize).next_multiple_of(4) + PACKET_HEADER;
            let end = at + total;
            if total & 3 != 0 || packet_end + 4 > total || end > bytes.len() {
                break false;
            }
            let interface = number.u32(&head[8..]) as usize;
            let Some(Some(hot)) = self.interfaces.get(interface) else { break false };
            if number.u32(&bytes[end - 4..]) as usize != total {
                break false;
            }
            if out.records.is_empty() {
                walk.first_at = at;
            }
            if packet_end + 4 < total {
                look_at_options(RawOptions::new(&bytes[at + packet_end..end - 4], BE), hot.number, meta);
            }
            if self.keep_options && packet_end + 4 < total {
                out.options.push(PacketOptions {
                    record: out.records.len() as u32,
                    start: (at + packet_end) as u32,
                    end: (end - 4) as u32,
                    big_endian: BE,
                });
            }
            out.records.push(Record {
                time_ns: hot.time_ns(number.ticks(&head[12..]), &mut meta.statistics.time_out_of_range),
                offset: (at + PACKET_HEADER) as u32,
                caplen,
                len: number.u32(&head[24..]),
                link: hot.link,
                interface: hot.number,
            });
            blocks += 1;
            walk.at = end;
        };
        meta.statistics.blocks += blocks;
        full.then_some(Stop::Full)
    }

    /// Handles one block of any type, with every check and its error.
    fn next_block(
        &mut self,
        walk: &mut Walk<'_>,
        meta: &mut Meta,
        out: &mut RecordBatch,
    ) -> Result<(), Stop> {
        let block = self.whole_block(walk, out)?;
        let frame = walk.frame + out.records.len() as u64;
        let offset = walk.base.wrapping_add(block.at as u64);
        let length = block.bytes.len();
        let handled = match block.kind {
            SECTION => self.section(&block, meta, frame, offset),
            INTERFACE => self.interface(&block, meta, frame, offset),
            OLD_PACKET | ENHANCED_PACKET | SIMPLE_PACKET => self.packet(&block, walk, meta, out),
            NAMES => self.names(&block, meta),
            INTERFACE_STATISTICS => self.interface_statistics(&block, meta, frame, offset),
            SECRETS => self.secrets(&block, meta),
            other => {
                let statistics = &mut meta.statistics;
                *match other {
                    JOURNAL => &mut statistics.journal_blocks,
                    CUSTOM | CUSTOM_NO_COPY => &mut statistics.custom_blocks,
                    _ => &mut statistics.unknown_blocks,
                } += 1;
                Ok(())
            }
        };
        match handled {
            Ok(()) => {}
            Err(Halt::Full) => return Err(Stop::Full),
            Err(Halt::Bad(error)) => return Err(Stop::Bad(error)),
        }
        meta.statistics.blocks += 1;
        walk.at += length;
        Ok(())
    }

    /// The block at hand when it is whole and its two lengths agree. A section header sets the byte order.
    fn whole_block<'a>(&mut self, walk: &Walk<'a>, out: &RecordBatch) -> Result<Whole<'a>, Stop> {
        let at = walk.at;
        let rest = &walk.bytes[at..];
        let (frame, offset) = (walk.frame + out.records.len() as u64, walk.base.wrapping_add(at as u64));
        let Some(head) = rest.first_chunk::<12>() else {
            return Err(Stop::Need(if rest.is_empty() { 1 } else { 12 }));
        };
        let section = head.starts_with(&SECTION.to_le_bytes());
        let mut big_endian = self.big_endian;
        if section {
            big_endian = match u32::from_be_bytes([head[8], head[9], head[10], head[11]]) {
                BYTE_ORDER => true,
                magic if magic.swap_bytes() == BYTE_ORDER => false,
                magic => {
                    let fault = BlockFault::ByteOrder { magic };
                    return Err(Stop::Bad(Error::BadBlock { frame, offset, block_type: SECTION, fault }));
                }
            };
        }
        let number = Number { big_endian };
        let kind = number.u32(&head[..]);
        let total = number.u32(&head[4..]);
        let bad = |fault| Err(Stop::Bad(Error::BadBlock { frame, offset, block_type: kind, fault }));
        if total < BLOCK_FRAME || total > self.limit {
            return Err(Stop::Bad(Error::BadLength {
                frame,
                offset,
                field: "block length",
                value: u64::from(total),
                min: u64::from(BLOCK_FRAME),
                limit: u64::from(self.limit),
            }));
        }
        if total & 3 != 0 {
            return bad(BlockFault::UnalignedLength { length: total });
        }
        let Some(bytes) = rest.get(..total as usize) else { return Err(Stop::Need(total as usize)) };
        let last = number.u32(&bytes[bytes.len() - 4..]);
        if last != total {
            return bad(BlockFault::LengthsDiffer { first: total, last });
        }
        self.big_endian = big_endian;
        Ok(Whole { kind, at, bytes })
    }

    /// A packet block of any of the three types.
    fn packet(
        &mut self,
        block: &Whole<'_>,
        walk: &mut Walk<'_>,
        meta: &mut Meta,
        out: &mut RecordBatch,
    ) -> Result<(), Halt> {
        if out.records.len() >= walk.max {
            return Err(Halt::Full);
        }
        let frame = walk.frame + out.records.len() as u64;
        let offset = walk.base.wrapping_add(block.at as u64);
        let packet = self.packet_fields(block, frame, offset)?;
        let header = if block.kind == SIMPLE_PACKET { 12 } else { PACKET_HEADER };
        let room = (block.bytes.len() - 4 - header) as u64;
        let limit = room.min(u64::from(self.max_record));
        if u64::from(packet.caplen) > limit {
            let value = u64::from(packet.caplen);
            return Err(Halt::Bad(Error::BadLength {
                frame,
                offset,
                field: "captured length",
                value,
                min: 0,
                limit,
            }));
        }
        let hot = self.described(packet.interface, block, frame, offset)?;
        if let Some(described) = meta.interfaces.get_mut(usize::from(hot.number)) {
            described.packet_drops = described.packet_drops.saturating_add(packet.drops);
        }
        let time_ns = match packet.ticks {
            Some(ticks) => hot.time_ns(ticks, &mut meta.statistics.time_out_of_range),
            None => out.records.last().map_or(self.last_ns, |record| record.time_ns),
        };
        if packet.ticks.is_none() {
            meta.statistics.without_time += 1;
            out.without_time.push(out.records.len() as u32);
        }
        if out.records.is_empty() {
            walk.first_at = block.at;
        }
        let data_end = header + (packet.caplen as usize).next_multiple_of(4);
        if block.kind == ENHANCED_PACKET {
            let options = block.bytes.get(data_end..block.bytes.len() - 4).unwrap_or(&[]);
            look_at_options(RawOptions::new(options, self.big_endian), hot.number, meta);
        }
        if self.keep_options && block.kind != SIMPLE_PACKET && data_end + 4 < block.bytes.len() {
            out.options.push(PacketOptions {
                record: out.records.len() as u32,
                start: (block.at + data_end) as u32,
                end: (block.at + block.bytes.len() - 4) as u32,
                big_endian: self.big_endian,
            });
        }
        out.records.push(Record {
            time_ns,
            offset: (block.at + header) as u32,
            caplen: packet.caplen,
            len: packet.len,
            link: hot.link,
            interface: hot.number,
        });
        Ok(())
    }

    /// The interface that a packet names.
    fn described(&self, interface: u32, block: &Whole<'_>, frame: u64, offset: u64) -> Result<&Hot, Halt> {
        Err(Halt::Bad(match self.interfaces.get(interface as usize) {
            Some(Some(hot)) => return Ok(hot),
            Some(None) => {
                let fault = BlockFault::DamagedInterface { interface };
                Error::BadBlock { frame, offset, block_type: block.kind, fault }
            }
            None => {
                let known = self.interfaces.len() as u32;
                Error::UnknownInterface { frame, offset, interface, known }
            }
        }))
    }

    fn packet_fields(&self, block: &Whole<'_>, frame: u64, offset: u64) -> Result<PacketFields, Halt> {
        let number = Number { big_endian: self.big_endian };
        let body = block.body();
        let need = if block.kind == SIMPLE_PACKET { 4 } else { PACKET_HEADER - 8 };
        self.at_least(block, need, frame, offset)?;
        if block.kind == SIMPLE_PACKET {
            let Some(first) = self.interfaces.first() else {
                let fault = BlockFault::NoInterface;
                return Err(Halt::Bad(Error::BadBlock { frame, offset, block_type: block.kind, fault }));
            };
            let len = number.u32(body);
            // Of a damaged description it is not known; the packet is refused for that.
            let snaplen = first.as_ref().map_or(0, |first| first.snaplen);
            let snaplen = if snaplen == 0 { u32::MAX } else { snaplen };
            // The block has no captured length: its body, without padding, is what the two limits leave.
            let caplen = len.min(snaplen).min((body.len() - 4) as u32);
            return Ok(PacketFields { interface: 0, drops: 0, ticks: None, caplen, len });
        }
        let (interface, drops) = if block.kind == OLD_PACKET {
            let drops = number.u16(&body[2..]);
            (u32::from(number.u16(body)), if drops == u16::MAX { 0 } else { u64::from(drops) })
        } else {
            (number.u32(body), 0)
        };
        Ok(PacketFields {
            interface,
            drops,
            ticks: Some(number.ticks(&body[4..])),
            caplen: number.u32(&body[12..]),
            len: number.u32(&body[16..]),
        })
    }

    fn at_least(&self, block: &Whole<'_>, need: usize, frame: u64, offset: u64) -> Result<(), Halt> {
        let have = block.body().len();
        if have >= need {
            return Ok(());
        }
        let fault = BlockFault::BodyTooShort { need: need as u32, have: have as u32 };
        Err(Halt::Bad(Error::BadBlock { frame, offset, block_type: block.kind, fault }))
    }

    /// Takes note of the damaged block at the beginning of `bytes`, before the search behind it: what its section
    /// header or interface description would have said is not known, and must not be taken from another.
    pub fn forget(&mut self, bytes: &[u8], offset: u64, meta: &mut Meta) {
        if bytes.starts_with(&SECTION.to_le_bytes()) {
            self.big_endian = self.order_of_section(bytes);
            self.begin_section(Section::new(offset, self.big_endian), meta);
        } else if self.number().u32(bytes) == INTERFACE && self.interfaces.len() < MAX_INTERFACES {
            self.interfaces.push(None);
        }
    }

    /// The byte order of a damaged section header: by its magic or, where that is damaged, by its length, which is
    /// small in its own order and huge in the other.
    fn order_of_section(&self, bytes: &[u8]) -> bool {
        let orders = [self.big_endian, !self.big_endian].map(|big_endian| Number { big_endian });
        let field = |at: usize, number: &Number| number.u32(bytes.get(at..).unwrap_or(&[]));
        let by_magic = orders.iter().find(|number| field(8, number) == BYTE_ORDER);
        by_magic
            .or(orders.iter().min_by_key(|number| field(4, number)))
            .map_or(self.big_endian, |n| n.big_endian)
    }

    /// Looks for the next block after the damaged one at `at`, which is skipped as a whole when its length can be
    /// believed. As long as that cannot be told, more bytes are asked for: what is found must not depend on how
    /// many have come.
    pub fn resync_behind(&self, bytes: &[u8], at: usize, eof: bool) -> Resync {
        match self.block_length(&bytes[at..]) {
            Length::Believed(length) => self.resync(bytes, at + length, eof),
            Length::Unknown(need) if !eof => Resync::Need { from: at, need },
            Length::Unknown(_) | Length::Not => self.resync(bytes, at + 1, eof),
        }
    }

    /// Length of the damaged block that begins `rest`. It can be believed when the two lengths agree, or when a
    /// block that can be believed follows.
    fn block_length(&self, rest: &[u8]) -> Length {
        let number = self.number();
        let Some(head) = rest.first_chunk::<12>() else { return Length::Unknown(12) };
        let total = number.u32(&head[4..]);
        if total < BLOCK_FRAME || total > self.limit || total & 3 != 0 {
            return Length::Not;
        }
        let length = total as usize;
        let Some(last) = rest.get(length - 4..length) else { return Length::Unknown(length) };
        if number.u32(last) == total {
            return Length::Believed(length);
        }
        match candidate(&rest[length..], number) {
            Candidate::Block => Length::Believed(length),
            Candidate::Unknown(need) => Length::Unknown(length + need),
            Candidate::Not => Length::Not,
        }
    }

    /// Looks for the next block that can be believed. Every byte is looked at once.
    pub fn resync(&self, bytes: &[u8], from: usize, eof: bool) -> Resync {
        let mut at = from;
        while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= 12) {
            match candidate(rest, self.number()) {
                Candidate::Block => return Resync::Found(at),
                Candidate::Unknown(need) if !eof => return Resync::Need { from: at, need },
                Candidate::Unknown(_) | Candidate::Not => at += 1,
            }
        }
        if eof { Resync::Nothing } else { Resync::Need { from: at, need: 12 } }
    }
}

/// Whether a block of this byte order, or a section header of either, begins here.
fn candidate(rest: &[u8], mut number: Number) -> Candidate {
    let Some(head) = rest.first_chunk::<12>() else { return Candidate::Unknown(12) };
    if head.starts_with(&SECTION.to_le_bytes()) {
        number.big_endian = head[8] == 0x1a;
        if number.u32(&head[8..]) != BYTE_ORDER {
            return Candidate::Not;
        }
    }
    let (kind, total) = (number.u32(&head[..]), number.u32(&head[4..]));
    let known =
        matches!(kind, SECTION | INTERFACE..=ENHANCED_PACKET | JOURNAL | SECRETS | CUSTOM | CUSTOM_NO_COPY);
    if !known || !(BLOCK_FRAME..=PLAUSIBLE_BLOCK).contains(&total) || total & 3 != 0 {
        return Candidate::Not;
    }
    match rest.get(total as usize - 4..total as usize) {
        None => Candidate::Unknown(total as usize),
        Some(last) if number.u32(last) == total => Candidate::Block,
        Some(_) => Candidate::Not,
    }
}

/// What an enhanced packet's options tell of its interface: how many packets were lost before it (`epb_dropcount`).
#[inline(never)]
fn look_at_options(mut options: RawOptions<'_>, interface: u16, meta: &mut Meta) {
    let mut drops = 0u64;
    for RawOption { code, value, big_endian } in options.by_ref() {
        if (code, value.len()) == (4, 8) {
            drops = drops.saturating_add(Number { big_endian }.u64(value));
        }
    }
    meta.statistics.options_cut += u64::from(options.cut.is_some());
    if let Some(interface) = meta.interfaces.get_mut(usize::from(interface)).filter(|_| drops > 0) {
        interface.packet_drops = interface.packet_drops.saturating_add(drops);
    }
}

struct PacketFields {
    interface: u32,
    drops: u64,
    /// None in simple packets.
    ticks: Option<u64>,
    caplen: u32,
    len: u32,
}

/// Whether a block can be believed to stand somewhere.
enum Candidate {
    Block,
    Not,
    /// So many bytes are needed to tell.
    Unknown(usize),
}

/// Whether the length of a damaged block can be believed.
enum Length {
    Believed(usize),
    Not,
    /// So many bytes are needed to tell.
    Unknown(usize),
}
