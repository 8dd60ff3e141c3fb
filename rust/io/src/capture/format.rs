//! What a capture says of itself: format, interfaces, sections, statistics.
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use netfast_wire::LinkType;

use super::Compression;
use super::options::OtherOption;

/// The format of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// Classic pcap.
    Pcap {
        /// Which of its variants.
        variant: PcapVariant,
        /// True when the numbers stand in big-endian order.
        big_endian: bool,
        /// True when time stamps count nanoseconds, else microseconds.
        nanoseconds: bool,
        /// Version of the format, major and minor.
        version: (u16, u16),
    },
    /// pcapng. Byte order is each section's own, see [`Section::big_endian`].
    Pcapng,
}

impl Format {
    /// The short name: `pcap` or `pcapng`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pcap { .. } => "pcap",
            Self::Pcapng => "pcapng",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Pcap { variant, big_endian, nanoseconds, .. } = self else { return f.write_str("pcapng") };
        let order = if *big_endian { "big" } else { "little" };
        let unit = if *nanoseconds { "nanoseconds" } else { "microseconds" };
        write!(f, "pcap, {order}-endian, {unit}")?;
        match variant {
            PcapVariant::Standard => Ok(()),
            other => write!(f, ", {other}"),
        }
    }
}

/// Which pcap: they differ in the header of each record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PcapVariant {
    /// The usual one, 16-byte record headers.
    Standard,
    /// Record headers of 24 bytes with interface index, protocol and packet type; magic 0xa1b2cd34
    /// (Kuznetzov's patch of October 1999).
    Modified,
    /// Like [`Self::Modified`], under the standard magic number (Red Hat 6.1).
    ModifiedStandardMagic,
    /// Record headers of 28 bytes, magic 0xa1b2cd34 (SuSE 6.3).
    ModifiedWithCpu,
    /// Record headers of 20 bytes under the standard magic number (Nokia IPSO).
    Nokia,
    /// AIX: nanoseconds and interface types by RFC 1573's numbers under the standard magic number.
    Aix,
    /// Ixia hardware capture (`lcap`): the file header has a size field, times are nanoseconds.
    IxiaHardware,
    /// Ixia software capture: the same with microseconds.
    IxiaSoftware,
}

impl fmt::Display for PcapVariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Standard => "standard",
            Self::Modified => "modified (24-byte record headers)",
            Self::ModifiedStandardMagic => "modified (24-byte record headers, standard magic)",
            Self::ModifiedWithCpu => "modified (28-byte record headers)",
            Self::Nokia => "Nokia",
            Self::Aix => "AIX",
            Self::IxiaHardware => "Ixia hardware",
            Self::IxiaSoftware => "Ixia software",
        })
    }
}

/// The unit in which an interface's time stamps count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// 10^-n seconds, n to 127.
    PowerOfTen(u8),
    /// 2^-n seconds, n to 127.
    PowerOfTwo(u8),
}

impl Resolution {
    /// Microseconds, the default of both formats.
    pub const MICROSECONDS: Self = Self::PowerOfTen(6);
    /// Nanoseconds.
    pub const NANOSECONDS: Self = Self::PowerOfTen(9);

    /// From the octet of pcapng's `if_tsresol`.
    pub fn from_octet(octet: u8) -> Self {
        if octet & 0x80 == 0 { Self::PowerOfTen(octet) } else { Self::PowerOfTwo(octet & 0x7f) }
    }

    /// The octet of pcapng's `if_tsresol`.
    pub fn octet(self) -> u8 {
        match self {
            Self::PowerOfTen(n) => n & 0x7f,
            Self::PowerOfTwo(n) => n | 0x80,
        }
    }

    /// `ticks` in nanoseconds, rounded down, saturated.
    pub fn to_ns(self, ticks: u64) -> u64 {
        u64::try_from(self.exact_ns(ticks)).unwrap_or(u64::MAX)
    }

    /// `ticks` in nanoseconds, rounded down: below 10^29.
    fn exact_ns(self, ticks: u64) -> i128 {
        let ticks = i128::from(ticks);
        match self {
            Self::PowerOfTen(n @ 0..=9) => ticks * 10i128.pow(u32::from(9 - n)),
            Self::PowerOfTen(n) => 10i128.checked_pow(u32::from(n - 9)).map_or(0, |divisor| ticks / divisor),
            Self::PowerOfTwo(n) => (ticks * 1_000_000_000) >> n.min(127),
        }
    }
}

impl Resolution {
    /// Nanoseconds in ticks, rounded down, saturated.
    pub fn from_ns(self, ns: u64) -> u64 {
        match self {
            Self::PowerOfTen(n @ 0..=9) => ns / 10u64.pow(u32::from(9 - n)),
            Self::PowerOfTen(n) => {
                let factor = 10u64.checked_pow(u32::from(n - 9)).unwrap_or(u64::MAX);
                ns.saturating_mul(factor)
            }
            Self::PowerOfTwo(n) if n < 64 => {
                let ticks = (u128::from(ns) << n) / 1_000_000_000;
                u64::try_from(ticks).unwrap_or(u64::MAX)
            }
            Self::PowerOfTwo(_) => {
                if ns == 0 {
                    0
                } else {
                    u64::MAX
                }
            }
        }
    }
}

impl fmt::Display for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PowerOfTen(n) => write!(f, "10^-{n} s"),
            Self::PowerOfTwo(n) => write!(f, "2^-{n} s"),
        }
    }
}

/// An interface that packets were captured on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Interface {
    /// LINKTYPE_ of its packets.
    pub link_type: LinkType,
    /// Most bytes that were kept of a packet; 0: no limit.
    pub snaplen: u32,
    /// Unit of its time stamps in the file.
    pub resolution: Resolution,
    /// Seconds that were added to each of its time stamps (`if_tsoffset`).
    pub offset_seconds: i64,
    /// Section of the file that describes it, index in the reader's sections. 0 in pcap.
    pub section: u32,
    /// `if_name`.
    pub name: Option<String>,
    /// `if_description`.
    pub description: Option<String>,
    /// `if_filter`, when it is text (a capture filter).
    pub filter: Option<String>,
    /// `if_os`.
    pub os: Option<String>,
    /// `if_hardware`.
    pub hardware: Option<String>,
    /// `if_speed`, bits per second.
    pub speed: Option<u64>,
    /// Bytes of frame check sequence at the end of each packet, if the file says.
    pub fcs_len: Option<u8>,
    /// Comments of the description.
    pub comments: Vec<String>,
    /// Other options, undecoded.
    pub other: Vec<OtherOption>,
    /// Packets received, as its statistics block says (`isb_ifrecv`).
    pub received: Option<u64>,
    /// Packets dropped by the interface (`isb_ifdrop`).
    pub dropped: Option<u64>,
    /// Packets that the capture filter accepted (`isb_filteraccept`).
    pub filter_accepted: Option<u64>,
    /// Packets dropped by the operating system (`isb_osdrop`).
    pub os_dropped: Option<u64>,
    /// Packets delivered to the capturing program (`isb_usrdeliv`).
    pub delivered: Option<u64>,
    /// Start of its capture, ns since the epoch (`isb_starttime`).
    pub start_ns: Option<u64>,
    /// End of its capture, ns since the epoch (`isb_endtime`).
    pub end_ns: Option<u64>,
    /// Drops that packets reported (`epb_dropcount`, and older packet blocks), summed.
    pub packet_drops: u64,
}

impl Interface {
    /// An interface of which nothing else is known.
    pub(super) fn new(link_type: LinkType, snaplen: u32, section: u32) -> Self {
        Self {
            link_type,
            snaplen,
            resolution: Resolution::MICROSECONDS,
            offset_seconds: 0,
            section,
            name: None,
            description: None,
            filter: None,
            os: None,
            hardware: None,
            speed: None,
            fcs_len: None,
            comments: Vec::new(),
            other: Vec::new(),
            received: None,
            dropped: None,
            filter_accepted: None,
            os_dropped: None,
            delivered: None,
            start_ns: None,
            end_ns: None,
            packet_drops: 0,
        }
    }

    fn kind(&self) -> Kind {
        let Self { link_type, snaplen, resolution, offset_seconds, fcs_len, .. } = self;
        (link_type.0, *snaplen, resolution.octet(), *offset_seconds, *fcs_len)
    }

    /// A time stamp of this interface in ns since the epoch, clamped to 0..=[`LATEST_NS`].
    pub fn time_ns(&self, ticks: u64) -> u64 {
        time_of(self.resolution, ticks, self.offset_seconds).0
    }
}

/// What packets take from their interface: link type, snap length, unit of time, offset, length of the check sequence.
type Kind = (u16, u32, u8, i64, Option<u8>);

/// Numbers for interfaces beyond those that records can number: each has that of an interface of the same kind.
#[derive(Debug, Default)]
pub(super) struct SharedNumbers {
    /// Made when it is first needed.
    by_kind: BTreeMap<Kind, u16>,
}

impl SharedNumbers {
    /// The number that `interface` shares with one of `all`, of which there are as many as there may be.
    pub fn of(&mut self, interface: &Interface, all: &[Interface]) -> Option<u16> {
        if self.by_kind.is_empty() {
            self.by_kind = (0u16..=u16::MAX).zip(all).map(|(number, known)| (known.kind(), number)).collect();
        }
        self.by_kind.get(&interface.kind()).copied()
    }
}

/// The latest time that packets are given, in ns since the epoch: what a signed number of 64 bits holds, in 2262.
pub const LATEST_NS: u64 = i64::MAX as u64;

/// A time stamp in ns since the epoch, clamped to 0..=[`LATEST_NS`], and whether it had to be.
pub(super) fn time_of(resolution: Resolution, ticks: u64, offset_seconds: i64) -> (u64, bool) {
    let exact = resolution.exact_ns(ticks) + i128::from(offset_seconds) * 1_000_000_000;
    let clamped = exact.clamp(0, i128::from(LATEST_NS));
    (clamped as u64, clamped != exact)
}

/// `ns` moved by whole seconds, saturated at both ends.
pub(super) fn shift_seconds(ns: u64, seconds: i64) -> u64 {
    if seconds == 0 {
        return ns;
    }
    let moved = i128::from(ns) + i128::from(seconds) * 1_000_000_000;
    u64::try_from(moved.max(0)).unwrap_or(u64::MAX)
}

/// A section of a pcapng file (a pcap file is none).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Section {
    /// Offset of its header in the (decompressed) file.
    pub offset: u64,
    /// Byte order of its numbers.
    pub big_endian: bool,
    /// Version, major and minor; 0.0 when its header was damaged and lenient reading went on.
    pub version: (u16, u16),
    /// Length of the section in bytes, if its header says.
    pub length: Option<u64>,
    /// `shb_hardware`.
    pub hardware: Option<String>,
    /// `shb_os`.
    pub os: Option<String>,
    /// `shb_userappl`.
    pub application: Option<String>,
    /// Its comments.
    pub comments: Vec<String>,
    /// Other options, undecoded.
    pub other: Vec<OtherOption>,
    /// Names of addresses (name resolution blocks).
    pub names: Vec<NameRecord>,
    /// Secrets that decrypt the traffic (decryption secrets blocks).
    pub secrets: Vec<Secrets>,
}

impl Section {
    /// A section of which nothing else is known.
    pub(super) fn new(offset: u64, big_endian: bool) -> Self {
        Self {
            offset,
            big_endian,
            version: (0, 0),
            length: None,
            hardware: None,
            os: None,
            application: None,
            comments: Vec::new(),
            other: Vec::new(),
            names: Vec::new(),
            secrets: Vec::new(),
        }
    }
}

/// One record of a name resolution block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameRecord {
    /// The address.
    pub address: IpAddr,
    /// Its names.
    pub names: Vec<String>,
}

/// A decryption secrets block.
#[derive(Clone, PartialEq, Eq)]
pub struct Secrets {
    /// The kind: 0x544c534b is an NSS key log.
    pub kind: u32,
    /// The secrets.
    pub data: Vec<u8>,
}

impl fmt::Debug for Secrets {
    // Secrets do not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets {{ kind: {:#x}, {} bytes }}", self.kind, self.data.len())
    }
}

/// A damaged place of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Number of the next frame when it was met.
    pub frame: u64,
    /// Offset in the (decompressed) file.
    pub offset: u64,
    /// Bytes that were skipped because of it.
    pub skipped: u64,
    /// What is wrong, in words.
    pub what: String,
}

/// What was read so far, and what was odd about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Packets delivered.
    pub packets: u64,
    /// Captured bytes of these packets.
    pub captured_bytes: u64,
    /// Bytes of these packets on the wire.
    pub wire_bytes: u64,
    /// Bytes of the (decompressed) file that were read.
    pub file_bytes: u64,
    /// The compression, outermost first.
    pub compression: Vec<Compression>,
    /// Packets that claim to be shorter on the wire than what was captured of them.
    pub caplen_above_len: u64,
    /// pcap records whose fraction of a second is a second or more (it was added as it stands).
    pub fraction_above_second: u64,
    /// Packets without a time stamp, see [`RecordBatch::has_time`](super::RecordBatch::has_time).
    pub without_time: u64,
    /// Packets with a time before 1970 or after 2262, which have the nearest that can be told.
    pub time_out_of_range: u64,
    /// pcapng blocks of any type.
    pub blocks: u64,
    /// pcapng blocks of types that are not understood, skipped.
    pub unknown_blocks: u64,
    /// pcapng custom blocks, skipped.
    pub custom_blocks: u64,
    /// systemd journal blocks, skipped.
    pub journal_blocks: u64,
    /// pcapng blocks with an option, or a record of names or secrets, that claims more bytes than the block has. What
    /// stands before it was read. (In a section header or interface description that is damage.)
    pub options_cut: u64,
    /// pcapng interface descriptions beyond the 65,536 that records can number. Their packets have the number of another
    /// interface with the same link type, snap length and unit of time.
    pub shared_interfaces: u64,
    /// pcapng statistics blocks of interfaces that their section does not describe, skipped.
    pub unknown_interface_statistics: u64,
    /// Descriptive items (names, comments, secrets) that were not kept because of the limit on their memory.
    pub metadata_dropped: u64,
    /// Damaged places, the first [`Statistics::MAX_DAMAGE`] of them.
    pub damage: Vec<Damage>,
    /// All damaged places.
    pub damage_count: u64,
    /// Bytes skipped because of all of them.
    pub damage_skipped: u64,
}

impl Statistics {
    /// Most damaged places that are described one by one; all are counted.
    pub const MAX_DAMAGE: usize = 1000;

    pub(super) fn add_damage(&mut self, damage: Damage) {
        self.damage_count += 1;
        self.damage_skipped = self.damage_skipped.saturating_add(damage.skipped);
        if self.damage.len() < Self::MAX_DAMAGE {
            self.damage.push(damage);
        }
    }
}
