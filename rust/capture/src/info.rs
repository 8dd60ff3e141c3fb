//! What a capture holds: format, interfaces, times, drops, damage, told without keeping its packets.
use crate::{Error, Input};
use netfast_io::capture::{Damage, Interface, Reader, Section, Statistics};
use netfast_wire::LinkType;
use serde::Serialize;
use std::collections::BTreeMap;

/// Records that are looked at at a time.
const VECTOR: usize = 1024;
/// Vectors in a step: some ten thousand packets, a few milliseconds.
const VECTORS_A_STEP: usize = 64;

/// Goes through one capture and tells what it holds.
#[derive(Debug)]
pub struct Scan {
    input: Input,
    tally: Tally,
    interfaces: Vec<Share>,
    links: BTreeMap<u16, u64>,
    state: State,
}

#[derive(Debug)]
enum State {
    Reading,
    Complete,
    Broken(String),
}

/// Packets of one interface.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    packets: u64,
    captured_bytes: u64,
    wire_bytes: u64,
}

/// Sums over the packets that the filter kept.
#[derive(Clone, Copy, Debug)]
struct Tally {
    packets: u64,
    /// Those that have a time of their own.
    timed: u64,
    captured_bytes: u64,
    wire_bytes: u64,
    cut_packets: u64,
    first_ns: u64,
    last_ns: u64,
    before_ns: u64,
    backward: u64,
    largest_backward_ns: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            packets: 0,
            timed: 0,
            captured_bytes: 0,
            wire_bytes: 0,
            cut_packets: 0,
            first_ns: u64::MAX,
            last_ns: 0,
            before_ns: 0,
            backward: 0,
            largest_backward_ns: 0,
        }
    }
}

impl Tally {
    fn see_time(&mut self, time_ns: u64) {
        if self.timed > 0 && time_ns < self.before_ns {
            self.backward += 1;
            self.largest_backward_ns = self.largest_backward_ns.max(self.before_ns - time_ns);
        }
        self.timed += 1;
        self.before_ns = time_ns;
        self.first_ns = self.first_ns.min(time_ns);
        self.last_ns = self.last_ns.max(time_ns);
    }
}

impl Scan {
    /// Looks at the first file of this input; give it one.
    pub fn new(input: Input) -> Self {
        Self {
            input,
            tally: Tally::default(),
            interfaces: Vec::new(),
            links: BTreeMap::new(),
            state: State::Reading,
        }
    }

    /// Reads on for some ten thousand packets; false at the end, or where damage stops it, which
    /// [`Scan::report`] tells.
    pub fn step(&mut self) -> bool {
        for _ in 0..VECTORS_A_STEP {
            match self.input.next(VECTOR) {
                Ok(true) => self.count(),
                Ok(false) => self.state = State::Complete,
                Err(error) => self.state = State::Broken(said(&error)),
            }
            if !matches!(self.state, State::Reading) {
                return false;
            }
        }
        true
    }

    fn count(&mut self) {
        let tally = &mut self.tally;
        let batch = self.input.batch();
        for (frame, record, _) in self.input.packets() {
            let (caplen, len) = (u64::from(record.caplen), u64::from(record.len));
            if batch.has_time((frame - batch.first_frame) as usize) {
                tally.see_time(record.time_ns);
            }
            tally.packets += 1;
            tally.captured_bytes += caplen;
            tally.wire_bytes += len;
            tally.cut_packets += u64::from(caplen < len);
            let at = usize::from(record.interface);
            if self.interfaces.len() <= at {
                self.interfaces.resize(at + 1, Share::default());
            }
            let share = &mut self.interfaces[at];
            share.packets += 1;
            share.captured_bytes += caplen;
            share.wire_bytes += len;
            *self.links.entry(record.link).or_default() += 1;
        }
    }

    /// Packets and (decompressed) bytes read so far: [`Input::progress`].
    pub fn progress(&self) -> (u64, u64) {
        self.input.progress()
    }

    /// What was found so far; everything once [`Scan::step`] gave false.
    pub fn report(&self) -> CaptureInfo<'_> {
        let path = self.input.paths().first().map_or("", String::as_str);
        let readers = self.input.readers();
        let reader = readers.first().copied();
        let interfaces = reader.map_or(&[][..], Reader::interfaces);
        let tally = &self.tally;
        let some = tally.timed > 0;
        let duration_ns = tally.last_ns.saturating_sub(tally.first_ns);
        let seconds = duration_ns as f64 / 1e9;
        let per_second = |number: f64| (some && duration_ns > 0).then(|| number / seconds);
        CaptureInfo {
            path,
            format: reader.map_or("", |reader| reader.format().name()),
            format_text: reader.map_or_else(String::new, |reader| reader.format().to_string()),
            compression: reader.map_or_else(Vec::new, |reader| {
                reader.statistics().compression.iter().map(ToString::to_string).collect()
            }),
            packets: tally.packets,
            captured_bytes: tally.captured_bytes,
            wire_bytes: tally.wire_bytes,
            cut_packets: tally.cut_packets,
            first_ns: some.then_some(tally.first_ns),
            last_ns: some.then_some(tally.last_ns),
            duration_ns: some.then_some(duration_ns),
            packets_per_second: per_second(tally.packets as f64),
            bits_per_second: per_second(tally.wire_bytes as f64 * 8.0),
            in_time_order: tally.backward == 0,
            backward_steps: tally.backward,
            largest_backward_ns: tally.largest_backward_ns,
            dropped: sum_of_drops(interfaces),
            link_types: self.links.iter().map(|(&link, &packets)| LinkInfo::new(link, packets)).collect(),
            interfaces: interfaces
                .iter()
                .enumerate()
                .map(|(at, interface)| self.interface(at, interface))
                .collect(),
            sections: reader.map_or(&[][..], Reader::sections).iter().map(SectionInfo::new).collect(),
            oddities: reader.map_or_else(BTreeMap::new, |reader| oddities(reader.statistics())),
            damage: reader.map_or_else(Vec::new, |reader| damage(reader.statistics())),
            damage_count: reader.map_or(0, |reader| reader.statistics().damage_count),
            file_packets: reader.map_or(0, |reader| reader.statistics().packets),
            file_bytes: reader.map_or(0, |reader| reader.statistics().file_bytes),
            complete: matches!(self.state, State::Complete),
            error: match &self.state {
                State::Broken(error) => Some(error),
                State::Reading | State::Complete => None,
            },
        }
    }

    fn interface<'a>(&self, at: usize, interface: &'a Interface) -> InterfaceInfo<'a> {
        let share = self.interfaces.get(at).copied().unwrap_or_default();
        InterfaceInfo {
            number: at,
            name: interface.name.as_deref(),
            description: interface.description.as_deref(),
            link_type: interface.link_type.0,
            link_name: interface.link_type.to_string(),
            snaplen: interface.snaplen,
            resolution: interface.resolution.to_string(),
            offset_seconds: interface.offset_seconds,
            section: interface.section,
            os: interface.os.as_deref(),
            hardware: interface.hardware.as_deref(),
            filter: interface.filter.as_deref(),
            speed: interface.speed,
            fcs_len: interface.fcs_len,
            comments: &interface.comments,
            packets: share.packets,
            captured_bytes: share.captured_bytes,
            wire_bytes: share.wire_bytes,
            received: interface.received,
            dropped: interface.dropped,
            os_dropped: interface.os_dropped,
            packet_drops: interface.packet_drops,
            filter_accepted: interface.filter_accepted,
            delivered: interface.delivered,
            start_ns: interface.start_ns,
            end_ns: interface.end_ns,
        }
    }
}

/// The error without the file's name, which stands elsewhere in the report.
fn said(error: &Error) -> String {
    match error {
        Error::Capture { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}

/// All drops that the file tells of; none when it says nothing of drops. What an interface's packets tell and what its
/// statistics block tells are the same drops, so the larger number counts.
fn sum_of_drops(interfaces: &[Interface]) -> Option<u64> {
    let add = |a: Option<u64>, b: Option<u64>| match (a, b) {
        (Some(a), Some(b)) => Some(a.saturating_add(b)),
        (a, b) => a.or(b),
    };
    let told = interfaces.iter().map(|interface| {
        let counted = (interface.packet_drops > 0).then_some(interface.packet_drops);
        add(interface.dropped, interface.os_dropped).max(counted)
    });
    told.fold(None, add)
}

fn oddities(statistics: &Statistics) -> BTreeMap<&'static str, u64> {
    let all = [
        ("caplen_above_len", statistics.caplen_above_len),
        ("fraction_above_second", statistics.fraction_above_second),
        ("without_time", statistics.without_time),
        ("time_out_of_range", statistics.time_out_of_range),
        ("unknown_blocks", statistics.unknown_blocks),
        ("custom_blocks", statistics.custom_blocks),
        ("journal_blocks", statistics.journal_blocks),
        ("shared_interfaces", statistics.shared_interfaces),
        ("options_cut", statistics.options_cut),
        ("unknown_interface_statistics", statistics.unknown_interface_statistics),
        ("metadata_dropped", statistics.metadata_dropped),
    ];
    all.into_iter().filter(|(_, count)| *count > 0).collect()
}

fn damage(statistics: &Statistics) -> Vec<DamageInfo<'_>> {
    statistics.damage.iter().map(DamageInfo::new).collect()
}

/// What a capture holds; its serialization is what `netfast info --json` prints. Times are ns since the epoch, bytes
/// are those of the frames, offsets count in the decompressed file.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct CaptureInfo<'a> {
    pub path: &'a str,
    pub format: &'static str,
    pub format_text: String,
    pub compression: Vec<String>,
    pub packets: u64,
    pub captured_bytes: u64,
    pub wire_bytes: u64,
    pub cut_packets: u64,
    pub first_ns: Option<u64>,
    pub last_ns: Option<u64>,
    pub duration_ns: Option<u64>,
    pub packets_per_second: Option<f64>,
    pub bits_per_second: Option<f64>,
    pub in_time_order: bool,
    pub backward_steps: u64,
    pub largest_backward_ns: u64,
    pub dropped: Option<u64>,
    pub link_types: Vec<LinkInfo>,
    pub interfaces: Vec<InterfaceInfo<'a>>,
    pub sections: Vec<SectionInfo<'a>>,
    pub oddities: BTreeMap<&'static str, u64>,
    pub damage: Vec<DamageInfo<'a>>,
    pub damage_count: u64,
    pub file_packets: u64,
    pub file_bytes: u64,
    pub complete: bool,
    pub error: Option<&'a str>,
}

/// A link type and how many packets have it.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct LinkInfo {
    pub link_type: u16,
    pub name: String,
    pub description: Option<&'static str>,
    pub packets: u64,
}

impl LinkInfo {
    fn new(link_type: u16, packets: u64) -> Self {
        let link = LinkType(link_type);
        Self { link_type, name: link.to_string(), description: link.description(), packets }
    }
}

/// An interface and its packets.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct InterfaceInfo<'a> {
    pub number: usize,
    pub name: Option<&'a str>,
    pub description: Option<&'a str>,
    pub link_type: u16,
    pub link_name: String,
    pub snaplen: u32,
    pub resolution: String,
    pub offset_seconds: i64,
    pub section: u32,
    pub os: Option<&'a str>,
    pub hardware: Option<&'a str>,
    pub filter: Option<&'a str>,
    pub speed: Option<u64>,
    pub fcs_len: Option<u8>,
    pub comments: &'a [String],
    pub packets: u64,
    pub captured_bytes: u64,
    pub wire_bytes: u64,
    pub received: Option<u64>,
    pub dropped: Option<u64>,
    pub os_dropped: Option<u64>,
    pub packet_drops: u64,
    pub filter_accepted: Option<u64>,
    pub delivered: Option<u64>,
    pub start_ns: Option<u64>,
    pub end_ns: Option<u64>,
}

/// A section of a pcapng file.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct SectionInfo<'a> {
    pub offset: u64,
    pub byte_order: &'static str,
    pub hardware: Option<&'a str>,
    pub os: Option<&'a str>,
    pub application: Option<&'a str>,
    pub comments: &'a [String],
    pub names: usize,
    pub secrets: usize,
}

impl<'a> SectionInfo<'a> {
    fn new(section: &'a Section) -> Self {
        Self {
            offset: section.offset,
            byte_order: if section.big_endian { "big" } else { "little" },
            hardware: section.hardware.as_deref(),
            os: section.os.as_deref(),
            application: section.application.as_deref(),
            comments: &section.comments,
            names: section.names.len(),
            secrets: section.secrets.len(),
        }
    }
}

/// A damaged place.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct DamageInfo<'a> {
    pub frame: u64,
    pub offset: u64,
    pub skipped: u64,
    pub what: &'a str,
}

impl<'a> DamageInfo<'a> {
    fn new(damage: &'a Damage) -> Self {
        Self { frame: damage.frame, offset: damage.offset, skipped: damage.skipped, what: &damage.what }
    }
}
