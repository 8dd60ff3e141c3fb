//! Packets as columns: fixed arrays that are filled row by row and used again when nobody refers to them.
use crate::input::Input;
use crate::{AddressForm, Error};
use netfast_io::capture::Record;
use netfast_low::bits::transpose8;
use netfast_wire::checksum::{verify_l3, verify_l4};
use netfast_wire::{Checksum, Frame, Layers, Limits, LinkType, Present, dissect, dissect_innermost};
use std::sync::{Arc, Mutex, PoisonError};

/// Rows in a batch of columns.
pub(crate) const ROWS: usize = 4096;
/// Records that are asked for at once, so that their headers are still in the first-level cache when dissected.
const VECTOR: usize = 256;
/// Batches of columns that wait for reuse.
const IDLE_COLUMNS: usize = 4;

/// Presence bits beyond those of [`Present`].
pub(crate) const HAS_L3_CHECKSUM: u16 = 1 << 13;
pub(crate) const HAS_L4_CHECKSUM: u16 = 1 << 14;

type Array<T> = Box<[T; ROWS]>;

fn array<T: Copy + Default>() -> Array<T> {
    let Ok(array) = vec![T::default(); ROWS].into_boxed_slice().try_into() else {
        unreachable!("a boxed slice of ROWS elements is an array of ROWS elements")
    };
    array
}

macro_rules! columns {
    ($($name:ident: $kind:ty),+ $(,)?) => {
        /// Columns of up to [`Columns::CAPACITY`] packets; a value without its presence bit is zero.
        #[derive(Debug)]
        pub struct Columns {
            len: usize,
            $(pub(crate) $name: Array<$kind>,)+
            pub(crate) present: Array<u16>,
            pub(crate) bitmaps: [Box<[u8; ROWS / 8]>; 16],
            /// See [`ReadOptions::heads`].
            heads: Vec<Box<[u8]>>,
        }

        impl Columns {
            fn new() -> Self {
                let bitmap = || Box::new([0; ROWS / 8]);
                Self { len: 0, $($name: array(),)+ present: array(), bitmaps: std::array::from_fn(|_| bitmap()), heads: Vec::new() }
            }
        }
    };
}

columns! {
    frame: u64,
    time_ns: i64,
    caplen: u32,
    wire_len: u32,
    link_type: u16,
    vlan: u16,
    ip_version: u8,
    src: [u8; 16],
    dst: [u8; 16],
    protocol: u8,
    src_port: u16,
    dst_port: u16,
    tcp_flags: u16,
    payload_len: u32,
    hop_limit: u8,
    traffic_class: u8,
    flow_label: u32,
    fragment_offset: u16,
    fragment_id: u32,
    l3_checksum: u8,
    l4_checksum: u8,
    verdict: u8,
}

impl Columns {
    /// Most rows that fit.
    pub const CAPACITY: usize = ROWS;

    /// Rows filled.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first bytes of each packet without ports, nothing of the others: [`ReadOptions::heads`].
    pub fn heads(&self) -> &[Box<[u8]>] {
        &self.heads
    }

    #[inline(always)]
    fn push(&mut self, frame: u64, record: &Record, layers: &Layers, l3: Checksum, l4: Checksum) {
        let row = self.len & (ROWS - 1);
        self.frame[row] = frame;
        // Beyond the year 2262 time stands still.
        self.time_ns[row] = record.time_ns.min(i64::MAX as u64) as i64;
        self.caplen[row] = record.caplen;
        self.wire_len[row] = record.len;
        self.link_type[row] = record.link;
        self.vlan[row] = layers.vlan;
        self.ip_version[row] = layers.ip_version;
        self.src[row] = layers.src;
        self.dst[row] = layers.dst;
        self.protocol[row] = layers.protocol;
        self.src_port[row] = layers.src_port;
        self.dst_port[row] = layers.dst_port;
        self.tcp_flags[row] = layers.tcp_flags;
        self.payload_len[row] = layers.payload_len;
        self.hop_limit[row] = layers.hop_limit;
        self.traffic_class[row] = layers.traffic_class;
        self.flow_label[row] = layers.flow_label;
        self.fragment_offset[row] = layers.fragment_offset;
        self.fragment_id[row] = layers.fragment_id;
        self.l3_checksum[row] = l3 as u8;
        self.l4_checksum[row] = l4 as u8;
        self.verdict[row] = layers.verdict as u8;
        let l3 = if l3 == Checksum::None { 0 } else { HAS_L3_CHECKSUM };
        let l4 = if l4 == Checksum::None { 0 } else { HAS_L4_CHECKSUM };
        self.present[row] = layers.present.0 | l3 | l4;
        self.len += 1;
    }

    /// Turns the rows of presence bits into a bitmap for each bit (least significant bit first, as Arrow has them).
    fn finish(&mut self) {
        let rows = self.len.next_multiple_of(8);
        self.present[self.len..rows].fill(0);
        for (at, eight) in self.present[..rows].chunks_exact(8).enumerate() {
            let mut planes = [[0u8; 8]; 2];
            for (i, word) in eight.iter().enumerate() {
                [planes[0][i], planes[1][i]] = word.to_le_bytes();
            }
            for (half, plane) in planes.iter().enumerate() {
                let bits = transpose8(u64::from_le_bytes(*plane)).to_le_bytes();
                for (bit, byte) in bits.into_iter().enumerate() {
                    self.bitmaps[half * 8 + bit][at] = byte;
                }
            }
        }
    }

    /// The bitmap of one presence bit.
    pub(crate) fn bitmap(&self, bit: u16) -> &[u8] {
        &self.bitmaps[bit.trailing_zeros() as usize & 15][..]
    }

    /// True when the row's packet has the values of this presence bit.
    pub(crate) fn has(&self, row: usize, bit: u16) -> bool {
        Present(self.present[row]).has(bit)
    }
}

/// Columns that may be read and shared; their memory returns to its pool with the last handle.
#[derive(Clone, Debug)]
pub struct SharedColumns(Arc<Pooled>);

#[derive(Debug)]
struct Pooled {
    columns: Option<Box<Columns>>,
    pool: ColumnPool,
}

impl std::ops::Deref for SharedColumns {
    type Target = Columns;

    fn deref(&self) -> &Columns {
        let Some(columns) = &self.0.columns else { unreachable!("columns are taken out by drop only") };
        columns
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        if let Some(columns) = self.columns.take() {
            self.pool.put(columns);
        }
    }
}

/// Column memory that waits for reuse, bounded. Clones share it.
#[derive(Clone, Debug, Default)]
#[allow(clippy::vec_box, reason = "half a megabyte each: moved by their pointers")]
pub struct ColumnPool(Arc<Mutex<Vec<Box<Columns>>>>);

impl ColumnPool {
    fn take(&self) -> Box<Columns> {
        let idle = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut columns = idle.unwrap_or_else(|| Box::new(Columns::new()));
        columns.len = 0;
        columns.heads.clear();
        columns
    }

    fn put(&self, columns: Box<Columns>) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_COLUMNS {
            idle.push(columns);
        }
    }
}

/// What is read of each packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOptions {
    /// Verify checksums; without, their columns are null.
    pub checksums: bool,
    /// Describe the innermost IP packet in place of the outermost.
    pub inner: bool,
    /// How addresses stand in Arrow.
    pub addresses: AddressForm,
    /// Keep the first bytes of packets that have no ports, for those who tell people what they are.
    pub heads: bool,
}

impl ReadOptions {
    /// Most bytes of a packet that `heads` keeps.
    pub const HEAD: usize = 512;
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { checksums: true, inner: false, addresses: AddressForm::Binary, heads: false }
    }
}

/// Reads an input as batches of columns.
#[derive(Debug)]
pub struct PacketReader {
    input: Input,
    options: ReadOptions,
    pool: ColumnPool,
    pending: Option<Error>,
}

impl PacketReader {
    /// Reads this input.
    pub fn new(input: Input, options: ReadOptions) -> Self {
        Self { input, options, pool: ColumnPool::default(), pending: None }
    }

    /// The options given.
    pub fn options(&self) -> ReadOptions {
        self.options
    }

    /// The input, for what it knows of its files.
    pub fn input(&self) -> &Input {
        &self.input
    }

    /// The next batch; `None` at the end.
    ///
    /// From a pipe it gives what has come; from a file, full batches.
    ///
    /// # Errors
    /// All packets before the damage come first; then its error, once.
    pub fn next_columns(&mut self) -> Result<Option<SharedColumns>, Error> {
        if let Some(error) = self.pending.take() {
            return Err(error);
        }
        let mut columns = self.pool.take();
        while columns.len < ROWS {
            match self.input.next(VECTOR.min(ROWS - columns.len)) {
                Ok(true) => self.fill(&mut columns),
                Ok(false) => break,
                Err(error) if columns.len == 0 => return Err(error),
                Err(error) => {
                    self.pending = Some(error);
                    break;
                }
            }
            if self.input.is_live() && columns.len > 0 {
                break;
            }
        }
        if columns.len == 0 {
            return Ok(None);
        }
        columns.finish();
        let pool = self.pool.clone();
        Ok(Some(SharedColumns(Arc::new(Pooled { columns: Some(columns), pool }))))
    }

    fn fill(&self, columns: &mut Columns) {
        let first = columns.len;
        match (self.options.checksums, self.options.inner) {
            (false, false) => fill::<false, false>(&self.input, columns),
            (true, false) => fill::<true, false>(&self.input, columns),
            (false, true) => fill::<false, true>(&self.input, columns),
            (true, true) => fill::<true, true>(&self.input, columns),
        }
        if self.options.heads {
            for (row, (.., bytes)) in (first..columns.len).zip(self.input.packets()) {
                let has_ports = Present(columns.present[row]).has(Present::PORTS);
                let head = if has_ports { &[] } else { &bytes[..bytes.len().min(ReadOptions::HEAD)] };
                columns.heads.push(head.into());
            }
        }
    }
}

#[inline]
fn fill<const CHECKSUMS: bool, const INNER: bool>(input: &Input, columns: &mut Columns) {
    let limits = Limits::default();
    let mut layers = Layers::default();
    for (number, record, bytes) in input.packets() {
        let frame = Frame { bytes, wire_len: record.len, link: LinkType(record.link) };
        if INNER {
            dissect_innermost(&frame, &limits, &mut layers, &mut ());
        } else {
            dissect(&frame, &limits, &mut layers, &mut ());
        }
        let (mut l3, mut l4) = (Checksum::None, Checksum::None);
        if CHECKSUMS {
            (l3, l4) = (verify_l3(&frame, &layers), verify_l4(&frame, &layers));
        }
        columns.push(number, record, &layers, l3, l4);
    }
}
