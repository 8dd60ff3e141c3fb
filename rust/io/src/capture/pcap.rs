//! Classic pcap and its variants (draft-ietf-opsawg-pcap; the variants as they are found in files).
//!
//! ```text
//! file header: magic u32, major u16, minor u16, zone i32, sigfigs u32, snaplen u32, link type u32
//! record:      seconds u32, fraction u32, captured length u32, length on the wire u32, [variant's own], bytes
//! ```
use netfast_wire::LinkType;

use super::format::{Format, Interface, PcapVariant, Resolution, Statistics};
use super::reader::{Meta, RESERVED, Resync, Stop, Walk};
use super::{Record, RecordBatch};
use crate::Error;

/// Bytes of the file header; the Ixia variants have four more.
pub(super) const FILE_HEADER: usize = 24;
/// A packet longer than this is taken for damage where a guess is needed (tcpdump's largest snapshot length).
const PLAUSIBLE_LENGTH: u32 = 262_144;
/// Seconds between neighbouring packets beyond which a guessed record header is not believed.
const PLAUSIBLE_GAP: u32 = 86_400;
/// Records that a guess at the variant looks at.
const GUESS_RECORDS: usize = 10;

/// What a magic number says.
struct Magic {
    big_endian: bool,
    nanoseconds: bool,
    variant: PcapVariant,
    header: usize,
}

fn magic(first: &[u8]) -> Option<Magic> {
    let bytes: [u8; 4] = *first.first_chunk()?;
    [false, true].into_iter().find_map(|big_endian| {
        let (nanoseconds, variant, header) = match u32_of::<4>(&bytes, 0, big_endian) {
            0xa1b2_c3d4 => (false, PcapVariant::Standard, FILE_HEADER),
            0xa1b2_3c4d => (true, PcapVariant::Standard, FILE_HEADER),
            0xa1b2_cd34 => (false, PcapVariant::Modified, FILE_HEADER),
            0x1c00_01ac => (true, PcapVariant::IxiaHardware, FILE_HEADER + 4),
            0x1c00_01ab => (false, PcapVariant::IxiaSoftware, FILE_HEADER + 4),
            _ => return None,
        };
        Some(Magic { big_endian, nanoseconds, variant, header })
    })
}

/// Bytes of the file header when `first` begins a pcap file.
pub(super) fn header_length(first: &[u8]) -> Option<usize> {
    magic(first).map(|magic| magic.header)
}

/// Whether the two lengths of a record header stand in the old order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Swapped {
    No,
    /// Before version 2.3.
    Yes,
    /// Version 2.3: programs did both; the captured length is the smaller one.
    Maybe,
}

/// The walker of a pcap file.
pub(super) struct Pcap {
    variant: PcapVariant,
    big_endian: bool,
    /// Nanoseconds in a unit of the fraction field.
    unit: u32,
    record_header: usize,
    swapped: Swapped,
    link: u16,
    /// Longest captured length that is believed.
    limit: u32,
    /// True until the first records told which variant it is.
    guess: bool,
    /// Seconds of the last record before damage.
    last_seconds: Option<u32>,
}

impl Pcap {
    /// From a whole file header.
    pub fn new(header: &[u8; FILE_HEADER], lenient: bool, max_record: u32) -> Result<(Self, Meta), Error> {
        let Some(Magic { big_endian, mut nanoseconds, mut variant, .. }) = magic(header) else {
            unreachable!("the caller saw the magic number");
        };
        let version = (u16_of(header, 4, big_endian), u16_of(header, 6, big_endian));
        let (snaplen, network) = (u32_of(header, 16, big_endian), u32_of(header, 20, big_endian));
        let swapped = match version {
            (0 | 1, _) => {
                let (major, minor) = version;
                return Err(Error::UnsupportedVersion { frame: 1, format: "pcap", offset: 4, major, minor });
            }
            (2, 0..=2) | (543, _) => Swapped::Yes,
            (2, 3) => Swapped::Maybe,
            _ => Swapped::No,
        };
        let mut link = network as u16;
        let mut fcs_len = None;
        if network & 0x0400_0000 != 0 {
            fcs_len = Some((network >> 28) as u8 * 2);
        }
        let old_standard = variant == PcapVariant::Standard && !nanoseconds && version == (2, 2);
        if let Some(aix) = aix_link(network).filter(|_| old_standard) {
            (variant, link, nanoseconds) = (PcapVariant::Aix, aix, true);
        }
        let guess = matches!(variant, PcapVariant::Standard | PcapVariant::Modified)
            && !nanoseconds
            && swapped == Swapped::No;
        let pcap = Self {
            variant,
            big_endian,
            unit: if nanoseconds { 1 } else { 1000 },
            record_header: if variant == PcapVariant::Modified { 24 } else { 16 },
            swapped,
            link,
            limit: if lenient { max_record.min(snaplen.max(PLAUSIBLE_LENGTH)) } else { max_record },
            guess,
            last_seconds: None,
        };
        let mut meta = Meta::new(Format::Pcap { variant, big_endian, nanoseconds, version });
        let mut interface = Interface::new(LinkType(link), snaplen, 0);
        interface.resolution = if nanoseconds { Resolution::NANOSECONDS } else { Resolution::MICROSECONDS };
        interface.fcs_len = fcs_len;
        meta.interfaces.push(interface);
        Ok((pcap, meta))
    }

    /// Adds records to the batch.
    pub fn walk(&mut self, walk: &mut Walk<'_>, meta: &mut Meta, out: &mut RecordBatch) -> Stop {
        if self.guess && walk.bytes.len() - walk.at >= self.record_header {
            self.guess = false;
            self.guess_variant(&walk.bytes[walk.at..]);
            if let Format::Pcap { variant, .. } = &mut meta.format {
                *variant = self.variant;
            }
        }
        if self.big_endian {
            self.walk_ordered::<true>(walk, &mut meta.statistics, out)
        } else {
            self.walk_ordered::<false>(walk, &mut meta.statistics, out)
        }
    }

    fn walk_ordered<const BE: bool>(
        &mut self,
        walk: &mut Walk<'_>,
        statistics: &mut Statistics,
        out: &mut RecordBatch,
    ) -> Stop {
        let (bytes, header_len, unit) = (walk.bytes, self.record_header, self.unit);
        let mut at = walk.at;
        let (mut captured, mut wire, mut above_len, mut above_second) = (0u64, 0u64, 0u64, 0u64);
        let records = &mut out.records;
        records.reserve(walk.max.min(RESERVED));
        walk.first_at = at;
        let stop = loop {
            if records.len() >= walk.max {
                break Stop::Full;
            }
            let Some(header) = bytes.get(at..).and_then(|rest| rest.first_chunk::<16>()) else {
                break Stop::Need(header_len);
            };
            let seconds = u32_of(header, 0, BE);
            let fraction = u32_of(header, 4, BE);
            let (mut caplen, mut len) = (u32_of(header, 8, BE), u32_of(header, 12, BE));
            if self.swapped != Swapped::No && (self.swapped == Swapped::Yes || caplen > len) {
                (caplen, len) = (len, caplen);
            }
            if caplen > self.limit {
                break Stop::Bad(self.too_long(walk, at, records.len(), caplen));
            }
            let data = at + header_len;
            let next = data + caplen as usize;
            if next > bytes.len() {
                break Stop::Need(next - at);
            }
            // At most 2^32 seconds and 2^32 microseconds: under 2^63.
            let time_ns = u64::from(seconds) * 1_000_000_000 + u64::from(fraction) * u64::from(unit);
            above_second += u64::from(u64::from(fraction) * u64::from(unit) >= 1_000_000_000);
            above_len += u64::from(caplen > len);
            captured += u64::from(caplen);
            wire += u64::from(len);
            records.push(Record { time_ns, offset: data as u32, caplen, len, link: self.link, interface: 0 });
            at = next;
        };
        if let Some(last) = records.last() {
            self.last_seconds = Some((last.time_ns / 1_000_000_000).min(u64::from(u32::MAX)) as u32);
        }
        statistics.captured_bytes += captured;
        statistics.wire_bytes += wire;
        statistics.caplen_above_len += above_len;
        statistics.fraction_above_second += above_second;
        walk.at = at;
        stop
    }

    #[cold]
    fn too_long(&self, walk: &Walk<'_>, at: usize, before: usize, caplen: u32) -> Error {
        Error::BadLength {
            frame: walk.frame + before as u64,
            offset: walk.base.wrapping_add(at as u64),
            field: "captured length",
            value: u64::from(caplen),
            min: 0,
            limit: u64::from(self.limit),
        }
    }

    /// Looks for the next record header that can be believed, after `at`. Every byte is looked at once.
    pub fn resync(&self, bytes: &[u8], at: usize, eof: bool) -> Resync {
        let mut from = at;
        while let Some(rest) = bytes.get(from..).filter(|rest| rest.len() >= self.record_header) {
            if let Some(length) = self.believable(rest) {
                let next = self.record_header + length as usize;
                let follower = rest.get(next..).unwrap_or(&[]);
                if follower.len() >= self.record_header {
                    if self.believable(follower).is_some() {
                        return Resync::Found(from);
                    }
                } else if !eof {
                    return Resync::Need { from, need: next + self.record_header };
                } else if rest.len() == next {
                    return Resync::Found(from);
                }
            }
            from += 1;
        }
        if eof { Resync::Nothing } else { Resync::Need { from, need: self.record_header } }
    }

    /// The captured length of a record header that looks like one and is near the last good one in time.
    fn believable(&self, bytes: &[u8]) -> Option<u32> {
        let (seconds, caplen) = self.plausible(bytes)?;
        let near = self.last_seconds.is_none_or(|last| seconds.abs_diff(last) <= PLAUSIBLE_GAP);
        (near && caplen > 0).then_some(caplen)
    }

    /// Seconds and captured length when this can be a record header.
    fn plausible(&self, bytes: &[u8]) -> Option<(u32, u32)> {
        let header = bytes.first_chunk::<16>()?;
        let seconds = u32_of(header, 0, self.big_endian);
        let fraction = u32_of(header, 4, self.big_endian);
        let (mut caplen, mut len) = (u32_of(header, 8, self.big_endian), u32_of(header, 12, self.big_endian));
        if self.swapped == Swapped::Yes || self.swapped == Swapped::Maybe && caplen > len {
            (caplen, len) = (len, caplen);
        }
        let whole = u64::from(fraction) * u64::from(self.unit) < 1_000_000_000;
        let fits = caplen <= self.limit.min(PLAUSIBLE_LENGTH) && len <= PLAUSIBLE_LENGTH && caplen <= len;
        (whole && fits).then_some((seconds, caplen))
    }

    /// The variants under one magic number differ in the length of a record header only: the first records tell.
    fn guess_variant(&mut self, bytes: &[u8]) {
        let others: &[_] = match self.variant {
            PcapVariant::Modified => &[(PcapVariant::ModifiedWithCpu, 28)],
            _ => &[(PcapVariant::ModifiedStandardMagic, 24), (PcapVariant::Nokia, 20)],
        };
        let (count, broken) = self.chain(bytes, self.record_header);
        if !broken {
            return;
        }
        let better = others.iter().find(|(_, header)| {
            let (other, other_broken) = self.chain(bytes, *header);
            !other_broken && other > count
        });
        if let Some(&(variant, header)) = better {
            (self.variant, self.record_header) = (variant, header);
        }
    }

    /// How many plausible records follow each other with headers of this length, and whether one came that is not.
    fn chain(&self, bytes: &[u8], header: usize) -> (usize, bool) {
        let mut rest = bytes;
        for count in 0..GUESS_RECORDS {
            if rest.len() < header {
                return (count, false);
            }
            // Zeros would make a plausible chain of any header length.
            let Some((_, caplen @ 1..)) = self.plausible(rest) else { return (count, true) };
            rest = rest.get(header + caplen as usize..).unwrap_or(&[]);
        }
        (GUESS_RECORDS, false)
    }
}

/// LINKTYPE_ of the RFC 1573 interface types that AIX writes.
fn aix_link(network: u32) -> Option<u16> {
    match network {
        6 => Some(1),
        9 => Some(6),
        15 => Some(10),
        24 => Some(0),
        _ => None,
    }
}

#[inline(always)]
fn u32_of<const N: usize>(bytes: &[u8; N], at: usize, big_endian: bool) -> u32 {
    let field = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
    if big_endian { u32::from_be_bytes(field) } else { u32::from_le_bytes(field) }
}

fn u16_of(bytes: &[u8; FILE_HEADER], at: usize, big_endian: bool) -> u16 {
    let field = [bytes[at], bytes[at + 1]];
    if big_endian { u16::from_be_bytes(field) } else { u16::from_le_bytes(field) }
}
