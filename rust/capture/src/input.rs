//! One input: a capture or several merged by time, seen through a filter.
use crate::Error;
use netfast_filter::Filter;
use netfast_io::capture::{Interface, Merge, Reader, ReaderOptions, Record, RecordBatch};
use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

/// How an input is opened.
#[derive(Clone, Debug, Default)]
pub struct InputOptions {
    /// How its files are read.
    pub reader: ReaderOptions,
    /// A pcap-filter(7) expression; only frames that it keeps are seen.
    pub filter: Option<String>,
}

/// Vectors of records of one or more captures.
pub struct Input {
    source: Source,
    batch: RecordBatch,
    filter: Option<Filters>,
    selected: Vec<u32>,
    live: bool,
    paths: Vec<String>,
}

enum Source {
    One(Box<Reader>),
    Several(Box<Merge>),
}

/// A compiled filter for each link type that was met.
struct Filters {
    expression: String,
    compiled: HashMap<u16, Filter>,
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
    /// A file that cannot be opened or is no capture, a filter that does not compile.
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
            readers.push(reader.map_err(of_file)?);
        }
        Self::new(readers, names, live, options.filter.as_deref())
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
        let mut filter = filter.map(|text| Filters { expression: text.to_owned(), compiled: HashMap::new() });
        if let Some(filters) = &mut filter {
            // What is known at once is said at once, before any packet is read.
            for link in links.iter().copied().chain(links.is_empty().then_some(1)) {
                filters.of(link)?;
            }
        }
        Ok(Self { source, batch: RecordBatch::default(), filter, selected: Vec::new(), live, paths })
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

    /// The interfaces met so far, by the numbers of the records.
    pub fn interfaces(&self) -> &[Interface] {
        match &self.source {
            Source::One(reader) => reader.interfaces(),
            Source::Several(merge) => merge.interfaces(),
        }
    }

    /// Packets and (decompressed) bytes read so far, those included that the filter did not keep.
    pub fn progress(&self) -> (u64, u64) {
        self.readers()
            .iter()
            .map(|reader| reader.statistics())
            .fold((0, 0), |(packets, bytes), statistics| {
                (packets + statistics.packets, bytes + statistics.file_bytes)
            })
    }

    /// Moves on to the next vector of up to `max` records; false at the end.
    ///
    /// # Errors
    /// Damage, after all records before it.
    pub fn next(&mut self, max: usize) -> Result<bool, Error> {
        loop {
            let more = match &mut self.source {
                Source::One(reader) => reader.next_batch(&mut self.batch, max),
                Source::Several(merge) => merge.next_batch(&mut self.batch, max),
            };
            if !more.map_err(|source| self.error(source))? {
                return Ok(false);
            }
            if self.filter.is_none() {
                return Ok(true);
            }
            self.select()?;
            // A vector without a match is not given, but a pipe is not read far beyond what it has.
            if !self.selected.is_empty() {
                return Ok(true);
            }
        }
    }

    fn select(&mut self) -> Result<(), Error> {
        let Some(filters) = &mut self.filter else { return Ok(()) };
        self.selected.clear();
        let mut current: Option<(u16, &Filter)> = None;
        for record in &self.batch.records {
            if !filters.compiled.contains_key(&record.link) {
                filters.of(record.link)?;
            }
        }
        let bytes = self.batch.bytes();
        for (at, record) in self.batch.records.iter().enumerate() {
            let filter = match current {
                Some((link, filter)) if link == record.link => filter,
                _ => {
                    let filter = &filters.compiled[&record.link];
                    current = Some((record.link, filter));
                    filter
                }
            };
            if filter.matches(record.data(bytes), record.len) {
                self.selected.push(at as u32);
            }
        }
        Ok(())
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
    pub fn packets(&self) -> impl Iterator<Item = (u64, &Record, &[u8])> {
        let bytes = self.batch.bytes();
        let records = &self.batch.records[..];
        let selected = self.filter.is_some().then_some(&self.selected[..]);
        let count = selected.map_or(records.len(), <[u32]>::len);
        (0..count).map(move |i| {
            let at = selected.map_or(i, |selected| selected[i] as usize);
            let record = &records[at];
            (self.batch.first_frame + at as u64, record, record.data(bytes))
        })
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

impl Filters {
    fn of(&mut self, link: u16) -> Result<&Filter, Error> {
        if !self.compiled.contains_key(&link) {
            self.compiled.insert(link, Filter::compile(&self.expression, link)?);
        }
        Ok(&self.compiled[&link])
    }
}

/// A handle of standard input of our own: the lock and the buffer of `std::io::stdin` would stand in between.
fn standard_input() -> std::io::Result<File> {
    use std::os::fd::AsFd;
    Ok(File::from(std::io::stdin().as_fd().try_clone_to_owned()?))
}
