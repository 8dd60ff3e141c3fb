//! One input: a capture or several merged by time, seen through a filter.
use crate::Error;
use crate::copy::{Copied, CopyFormat, Tee};
use crate::reassembly::{ReassembleOptions, Reassembly, ReassemblyGauge};
use crate::select::{Select, Unfiltered};
use netfast_io::capture::{
    Damage, Format, Interface, Interrupt, Merge, Reader, ReaderOptions, Record, RecordBatch,
};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Records after which the interrupt of the options is asked while a filter keeps none: less than a tenth of a second.
const PATIENCE: usize = 1 << 17;

/// How an input is opened.
#[derive(Clone, Debug, Default)]
pub struct InputOptions {
    /// How its files are read.
    pub reader: ReaderOptions,
    /// A pcap-filter(7) expression; only frames that it keeps are seen.
    pub filter: Option<String>,
    /// Fragments are put together before the filter is asked, so that it sees whole datagrams.
    pub reassemble: Option<ReassembleOptions>,
}

/// Vectors of records of one or more captures.
pub struct Input {
    source: Source,
    batch: RecordBatch,
    reassembly: Option<Box<Reassembly>>,
    /// Frame numbers of the current vector's records, where they do not follow each other.
    frames: Vec<u64>,
    /// How the reading ended, while what it left behind is given.
    ended: Option<Result<bool, Error>>,
    filter: Option<Select>,
    selected: Vec<u32>,
    live: bool,
    paths: Vec<String>,
    interrupt: Option<Interrupt>,
    gauge: Gauge,
    tee: Option<Box<Tee>>,
    /// What is wrong with some of several captures, while the others are read to their ends.
    damaged: Vec<Error>,
    damages: Damages,
    /// Damaged places that `damages` has.
    damages_told: u64,
}

/// How far the reading of an input is; a handle that is read without disturbing it. Clones are one and the same.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<(AtomicU64, AtomicU64)>, Arc<AtomicU64>);

impl Gauge {
    /// Packets and bytes: [`Input::progress`].
    pub fn read(&self) -> (u64, u64) {
        (self.0.0.load(Ordering::Relaxed), self.0.1.load(Ordering::Relaxed))
    }

    /// Packets that the filter kept, all of them when there is none.
    pub fn kept(&self) -> u64 {
        self.1.load(Ordering::Relaxed)
    }

    fn keep(&self, packets: usize) {
        self.1.fetch_add(packets as u64, Ordering::Relaxed);
    }

    fn set(&self, (packets, bytes): (u64, u64)) {
        self.0.0.store(packets, Ordering::Relaxed);
        self.0.1.store(bytes, Ordering::Relaxed);
    }
}

/// What is damaged of one capture of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// The path, as it was named.
    pub path: String,
    /// All damaged places.
    pub count: u64,
    /// Bytes skipped because of them.
    pub skipped: u64,
    /// The places, the first thousand of them; frames and offsets count in this capture.
    pub places: Vec<Damage>,
}

/// What is damaged of an input, as far as it was read: all that lenient reading skipped, or the place that ended the
/// reading. A handle that can be kept beside the input; clones are one and the same.
#[derive(Clone, Debug, Default)]
pub struct Damages(Arc<Mutex<Vec<Damaged>>>);

impl Damages {
    /// The damaged captures, in the order of the paths.
    pub fn captures(&self) -> Vec<Damaged> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn update(&self, paths: &[String], readers: &[&Reader]) {
        let mut captures = Vec::new();
        for (path, statistics) in paths.iter().zip(readers.iter().map(|reader| reader.statistics())) {
            if statistics.damage_count > 0 {
                captures.push(Damaged {
                    path: path.clone(),
                    count: statistics.damage_count,
                    skipped: statistics.damage_skipped,
                    places: statistics.damage.clone(),
                });
            }
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = captures;
    }
}

enum Source {
    One(Box<Reader>),
    Several(Box<Merge>),
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input").field("paths", &self.paths).finish_non_exhaustive()
    }
}

impl Input {
    /// Opens captures by path; `-` is standard input. Several are merged by time.
    ///
    /// # Errors
    /// A file that cannot be opened or is no capture; a filter that is no expression, or that cannot be asked of any
    /// of the link types that are known by then.
    pub fn open<P: AsRef<Path>>(paths: &[P], options: &InputOptions) -> Result<Self, Error> {
        let mut readers = Vec::with_capacity(paths.len());
        let mut live = false;
        let names: Vec<_> = paths.iter().map(|path| path.as_ref().display().to_string()).collect();
        for (path, name) in paths.iter().zip(&names) {
            let of_file = |source| Error::Capture { path: name.clone(), source };
            let reader = if name == "-" {
                live = true;
                let standard_input = standard_input().map_err(|source| {
                    of_file(netfast_io::Error::Io { operation: "open", offset: 0, source })
                })?;
                Reader::from_file(standard_input, options.reader.clone())
            } else {
                live |= std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file());
                Reader::open(path, options.reader.clone())
            };
            match reader {
                Ok(reader) => readers.push(reader),
                Err(_) if given(options.reader.interrupt.as_ref()) => return Err(Error::Interrupted),
                Err(error) => return Err(of_file(error)),
            }
        }
        let mut input = Self::new(readers, names, live, options.filter.as_deref())?;
        input.interrupt.clone_from(&options.reader.interrupt);
        input.reassembly = options.reassemble.as_ref().map(|options| Box::new(Reassembly::new(options)));
        Ok(input)
    }

    /// Takes readers that are open already, with a name for each.
    ///
    /// # Errors
    /// No reader, or a filter that does not compile.
    pub fn new(
        mut readers: Vec<Reader>,
        paths: Vec<String>,
        live: bool,
        filter: Option<&str>,
    ) -> Result<Self, Error> {
        let links: Vec<u16> =
            readers.iter().flat_map(Reader::interfaces).map(|interface| interface.link_type.0).collect();
        let source = match readers.len() {
            0 => return Err(Error::NoInput),
            1 => Source::One(Box::new(readers.remove(0))),
            _ => Source::Several(Box::new(Merge::new(readers))),
        };
        // What is known at once is said at once, before any packet is read.
        let filter = filter.map(|expression| Select::new(expression, &links)).transpose()?;
        Ok(Self {
            source,
            batch: RecordBatch::default(),
            reassembly: None,
            frames: Vec::new(),
            ended: None,
            filter,
            selected: Vec::new(),
            live,
            paths,
            interrupt: None,
            gauge: Gauge::default(),
            tee: None,
            damaged: Vec::new(),
            damages: Damages::default(),
            damages_told: 0,
        })
    }

    /// True when records come from a pipe, so that waiting for a full batch would hold back what has come.
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// The paths, as they were named.
    pub fn paths(&self) -> &[String] {
        &self.paths
    }

    /// The readers, in the order of the paths.
    pub fn readers(&self) -> Vec<&Reader> {
        match &self.source {
            Source::One(reader) => vec![reader],
            Source::Several(merge) => merge.readers().collect(),
        }
    }

    /// Which of the captures, in the order of the paths, has the interface that a record names.
    pub fn input_of(&self, interface: u16) -> usize {
        match &self.source {
            Source::One(_) => 0,
            Source::Several(merge) => merge.input_of(interface).unwrap_or(0),
        }
    }

    /// The interfaces met so far, by the numbers of the records.
    pub fn interfaces(&self) -> &[Interface] {
        match &self.source {
            Source::One(reader) => reader.interfaces(),
            Source::Several(merge) => merge.interfaces(),
        }
    }

    /// Packets and (decompressed) bytes read so far, those included that the filter did not keep.
    pub fn progress(&self) -> (u64, u64) {
        let add = |(packets, bytes), reader: &Reader| {
            let statistics = reader.statistics();
            (packets + statistics.packets, bytes + statistics.file_bytes)
        };
        match &self.source {
            Source::One(reader) => add((0, 0), reader),
            Source::Several(merge) => merge.readers().fold((0, 0), add),
        }
    }

    fn damage_count(&self) -> u64 {
        match &self.source {
            Source::One(reader) => reader.statistics().damage_count,
            Source::Several(merge) => merge.readers().map(|reader| reader.statistics().damage_count).sum(),
        }
    }

    /// A handle that tells the same, from any thread and while a read waits.
    pub fn gauge(&self) -> Gauge {
        self.gauge.clone()
    }

    /// What ends the reading when it is canceled, if the reader's options have it.
    pub fn interrupt(&self) -> Option<&Interrupt> {
        self.interrupt.as_ref()
    }

    /// Packets that the filter could not be asked about; a handle that stays valid.
    pub fn unfiltered(&self) -> Unfiltered {
        self.filter.as_ref().map_or_else(Unfiltered::default, |filter| filter.unfiltered().clone())
    }

    /// Counters of reassembly, zero where there is none; a handle that stays valid.
    pub fn reassembly(&self) -> ReassemblyGauge {
        self.reassembly.as_ref().map_or_else(ReassemblyGauge::default, |reassembly| reassembly.gauge())
    }

    /// What is damaged; a handle that stays valid.
    pub fn damages(&self) -> Damages {
        self.damages.clone()
    }

    /// Moves on to the next vector of up to `max` records; false at the end.
    ///
    /// # Errors
    /// Damage, after all records before it; of several captures after all records of the others, too.
    /// [`Error::Interrupted`] when the reader's options have an interrupt and it was given. What [`Input::copy_to`] met.
    pub fn next(&mut self, max: usize) -> Result<bool, Error> {
        let outcome = self.advance(max);
        if let Ok(true) = outcome {
            self.gauge.keep(self.packets().len());
        }
        let Some(mut tee) = self.tee.take() else { return outcome };
        let written = if let Ok(true) = outcome { tee.take(self) } else { tee.finish(self) };
        self.tee = Some(tee);
        outcome.and_then(|more| written.map(|()| more))
    }

    /// Also writes each packet that the filter keeps to `sink` in a format, when [`Input::next`] comes to it: one pass for
    /// all who want something of an input. `name` is what errors call it.
    pub fn copy_to(&mut self, sink: Box<dyn Write + Send>, name: String, format: CopyFormat) -> Copied {
        let tee = Tee::new(self, sink, name, format);
        self.tee.insert(Box::new(tee)).copied()
    }

    /// Writes what was collected of the copy, if there is one.
    ///
    /// # Errors
    /// The sink's.
    pub fn flush_copy(&mut self) -> Result<(), Error> {
        self.tee.as_mut().map_or(Ok(()), |tee| tee.flush())
    }

    fn advance(&mut self, max: usize) -> Result<bool, Error> {
        let mut unasked = 0;
        loop {
            if !self.read_whole(max)? {
                return match self.damaged.len() {
                    0 => Ok(false),
                    1 => Err(self.damaged.remove(0)),
                    _ => Err(Error::Several { errors: std::mem::take(&mut self.damaged) }),
                };
            }
            let read = self.batch.records.len().max(1);
            let Some(filter) = &mut self.filter else {
                if !self.batch.records.is_empty() {
                    return Ok(true);
                }
                self.be_patient(&mut unasked, read)?;
                continue;
            };
            let source = &self.source;
            filter.select(&self.batch, &mut self.selected, |interface| source.is_big_endian(interface));
            // A vector without a match is not given, but a pipe is not read far beyond what it has.
            if !self.selected.is_empty() {
                return Ok(true);
            }
            self.be_patient(&mut unasked, read)?;
        }
    }

    /// Asks the interrupt once in a while.
    fn be_patient(&self, unasked: &mut usize, read: usize) -> Result<(), Error> {
        *unasked += read;
        if *unasked >= PATIENCE {
            *unasked = 0;
            if self.interrupt.as_ref().is_some_and(Interrupt::ask) {
                return Err(Error::Interrupted);
            }
        }
        Ok(())
    }

    /// The next vector, fragments put together where that was asked for; it may be empty then.
    fn read_whole(&mut self, max: usize) -> Result<bool, Error> {
        if let Some(ended) = self.ended.take() {
            self.batch.clear();
            return ended;
        }
        let outcome = self.read(max);
        let Some(reassembly) = &mut self.reassembly else { return outcome };
        match outcome {
            Ok(true) => reassembly.take(&mut self.batch, &mut self.frames),
            Err(Error::Interrupted) => return outcome,
            // What waits comes before the end, or before the damage that ends it.
            _ if reassembly.finish(&mut self.batch, &mut self.frames) => self.ended = Some(outcome),
            _ => return outcome,
        }
        Ok(true)
    }

    /// The next vector as it stands in the captures.
    fn read(&mut self, max: usize) -> Result<bool, Error> {
        loop {
            let more = match &mut self.source {
                Source::One(reader) => reader.next_batch(&mut self.batch, max),
                Source::Several(merge) => merge.next_batch(&mut self.batch, max),
            };
            if !matches!(more, Ok(true)) && given(self.interrupt.as_ref()) {
                return Err(Error::Interrupted);
            }
            self.gauge.set(self.progress());
            let count = self.damage_count();
            if count != self.damages_told {
                self.damages_told = count;
                self.damages.update(&self.paths, &self.readers());
            }
            match (more, &self.source) {
                (Ok(more), _) => return Ok(more),
                (Err(error), Source::One(_)) => return Err(self.error(error)),
                // Each input says once what is wrong with it.
                (Err(error), Source::Several(_)) => self.damaged.push(self.error(error)),
            }
        }
    }

    fn error(&self, source: netfast_io::Error) -> Error {
        let (at, source) = match source {
            netfast_io::Error::Input { input, source } => (input, *source),
            source => (0, source),
        };
        Error::Capture { path: self.paths.get(at).cloned().unwrap_or_default(), source }
    }

    /// The records of the current vector that the filter keeps: frame number, record, captured bytes.
    #[inline]
    pub fn packets(&self) -> impl ExactSizeIterator<Item = (u64, &Record, &[u8])> {
        let bytes = self.batch.bytes();
        self.kept().map(move |at| {
            let record = &self.batch.records[at];
            (self.frame_at(at), record, record.data(bytes))
        })
    }

    /// Places in [`Input::batch`] of the records that the filter keeps.
    #[inline]
    pub(crate) fn kept(&self) -> impl ExactSizeIterator<Item = usize> {
        let selected = self.filter.is_some().then_some(&self.selected[..]);
        let count = selected.map_or(self.batch.records.len(), <[u32]>::len);
        (0..count).map(move |i| selected.map_or(i, |selected| selected[i] as usize))
    }

    /// Number of the frame of a record of the current vector; of a reassembled datagram that of its last fragment.
    #[inline]
    pub fn frame_at(&self, at: usize) -> u64 {
        self.frames.get(at).copied().unwrap_or(self.batch.first_frame + at as u64)
    }

    /// The current vector itself, for those who keep its block.
    pub fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    /// Gives the current vector away, for a thread that works on it while this input reads on.
    pub(crate) fn take_batch(&mut self, into: &mut TakenBatch) {
        std::mem::swap(&mut self.batch, &mut into.batch);
        std::mem::swap(&mut self.selected, &mut into.selected);
        into.filtered = self.filter.is_some();
    }
}

/// A vector that was taken out of its input.
#[derive(Debug, Default)]
pub(crate) struct TakenBatch {
    batch: RecordBatch,
    selected: Vec<u32>,
    filtered: bool,
}

impl TakenBatch {
    /// As [`Input::packets`], without frame numbers.
    pub fn packets(&self) -> impl Iterator<Item = (&Record, &[u8])> {
        let (bytes, records) = (self.batch.bytes(), &self.batch.records[..]);
        let count = if self.filtered { self.selected.len() } else { records.len() };
        (0..count).map(move |i| {
            let record = &records[if self.filtered { self.selected[i] as usize } else { i }];
            (record, record.data(bytes))
        })
    }

    /// Lets go of the block.
    pub fn clear(&mut self) {
        self.batch.clear();
        self.selected.clear();
    }
}

impl Source {
    /// The byte order in which an interface's packets were captured, as far as the file tells.
    fn is_big_endian(&self, interface: usize) -> bool {
        let (reader, described) = match self {
            Self::One(reader) => (Some(&**reader), reader.interfaces().get(interface)),
            Self::Several(merge) => {
                let owner = u16::try_from(interface).ok().and_then(|number| merge.input_of(number));
                (owner.and_then(|at| merge.readers().nth(at)), merge.interfaces().get(interface))
            }
        };
        let Some(reader) = reader else { return false };
        match reader.format() {
            Format::Pcap { big_endian, .. } => big_endian,
            _ => described
                .and_then(|interface| reader.sections().get(interface.section as usize))
                .is_some_and(|section| section.big_endian),
        }
    }
}

fn given(interrupt: Option<&Interrupt>) -> bool {
    interrupt.is_some_and(Interrupt::is_given)
}

/// A handle of standard input of our own: the lock and the buffer of `std::io::stdin` would stand in between.
fn standard_input() -> std::io::Result<File> {
    use std::os::fd::AsFd;
    Ok(File::from(std::io::stdin().as_fd().try_clone_to_owned()?))
}
