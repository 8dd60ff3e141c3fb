//! Writing pcapng: one little-endian section of enhanced packets.
use std::fs::File;
use std::io::Write;
use std::path::Path;

use netfast_wire::LinkType;

use super::{Output, checked_len, create};
use crate::Error;
use crate::capture::format::{Interface, Resolution, shift_seconds};
use crate::capture::pcapng::{BYTE_ORDER, ENHANCED_PACKET, INTERFACE, SECTION};

/// What a pcapng file's section header says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PcapngOptions {
    /// Hardware of the capturing machine (`shb_hardware`).
    pub hardware: Option<String>,
    /// Operating system (`shb_os`).
    pub os: Option<String>,
    /// The program that writes (`shb_userappl`).
    pub application: Option<String>,
    /// Comments.
    pub comments: Vec<String>,
}

/// An interface to be described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceOptions {
    /// LINKTYPE_ of its packets.
    pub link_type: LinkType,
    /// Most bytes that were kept of a packet; 0: no limit.
    pub snaplen: u32,
    /// `if_name`.
    pub name: Option<String>,
    /// `if_description`.
    pub description: Option<String>,
    /// `if_filter`: a capture filter as text.
    pub filter: Option<String>,
    /// `if_os`.
    pub os: Option<String>,
    /// `if_fcslen`: bytes of frame check sequence at each packet's end.
    pub fcs_len: Option<u8>,
    /// Unit of the time stamps in the file; packets are given in ns and rounded down to it.
    pub resolution: Resolution,
    /// Seconds that readers add to each time stamp (`if_tsoffset`).
    pub offset_seconds: i64,
}

impl InterfaceOptions {
    /// An interface of a link type, with nanoseconds and without limit on the packets' length.
    pub fn new(link_type: LinkType) -> Self {
        Self {
            link_type,
            snaplen: 0,
            name: None,
            description: None,
            filter: None,
            os: None,
            fcs_len: None,
            resolution: Resolution::NANOSECONDS,
            offset_seconds: 0,
        }
    }
}

impl From<&Interface> for InterfaceOptions {
    /// The same interface for another file, with nanoseconds.
    fn from(read: &Interface) -> Self {
        Self {
            snaplen: read.snaplen,
            name: read.name.clone(),
            description: read.description.clone(),
            filter: read.filter.clone(),
            os: read.os.clone(),
            fcs_len: read.fcs_len,
            ..Self::new(read.link_type)
        }
    }
}

/// What may be said of a packet besides its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketMeta<'a> {
    /// Comments; each is cut at 65,535 bytes.
    pub comments: &'a [&'a str],
    /// `epb_flags`.
    pub flags: Option<u32>,
    /// `epb_dropcount`.
    pub drop_count: Option<u64>,
    /// `epb_packetid`.
    pub packet_id: Option<u64>,
    /// `epb_queue`.
    pub queue: Option<u32>,
    /// Other options as they stand in a little-endian section: code and value, cut at 65,535 bytes.
    pub other: &'a [(u16, &'a [u8])],
}

/// Writes a pcapng file.
pub struct PcapngWriter<W: Write> {
    output: Output<W>,
    interfaces: Vec<(Resolution, i64)>,
}

impl PcapngWriter<File> {
    /// Creates (or empties) a file.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(path: impl AsRef<Path>, options: &PcapngOptions) -> Result<Self, Error> {
        Ok(Self::new(create(path.as_ref())?, options))
    }
}

impl<W: Write> PcapngWriter<W> {
    /// Writes to anything; it needs no buffer of its own.
    pub fn new(inner: W, options: &PcapngOptions) -> Self {
        let mut output = Output::new(inner);
        block(output.buffer(), SECTION, |body| {
            body.extend_from_slice(&BYTE_ORDER.to_le_bytes());
            body.extend_from_slice(&1u16.to_le_bytes());
            body.extend_from_slice(&0u16.to_le_bytes());
            // The section's length is unknown before its end: all ones.
            body.extend_from_slice(&[0xff; 8]);
            let mut written = Options::new(body);
            options.comments.iter().for_each(|comment| written.text(1, comment));
            written.text_if(2, options.hardware.as_deref());
            written.text_if(3, options.os.as_deref());
            written.text_if(4, options.application.as_deref());
            written.end();
        });
        Self { output, interfaces: Vec::new() }
    }

    /// Describes an interface and gives its number, which packets name.
    ///
    /// # Errors
    /// [`Error::Unwritable`] beyond 65,536 interfaces; [`Error::Write`].
    pub fn add_interface(&mut self, options: &InterfaceOptions) -> Result<u32, Error> {
        let number = self.interfaces.len() as u32;
        if number > u32::from(u16::MAX) {
            return Err(self.unwritable("interface", u64::from(number), u64::from(u16::MAX)));
        }
        block(self.output.buffer(), INTERFACE, |body| {
            body.extend_from_slice(&options.link_type.0.to_le_bytes());
            body.extend_from_slice(&[0; 2]);
            body.extend_from_slice(&options.snaplen.to_le_bytes());
            let mut written = Options::new(body);
            written.text_if(2, options.name.as_deref());
            written.text_if(3, options.description.as_deref());
            written.put(9, &[options.resolution.octet()]);
            if let Some(filter) = &options.filter {
                written.put(11, &[&[0], filter.as_bytes()].concat());
            }
            written.text_if(12, options.os.as_deref());
            if let Some(length) = options.fcs_len {
                written.put(13, &[length]);
            }
            if options.offset_seconds != 0 {
                written.put(14, &options.offset_seconds.to_le_bytes());
            }
            written.end();
        });
        self.interfaces.push((options.resolution, options.offset_seconds));
        self.output.flush_when_full()?;
        Ok(number)
    }

    /// Adds a packet: the number of its interface, ns since the epoch, length on the wire (bytes), captured bytes.
    ///
    /// # Errors
    /// [`Error::Unwritable`] for an interface that was not added or a packet longer than
    /// [`ReaderOptions::MAX_RECORD`](crate::capture::ReaderOptions::MAX_RECORD); the writer can be used further.
    /// [`Error::Write`] when the file cannot take more; nothing can be written after it.
    pub fn write(
        &mut self,
        interface: u32,
        time_ns: u64,
        len: u32,
        data: &[u8],
        meta: &PacketMeta<'_>,
    ) -> Result<(), Error> {
        let Some(&(resolution, offset)) = self.interfaces.get(interface as usize) else {
            let limit = (self.interfaces.len() as u64).saturating_sub(1);
            return Err(self.unwritable("interface", u64::from(interface), limit));
        };
        let caplen = checked_len(data, self.output.given() + 1, "pcapng")?;
        let ticks = resolution.from_ns(shift_seconds(time_ns, offset.saturating_neg()));
        block(self.output.buffer(), ENHANCED_PACKET, |body| {
            for field in [interface, (ticks >> 32) as u32, ticks as u32, caplen, len] {
                body.extend_from_slice(&field.to_le_bytes());
            }
            body.extend_from_slice(data);
            pad(body, data.len());
            meta.write(body);
        });
        self.output.end_packet()
    }

    fn unwritable(&self, field: &'static str, value: u64, limit: u64) -> Error {
        Error::Unwritable { packet: self.output.given() + 1, format: "pcapng", field, value, limit }
    }

    /// Packets given so far.
    pub fn packets(&self) -> u64 {
        self.output.given()
    }

    /// Writes what was collected.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn flush(&mut self) -> Result<(), Error> {
        self.output.flush()
    }

    /// Writes what was collected and gives the inner writer back.
    ///
    /// # Errors
    /// [`Error::Write`] with the number of packets that are whole in the file.
    pub fn finish(self) -> Result<W, Error> {
        self.output.finish()
    }
}

impl PacketMeta<'_> {
    fn write(&self, body: &mut Vec<u8>) {
        let mut options = Options::new(body);
        self.comments.iter().for_each(|comment| options.text(1, comment));
        self.flags.iter().for_each(|flags| options.put(2, &flags.to_le_bytes()));
        self.drop_count.iter().for_each(|count| options.put(4, &count.to_le_bytes()));
        self.packet_id.iter().for_each(|id| options.put(5, &id.to_le_bytes()));
        self.queue.iter().for_each(|queue| options.put(6, &queue.to_le_bytes()));
        self.other.iter().for_each(|(code, value)| options.put(*code, value));
        options.end();
    }
}

/// Appends a block: its length stands at both ends, so it is written last.
fn block(buffer: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = buffer.len();
    buffer.extend_from_slice(&kind.to_le_bytes());
    buffer.extend_from_slice(&[0; 4]);
    body(buffer);
    // A packet is limited to 2^28 bytes and each option to 2^16: only a caller with thousands of comments on
    // the longest packet could pass u32, and memory would end first.
    let total = (buffer.len() - start + 4) as u32;
    buffer.extend_from_slice(&total.to_le_bytes());
    buffer[start + 4..start + 8].copy_from_slice(&total.to_le_bytes());
}

fn pad(buffer: &mut Vec<u8>, length: usize) {
    buffer.resize(buffer.len() + length.next_multiple_of(4) - length, 0);
}

/// The options at the end of a block's body.
struct Options<'a> {
    body: &'a mut Vec<u8>,
    any: bool,
}

impl<'a> Options<'a> {
    fn new(body: &'a mut Vec<u8>) -> Self {
        Self { body, any: false }
    }

    /// One option; the format's length field cuts it at 65,535 bytes.
    fn put(&mut self, code: u16, value: &[u8]) {
        let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
        self.body.extend_from_slice(&code.to_le_bytes());
        self.body.extend_from_slice(&length.to_le_bytes());
        self.body.extend_from_slice(&value[..usize::from(length)]);
        pad(self.body, usize::from(length));
        self.any = true;
    }

    /// Text, cut between characters.
    fn text(&mut self, code: u16, value: &str) {
        let mut end = value.len().min(usize::from(u16::MAX));
        while !value.is_char_boundary(end) {
            end -= 1;
        }
        self.put(code, &value.as_bytes()[..end]);
    }

    fn text_if(&mut self, code: u16, value: Option<&str>) {
        if let Some(value) = value {
            self.text(code, value);
        }
    }

    fn end(self) {
        if self.any {
            self.body.extend_from_slice(&[0; 4]);
        }
    }
}
