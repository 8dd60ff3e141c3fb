//! `netfast collate`: a capture in, one with super-packets out.
use super::collator::{Settings, Statistics, raise, trust};
use super::packets::{bytes_of, passing_pool};
use crate::errors::option_error;
use crate::gate::{enter, raise_io};
use crate::source::{self, Source};
use crate::text::RowSink;
use netfast_buf::{PacketBatch, Skb};
use netfast_capture::{CopyFormat, Input};
use netfast_io::Error as FileError;
use netfast_io::capture::{
    InterfaceOptions, OptionsIter, PacketMeta, PacketOption, PcapngOptions, PcapngWriter, Record,
    longest_portable,
};
use netfast_offload::collate::Collator as Engine;
use netfast_offload::segment::{SegmentConfig, Segmenter};
use netfast_time::Instant;
use netfast_wire::LinkType;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::hash::BuildHasher;
use std::io::BufWriter;
use std::path::PathBuf;

/// Frames that are read at a time.
const VECTOR: usize = 256;
/// Frames that may wait for one that is held before them, so that the file keeps the order of the capture. At the limit
/// all that is held is put out; it is counted with what was put out by `flush`.
const MAX_WAITING: usize = 16_384;

/// Writes what a collator makes of a capture; see `netfast.offload.collate`.
#[pyfunction]
#[pyo3(signature = (
    paths, target, settings: "dict[str, int]", *, filter=None, mmap=false, lenient=false, trust_checksums=false,
    verify=false, progress=None,
))]
#[allow(clippy::too_many_arguments, reason = "keyword arguments of Python")]
pub fn collate<'py>(
    py: Python<'py>,
    paths: Vec<PathBuf>,
    target: RowSink,
    settings: Settings,
    filter: Option<String>,
    mmap: bool,
    lenient: bool,
    trust_checksums: bool,
    verify: bool,
    progress: Option<Bound<'_, PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    // Whatever the capture holds, settings are wrong before a file is touched.
    settings.engine(LinkType::ETHERNET).map_err(|error| raise(py, error))?;
    if target.copy_format(py)? == CopyFormat::Pcap {
        let text = format!(
            "{}: super-packets are written to pcapng, where comments say what they are; end the name with .pcapng",
            target.name()
        );
        return Err(option_error(py, "target", &text));
    }
    target.spare(py, &paths)?;
    let input = Source::new(paths, filter, mmap, lenient).keeping_options().open(py)?;
    let (name, unfiltered, damages) = (target.name(), input.unfiltered(), input.damages());
    let options = PcapngOptions { application: Some("netfast".into()), ..PcapngOptions::default() };
    let writer = PcapngWriter::new(target.open()?, &options);
    let mut work = Work {
        lane: Lane::new(trust_checksums, verify),
        settings,
        engines: BTreeMap::new(),
        out: Output { writer, described: 0, buffer: Vec::new() },
    };
    let outcome = run(py, input, &mut work, &name, progress.as_ref());
    let ended = py.detach(|| work.finish());
    outcome?;
    ended.map_err(|error| raise_io(py, &name, &error))?;
    let mut statistics = Statistics::default();
    work.engines.values().flatten().for_each(|engine| statistics.add(engine));
    let dict = statistics.to_dict(py)?;
    dict.set_item("frames", work.lane.next())?;
    dict.set_item("written", work.out.writer.packets())?;
    dict.set_item("cut", work.lane.cut)?;
    dict.set_item("other_links", work.lane.other_links)?;
    dict.set_item("verified", verify.then_some(work.lane.verified))?;
    dict.set_item("different", verify.then_some(work.lane.different()))?;
    dict.set_item("unfiltered", unfiltered.counts())?;
    dict.set_item("damage", source::damage(py, &damages)?)?;
    Ok(dict)
}

/// Vector after vector until the capture, or something else, ends it.
fn run(
    py: Python<'_>,
    mut input: Input,
    work: &mut Work,
    name: &str,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    loop {
        let mut written = Ok(());
        let more = enter(py, || {
            let more = input.next(VECTOR)?;
            if more {
                written = work.vector(&input);
            }
            Ok(more)
        })?;
        written.map_err(|error| raise_io(py, name, &error))?;
        py.check_signals()?;
        if let Some(progress) = progress {
            progress.call1(input.progress())?;
        }
        if !more {
            let described = work.out.describe(&input);
            return described.map_err(|error| raise_io(py, name, &error));
        }
    }
}

struct Work {
    settings: Settings,
    /// A collator for each link type; none for those that have no IP packets where collators look.
    engines: BTreeMap<u16, Option<Engine>>,
    lane: Lane,
    out: Output,
}

impl Work {
    fn vector(&mut self, input: &Input) -> Result<(), FileError> {
        self.out.describe(input)?;
        let batch = input.batch();
        let Some(block) = &batch.block else { return Ok(()) };
        for (frame, record, _) in input.packets() {
            let (offset, length) = (record.offset as usize, record.caplen as usize);
            let packet = Skb::from_block(block.clone(), offset, length).expect("within its block");
            let options = batch.options_of((frame - batch.first_frame) as usize);
            self.frame(Frame::new(frame, record, options), packet);
            self.lane.write(&mut self.out)?;
        }
        if input.is_live() { self.out.writer.flush() } else { Ok(()) }
    }

    fn frame(&mut self, mut frame: Frame, mut packet: Skb) {
        let record = frame.record;
        packet.hot.timestamp = Instant::from_nanos(record.time_ns);
        packet.hot.in_port = u32::from(record.interface);
        // The low bits say which one it is when it comes out again.
        let number = self.lane.next();
        packet.hot.flow = number as u32;
        if let Some(verifier) = &mut self.lane.verifier {
            verifier.came(number, &mut packet);
        }
        let is_cut = record.len > record.caplen;
        if is_cut || self.lane.waiting.len() >= MAX_WAITING {
            // What was cut cannot be read whole: nothing of its flow may be held beyond it.
            self.flush();
        }
        let engine = self
            .engines
            .entry(record.link)
            .or_insert_with(|| self.settings.engine(LinkType(record.link)).ok());
        self.lane.cut += u64::from(is_cut);
        self.lane.other_links += u64::from(!is_cut && engine.is_none());
        match engine {
            Some(engine) if !is_cut => self.lane.collate(frame, packet, engine),
            _ => {
                frame.state = State::Out(packet);
                self.lane.waiting.push_back(frame);
            }
        }
    }

    fn flush(&mut self) {
        let mut out = Vec::new();
        self.engines.values_mut().flatten().for_each(|engine| engine.flush(&mut out));
        self.lane.put_out(out);
    }

    /// Writes all that is held.
    fn finish(&mut self) -> Result<(), FileError> {
        self.flush();
        self.lane.write(&mut self.out)?;
        self.out.writer.flush()
    }
}

/// A frame of the capture on its way.
struct Frame {
    number: u64,
    record: Record,
    comments: Vec<String>,
    meta: PacketMeta<'static>,
    state: State,
}

impl Frame {
    fn new(number: u64, record: &Record, options: OptionsIter<'_>) -> Self {
        let (mut comments, mut meta) = (Vec::new(), PacketMeta::default());
        for option in options {
            match option {
                PacketOption::Comment(text) => comments.push(text.into_owned()),
                PacketOption::Flags(flags) => meta.flags = Some(flags),
                PacketOption::DropCount(count) => meta.drop_count = Some(count),
                PacketOption::PacketId(id) => meta.packet_id = Some(id),
                PacketOption::Queue(queue) => meta.queue = Some(queue),
                _ => {}
            }
        }
        Self { number, record: *record, comments, meta, state: State::Held }
    }
}

enum State {
    /// The collator has it, alone or with others behind it.
    Held,
    /// It was merged into one before it.
    Merged,
    /// It is to be written: itself, or a super-packet that begins with it.
    Out(Skb),
}

/// Frames in the order of the capture, from the first that is not written.
struct Lane {
    waiting: VecDeque<Frame>,
    /// How many came before the first of them.
    first: u64,
    trusts: bool,
    batch: PacketBatch,
    verifier: Option<Verifier>,
    verified: u64,
    cut: u64,
    other_links: u64,
}

impl Lane {
    fn new(trusts: bool, verify: bool) -> Self {
        Self {
            waiting: VecDeque::new(),
            first: 0,
            trusts,
            batch: PacketBatch::new(),
            verifier: verify.then(Verifier::default),
            verified: 0,
            cut: 0,
            other_links: 0,
        }
    }

    fn collate(&mut self, mut frame: Frame, mut packet: Skb, engine: &mut Engine) {
        if self.trusts {
            trust(&mut packet);
        }
        let (now, mut out) = (packet.hot.timestamp, Vec::new());
        let merged = engine.counters().merged;
        self.batch.push(packet).expect("the batch is empty");
        engine.handle_batch(now, &mut self.batch, &mut out);
        if engine.counters().merged > merged {
            frame.state = State::Merged;
        }
        self.waiting.push_back(frame);
        self.put_out(out);
    }

    /// The number of the next frame.
    fn next(&self) -> u64 {
        self.first + self.waiting.len() as u64
    }

    fn put_out(&mut self, packets: Vec<Skb>) {
        for packet in packets {
            let at = packet.hot.flow.wrapping_sub(self.first as u32);
            self.waiting[at as usize].state = State::Out(packet);
        }
    }

    /// Writes frames as far as none is held before them.
    fn write(&mut self, out: &mut Output) -> Result<(), FileError> {
        while self.waiting.front().is_some_and(|frame| !matches!(frame.state, State::Held)) {
            let Some(frame) = self.waiting.pop_front() else { break };
            let number = self.first;
            self.first += 1;
            let State::Out(packet) = &frame.state else { continue };
            out.write(&frame, packet)?;
            if let (State::Out(packet), Some(verifier)) = (frame.state, &mut self.verifier) {
                self.verified += verifier.check(number, packet, LinkType(frame.record.link));
            }
        }
        Ok(())
    }

    /// Frames that did not come back as they were.
    fn different(&self) -> u64 {
        self.verifier.as_ref().map_or(0, |verifier| verifier.different + verifier.frames.len() as u64)
    }
}

/// The file that is written.
struct Output {
    writer: PcapngWriter<BufWriter<File>>,
    /// Interfaces described so far.
    described: usize,
    buffer: Vec<u8>,
}

impl Output {
    fn describe(&mut self, input: &Input) -> Result<(), FileError> {
        for interface in input.interfaces().get(self.described..).unwrap_or(&[]) {
            // Super-packets are longer than what the interface took.
            self.writer
                .add_interface(&InterfaceOptions { snaplen: 0, ..InterfaceOptions::from(interface) })?;
            self.described += 1;
        }
        Ok(())
    }

    fn write(&mut self, frame: &Frame, packet: &Skb) -> Result<(), FileError> {
        let record = &frame.record;
        self.buffer.clear();
        packet.segments().for_each(|segment| self.buffer.extend_from_slice(segment));
        let (count, size) = (packet.hot.gso_segments, packet.hot.gso_size);
        let about =
            (count > 1).then(|| format!("{count} segments of {size} bytes, from frame {}", frame.number));
        let comments: Vec<&str> = about.iter().chain(&frame.comments).map(String::as_str).collect();
        let meta = PacketMeta { comments: &comments, ..frame.meta };
        let length = if count > 1 { packet.len() } else { record.len };
        let portable = self.buffer.len().min(longest_portable(record.link_type()));
        let bytes = &self.buffer[..portable];
        self.writer.write(u32::from(record.interface), record.time_ns, length, bytes, &meta)
    }
}

/// Compares what comes out, cut again, with what came.
#[derive(Default)]
struct Verifier {
    /// Frames that are not found yet, by number.
    frames: HashMap<u64, Skb>,
    /// Their numbers, in order, by a hash of their bytes.
    numbers: HashMap<u64, VecDeque<u64>>,
    hasher: RandomState,
    different: u64,
}

impl Verifier {
    fn came(&mut self, number: u64, packet: &mut Skb) {
        let twin = packet.duplicate(&mut passing_pool());
        self.numbers.entry(self.hash(&twin)).or_default().push_back(number);
        self.frames.insert(number, twin);
    }

    fn hash(&self, packet: &Skb) -> u64 {
        self.hasher.hash_one(bytes_of(packet))
    }

    /// Cuts what was written where frame `number` was, and says how many frames it is. Each must be there, byte for byte,
    /// the first one as that frame, the others behind it.
    fn check(&mut self, number: u64, packet: Skb, link: LinkType) -> u64 {
        let mut segments = Vec::new();
        let config = SegmentConfig { link, ..SegmentConfig::default() };
        if Segmenter::new(config).segment(packet, &mut passing_pool(), &mut segments).is_err() {
            self.different += 1;
            return 0;
        }
        let mut before = None;
        for segment in &segments {
            before = self.take(segment, before.map_or(number, |before| before + 1), before.is_none());
            if before.is_none() {
                self.different += 1;
                break;
            }
        }
        segments.len() as u64
    }

    /// Takes the next frame of these bytes from number `from` on, or exactly that one.
    fn take(&mut self, segment: &Skb, from: u64, exactly: bool) -> Option<u64> {
        let hash = self.hash(segment);
        let numbers = self.numbers.get_mut(&hash)?;
        let at = numbers.partition_point(|number| *number < from);
        let number = *numbers.get(at).filter(|number| !exactly || **number == from)?;
        if bytes_of(self.frames.get(&number)?) != bytes_of(segment) {
            return None;
        }
        numbers.remove(at);
        if numbers.is_empty() {
            self.numbers.remove(&hash);
        }
        self.frames.remove(&number);
        Some(number)
    }
}
