//! Packets of captures into a new file: pcapng with their times, link types, interfaces and comments, or pcap.
use crate::{Error, Input};
use netfast_io::capture::{
    InterfaceOptions, OptionsIter, PacketMeta, PacketOption, PcapOptions, PcapWriter, PcapngOptions,
    PcapngWriter, Reader, Record, longest_portable,
};
use netfast_wire::LinkType;
use std::borrow::Cow;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Records that are copied at a time.
const VECTOR: usize = 1024;

/// The format of a copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CopyFormat {
    /// pcapng, which has all that captures have.
    #[default]
    Pcapng,
    /// pcap with times in nanoseconds: one link type, no interfaces, no options of packets.
    Pcap,
}

/// A file that is being written.
enum Writer {
    Pcapng {
        file: Box<PcapngWriter<Sink>>,
        /// Interfaces described so far.
        described: usize,
    },
    /// Its link type is that of its first packet: until then there is the sink.
    Pcap { sink: Option<Sink>, file: Option<(u16, PcapWriter<Sink>)> },
}

type Sink = Box<dyn Write + Send>;

/// Writes the packets that an input's filter keeps, as they are read: [`Input::copy_to`].
///
/// Interfaces keep the numbers that they have over all files of the input. Times are written in nanoseconds. The
/// options of packets are kept, when the input was opened to keep them, but those custom ones that say that they are
/// not to be copied. A packet longer than other programs take is cut; its length on the wire is kept.
pub(crate) struct Tee {
    writer: Writer,
    copied: Copied,
    /// Where it goes, for errors.
    name: String,
}

/// How many packets were copied; a handle that stays valid. Clones are one and the same.
#[derive(Clone, Debug, Default)]
pub struct Copied(Arc<[AtomicU64; 3]>);

impl Copied {
    /// Packets copied so far.
    pub fn packets(&self) -> u64 {
        self.0[0].load(Ordering::Relaxed)
    }

    /// Of these, packets that were cut, because Wireshark and libpcap refuse files with longer ones.
    pub fn cut_packets(&self) -> u64 {
        self.0[1].load(Ordering::Relaxed)
    }

    /// Packets whose options (comments and the like) the format does not have.
    pub fn bared_packets(&self) -> u64 {
        self.0[2].load(Ordering::Relaxed)
    }

    fn add(&self, is_cut: bool, is_bared: bool) {
        for (counter, is) in self.0.iter().zip([true, is_cut, is_bared]) {
            counter.fetch_add(u64::from(is), Ordering::Relaxed);
        }
    }
}

impl Writer {
    fn new(sink: Sink, format: CopyFormat, input: &Input) -> Self {
        match format {
            CopyFormat::Pcapng => {
                Self::Pcapng { file: Box::new(PcapngWriter::new(sink, &section(input))), described: 0 }
            }
            CopyFormat::Pcap => Self::Pcap { sink: Some(sink), file: None },
        }
    }

    /// Writes a packet; true when what it has besides its bytes is not kept.
    fn write(&mut self, record: &Record, bytes: &[u8], kept: &Kept<'_>) -> Result<bool, netfast_io::Error> {
        match self {
            Self::Pcapng { file, .. } => {
                let comments: Vec<&str> = kept.comments.iter().map(AsRef::as_ref).collect();
                let other: Vec<(u16, &[u8])> =
                    kept.other.iter().map(|(code, value)| (*code, &value[..])).collect();
                let meta = PacketMeta { comments: &comments, other: &other, ..kept.meta };
                file.write(u32::from(record.interface), record.time_ns, record.len, bytes, &meta)?;
                Ok(false)
            }
            Self::Pcap { sink, file } => {
                if let Some(sink) = sink.take() {
                    *file = Some((
                        record.link,
                        PcapWriter::new(sink, record.link_type(), PcapOptions::default()),
                    ));
                }
                let Some((first, file)) = file else { return Ok(false) };
                if *first != record.link {
                    let packet = file.packets() + 1;
                    return Err(netfast_io::Error::SecondLinkType {
                        packet,
                        first: *first,
                        second: record.link,
                    });
                }
                file.write(record.time_ns, record.len, bytes)?;
                Ok(!kept.is_empty())
            }
        }
    }

    /// Describes the interfaces that the input has met since the last time.
    fn describe(&mut self, input: &Input) -> Result<(), netfast_io::Error> {
        let Self::Pcapng { file, described } = self else { return Ok(()) };
        for interface in input.interfaces().get(*described..).unwrap_or(&[]) {
            file.add_interface(&InterfaceOptions::from(interface))?;
            *described += 1;
        }
        Ok(())
    }

    /// A pcap file without packets has the link type of the first interface.
    fn begin(&mut self, input: &Input) {
        let Self::Pcap { sink, file } = self else { return };
        if let Some(sink) = sink.take() {
            let link = input.interfaces().first().map_or(LinkType::ETHERNET, |interface| interface.link_type);
            *file = Some((link.0, PcapWriter::new(sink, link, PcapOptions::default())));
        }
    }

    fn flush(&mut self) -> Result<(), netfast_io::Error> {
        match self {
            Self::Pcapng { file, .. } => file.flush(),
            Self::Pcap { file, .. } => file.as_mut().map_or(Ok(()), |(_, file)| file.flush()),
        }
    }
}

impl Tee {
    /// Writes packets of `input` to `sink`, which errors call `name`.
    pub fn new(input: &Input, sink: Sink, name: String, format: CopyFormat) -> Self {
        Self { writer: Writer::new(sink, format, input), copied: Copied::default(), name }
    }

    pub fn copied(&self) -> Copied {
        self.copied.clone()
    }

    /// Writes the input's vector. What came through a pipe is written through.
    pub fn take(&mut self, input: &Input) -> Result<(), Error> {
        self.describe(input)?;
        let mut kept = Kept::default();
        let batch = input.batch();
        for at in input.kept() {
            let record = &batch.records[at];
            let bytes = record.data(batch.bytes());
            kept.read(batch.options_of(at), batch.options_big_endian(at));
            let portable = bytes.get(..longest_portable(record.link_type()));
            let is_cut = portable.is_some_and(|portable| portable.len() < bytes.len());
            let bytes = portable.unwrap_or(bytes);
            let written = self.writer.write(record, bytes, &kept);
            let is_bared = written.map_err(|source| self.error(source))?;
            self.copied.add(is_cut, is_bared);
        }
        if input.is_live() { self.flush() } else { Ok(()) }
    }

    /// At the input's end: describes interfaces that no packet had, and writes what was collected.
    pub fn finish(&mut self, input: &Input) -> Result<(), Error> {
        self.describe(input)?;
        self.writer.begin(input);
        self.flush()
    }

    fn describe(&mut self, input: &Input) -> Result<(), Error> {
        self.writer.describe(input).map_err(|source| self.error(source))
    }

    pub fn flush(&mut self) -> Result<(), Error> {
        self.writer.flush().map_err(|source| self.error(source))
    }

    fn error(&self, source: netfast_io::Error) -> Error {
        Error::Capture { path: self.name.clone(), source }
    }
}

/// Copies the packets of an input that its filter keeps, and does nothing else with them.
#[derive(Debug)]
pub struct Copier {
    input: Input,
    copied: Copied,
    /// Packets that may still be copied.
    left: u64,
}

impl Copier {
    /// Copies at most `limit` packets from `input` to `sink`, which errors call `name`; see [`Input::copy_to`].
    pub fn new(
        mut input: Input,
        sink: impl Write + Send + 'static,
        name: String,
        format: CopyFormat,
        limit: u64,
    ) -> Self {
        let copied = input.copy_to(Box::new(sink), name, format);
        Self { input, copied, left: limit }
    }

    /// Copies the next vector of packets; false when all are copied. What came through a pipe is written through.
    ///
    /// # Errors
    /// Damage in the input, after all packets before it; a sink that takes no more.
    pub fn step(&mut self) -> Result<bool, Error> {
        let max = VECTOR.min(usize::try_from(self.left).unwrap_or(VECTOR));
        let before = self.packets();
        let more = max > 0 && self.input.next(max)?;
        self.left -= self.packets() - before;
        Ok(more)
    }

    /// Writes what was collected.
    ///
    /// # Errors
    /// The sink's.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.input.flush_copy()
    }

    /// Packets copied so far.
    pub fn packets(&self) -> u64 {
        self.copied.packets()
    }

    /// Of these, packets that were cut: [`Copied::cut_packets`].
    pub fn cut_packets(&self) -> u64 {
        self.copied.cut_packets()
    }

    /// Packets whose options are not kept: [`Copied::bared_packets`].
    pub fn bared_packets(&self) -> u64 {
        self.copied.bared_packets()
    }

    /// Packets and (decompressed) bytes read so far: [`Input::progress`].
    pub fn progress(&self) -> (u64, u64) {
        self.input.progress()
    }
}

/// The section header: who captured, when it is one file that says so, and who copied.
fn section(input: &Input) -> PcapngOptions {
    let application = Some(concat!("netfast ", env!("CARGO_PKG_VERSION")).to_owned());
    let readers = input.readers();
    let known = match readers.as_slice() {
        [reader] => Reader::sections(reader).first(),
        _ => None,
    };
    known.map_or_else(
        || PcapngOptions { application: application.clone(), ..PcapngOptions::default() },
        |section| PcapngOptions {
            hardware: section.hardware.clone(),
            os: section.os.clone(),
            application: application.clone(),
            comments: section.comments.clone(),
        },
    )
}

/// What the file says of a packet; see [`Kept::read`].
#[derive(Default)]
struct Kept<'a> {
    meta: PacketMeta<'static>,
    comments: Vec<Cow<'a, str>>,
    other: Vec<(u16, Cow<'a, [u8]>)>,
}

impl<'a> Kept<'a> {
    fn is_empty(&self) -> bool {
        self.meta == PacketMeta::default() && self.comments.is_empty() && self.other.is_empty()
    }

    /// Takes a packet's options as they stand in a little-endian section. Custom options that are not to be copied
    /// (19372, 19373) are left out, and options that are not what their code says.
    fn read(&mut self, options: OptionsIter<'a>, big_endian: bool) {
        self.meta = PacketMeta::default();
        self.comments.clear();
        self.other.clear();
        let verbatim = |first: u8, value: &[u8]| Cow::Owned([&[first], value].concat());
        for option in options {
            match option {
                PacketOption::Comment(text) => self.comments.push(text),
                PacketOption::Flags(flags) => self.meta.flags = Some(flags),
                PacketOption::Hash { algorithm, value } => self.other.push((3, verbatim(algorithm, value))),
                PacketOption::DropCount(count) => self.meta.drop_count = Some(count),
                PacketOption::PacketId(id) => self.meta.packet_id = Some(id),
                PacketOption::Queue(queue) => self.meta.queue = Some(queue),
                // Those of eBPF are numbers; those of hardware are bytes.
                PacketOption::Verdict { kind, value } if big_endian && kind != 0 => {
                    let reversed: Vec<u8> = value.iter().rev().copied().collect();
                    self.other.push((7, verbatim(kind, &reversed)));
                }
                PacketOption::Verdict { kind, value } => self.other.push((7, verbatim(kind, value))),
                PacketOption::Custom { code: 19372 | 19373, .. } => {}
                PacketOption::Custom { code, enterprise, value } => {
                    self.other.push((code, Cow::Owned([&enterprise.to_le_bytes(), value].concat())));
                }
                PacketOption::Other { code: 0..=7 | 2988 | 2989 | 19372 | 19373, .. } => {}
                PacketOption::Other { code, value } => self.other.push((code, Cow::Borrowed(value))),
                _ => {}
            }
        }
    }
}
