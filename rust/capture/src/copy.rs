//! Packets of captures into a new pcapng file: with their times, link types, interfaces and comments.
use crate::{Error, Input};
use netfast_io::capture::{
    InterfaceOptions, OptionsIter, PacketMeta, PacketOption, PcapngOptions, PcapngWriter, Reader,
    longest_portable,
};
use std::borrow::Cow;
use std::io::Write;

/// Records that are copied at a time.
const VECTOR: usize = 1024;

/// Copies the packets of an input that its filter keeps.
///
/// Interfaces keep the numbers that they have over all files of the input. Times are written in nanoseconds. The
/// options of packets are kept, when the input was opened to keep them, but those custom ones that say that they are
/// not to be copied. A packet longer than other programs take is cut ([`Copier::cut_packets`]); its length on the wire is kept.
pub struct Copier<W: Write> {
    input: Input,
    writer: PcapngWriter<W>,
    /// Interfaces described so far.
    described: usize,
    /// Packets that may still be copied.
    left: u64,
    cut: u64,
    /// Where it goes, for errors.
    name: String,
}

impl<W: Write> Copier<W> {
    /// Copies at most `limit` packets from `input` to `sink`, which errors call `name`.
    pub fn new(input: Input, sink: W, name: String, limit: u64) -> Self {
        let options = section(&input);
        Self { input, writer: PcapngWriter::new(sink, &options), described: 0, left: limit, cut: 0, name }
    }

    /// Copies the next vector of packets; false when all are copied. What came through a pipe is written through.
    ///
    /// # Errors
    /// Damage in the input, after all packets before it; a sink that takes no more.
    pub fn step(&mut self) -> Result<bool, Error> {
        let max = VECTOR.min(usize::try_from(self.left).unwrap_or(VECTOR));
        if max == 0 || !self.input.next(max)? {
            self.describe()?;
            return Ok(false);
        }
        self.describe()?;
        let mut kept = Kept::default();
        let batch = self.input.batch();
        for (frame, record, bytes) in self.input.packets() {
            let at = (frame - batch.first_frame) as usize;
            kept.read(batch.options_of(at), batch.options_big_endian(at));
            let comments: Vec<&str> = kept.comments.iter().map(AsRef::as_ref).collect();
            let other: Vec<(u16, &[u8])> =
                kept.other.iter().map(|(code, value)| (*code, &value[..])).collect();
            let meta = PacketMeta { comments: &comments, other: &other, ..kept.meta };
            let number = u32::from(record.interface);
            let portable = bytes.get(..longest_portable(record.link_type()));
            self.cut += u64::from(portable.is_some_and(|portable| portable.len() < bytes.len()));
            let bytes = portable.unwrap_or(bytes);
            let written = self.writer.write(number, record.time_ns, record.len, bytes, &meta);
            written.map_err(|source| Error::Capture { path: self.name.clone(), source })?;
            self.left -= 1;
        }
        if self.input.is_live() {
            self.flush()?;
        }
        Ok(true)
    }

    /// Describes the interfaces that the input has met since the last time.
    fn describe(&mut self) -> Result<(), Error> {
        for interface in self.input.interfaces().get(self.described..).unwrap_or(&[]) {
            let added = self.writer.add_interface(&InterfaceOptions::from(interface));
            added.map_err(|source| Error::Capture { path: self.name.clone(), source })?;
            self.described += 1;
        }
        Ok(())
    }

    /// Writes what was collected.
    ///
    /// # Errors
    /// The sink's.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.writer.flush().map_err(|source| Error::Capture { path: self.name.clone(), source })
    }

    /// Packets copied so far.
    pub fn packets(&self) -> u64 {
        self.writer.packets()
    }

    /// Those of them that were cut because no other program would read the file with them: [`longest_portable`].
    pub fn cut_packets(&self) -> u64 {
        self.cut
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
