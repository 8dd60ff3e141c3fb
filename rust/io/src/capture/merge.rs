//! Several captures as one, in order of time.
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use netfast_buf::{BlockMut, BlockPool};

use super::format::{Interface, SharedNumbers};
use super::options::PacketOptions;
use super::reader::{Reader, ReaderOptions};
use super::{Record, RecordBatch};
use crate::Error;

/// A run of records of one input that is at least this long is given out where it stands; shorter runs are
/// gathered: copying a packet costs less than a batch of one packet costs all that come after.
const LONG_RUN: usize = 32;
/// Interfaces that records can number.
const MAX_INTERFACES: usize = 1 << 16;

/// Reads several captures as one input, merged by time stamp.
///
/// The earliest of the inputs' next packets comes first, on a tie the one of the input that was given first; the
/// packets of one input keep their order, even where their times go back. Frames are numbered over the whole,
/// interfaces too. Runs of packets from one input are given out without a copy, so that captures which follow each
/// other in time cost nothing; where inputs interleave closely packets are copied together
/// ([`Self::copied_bytes`]). One input is passed through as it is.
#[derive(Debug)]
pub struct Merge {
    inputs: Vec<Input>,
    /// Time of each input's next packet, and the input; earliest on top.
    heads: BinaryHeap<Reverse<(u64, usize)>>,
    /// Inputs whose next packet has to be read before anything can be given out.
    empty: Vec<usize>,
    interfaces: Vec<Interface>,
    /// The input of each interface.
    owners: Vec<u32>,
    shared: SharedNumbers,
    pool: BlockPool,
    /// Number of the next frame.
    frame: u64,
    copied: u64,
}

#[derive(Debug)]
struct Input {
    reader: Reader,
    batch: RecordBatch,
    /// The next record of the batch.
    at: usize,
    /// Number over all inputs of each of its interfaces.
    numbers: Vec<u16>,
    /// How many of these numbers are its own: those after them are shared with other interfaces.
    own: usize,
    /// Why it ends after this batch.
    ended: Option<Error>,
}

impl Input {
    fn head(&self) -> Option<&Record> {
        self.batch.records.get(self.at)
    }
}

impl Merge {
    /// One input from several readers.
    pub fn new(readers: Vec<Reader>) -> Self {
        let inputs: Vec<_> = readers
            .into_iter()
            .map(|reader| {
                let batch = RecordBatch::default();
                Input { reader, batch, at: 0, numbers: Vec::new(), own: 0, ended: None }
            })
            .collect();
        let mut merge = Self {
            heads: BinaryHeap::with_capacity(inputs.len()),
            empty: (0..inputs.len()).rev().collect(),
            interfaces: Vec::new(),
            owners: Vec::new(),
            shared: SharedNumbers::default(),
            pool: BlockPool::new(ReaderOptions::BLOCK_SIZE, 2),
            frame: 1,
            copied: 0,
            inputs,
        };
        // What is too many is told by `next_batch`, once the packets before have come.
        (0..merge.inputs.len()).for_each(|input| drop(merge.number_interfaces(input)));
        merge
    }

    /// Fills the batch with up to `max_records` (at least one) records that stand in one block. False at the end of
    /// all inputs. The block of the batch's last filling is let go first.
    ///
    /// # Errors
    /// [`Error::Input`] with what an input said, once, when its turn comes; the next calls go on with the others.
    pub fn next_batch(&mut self, batch: &mut RecordBatch, max_records: usize) -> Result<bool, Error> {
        batch.clear();
        let max = max_records.max(1);
        if let [input] = self.inputs.as_mut_slice() {
            let more = input.reader.next_batch(batch, max).map_err(|error| in_input(0, error))?;
            return self.number_interfaces(0).map(|()| more);
        }
        while let Some(input) = self.empty.pop() {
            self.load(input, max)?;
        }
        let Some(&Reverse((_, first))) = self.heads.peek() else { return Ok(false) };
        let run = self.run(max);
        if run >= LONG_RUN.min(max) || self.heads.len() == 1 || !self.gather(batch, max) {
            self.heads.pop();
            self.give(first, run, batch);
            self.put_back(first);
        }
        batch.first_frame = self.frame;
        self.frame += batch.records.len() as u64;
        Ok(true)
    }

    /// Reads the input's next batch.
    fn load(&mut self, input: usize, max: usize) -> Result<(), Error> {
        let Input { reader, batch, at, ended, .. } = &mut self.inputs[input];
        *at = 0;
        batch.clear();
        if let Some(error) = ended.take() {
            return Err(in_input(input, error));
        }
        let more = reader.next_batch(batch, max);
        if let Err(error) = self.number_interfaces(input) {
            let Input { batch, numbers, ended, .. } = &mut self.inputs[input];
            let known = |record: &Record| usize::from(record.interface) < numbers.len();
            batch.records.truncate(batch.records.iter().take_while(|record| known(record)).count());
            *ended = Some(error);
        }
        let ends_later = self.inputs[input].ended.is_some();
        if !matches!(more, Ok(true)) {
            // Statistics blocks stand at the end.
            self.refresh_interfaces(input);
        }
        if ends_later || matches!(more, Ok(true)) {
            self.put_back(input);
        }
        more.map(drop).map_err(|error| in_input(input, error))
    }

    /// Notes the time of the input's next packet, or that it has to be read.
    fn put_back(&mut self, input: usize) {
        match self.inputs[input].head() {
            Some(head) => self.heads.push(Reverse((head.time_ns, input))),
            None => self.empty.push(input),
        }
    }

    /// How many packets of the first input come before any other's.
    fn run(&self, max: usize) -> usize {
        let Some(&Reverse((_, first))) = self.heads.peek() else { return 0 };
        let next = self.heads.iter().map(|head| head.0).filter(|&(_, input)| input != first).min();
        let input = &self.inputs[first];
        let waiting = &input.batch.records[input.at..];
        let before = |record: &&Record| next.is_none_or(|next| (record.time_ns, first) < next);
        waiting.iter().take(max).take_while(before).count()
    }

    /// Gives out a run where it stands.
    fn give(&mut self, first: usize, run: usize, out: &mut RecordBatch) {
        let input = &mut self.inputs[first];
        let from = input.at;
        input.at += run;
        out.block.clone_from(&input.batch.block);
        out.block_offset = input.batch.block_offset;
        out.file_offset = match input.batch.records.get(from) {
            Some(record) if from > 0 => out.block_offset.wrapping_add(u64::from(record.offset)),
            _ => input.batch.file_offset,
        };
        let options = input.batch.options.iter().filter(|options| {
            let record = options.record as usize;
            (from..from + run).contains(&record)
        });
        out.options.extend(
            options.map(|options| PacketOptions { record: options.record - from as u32, ..*options }),
        );
        let untimed = input.batch.without_time.iter().map(|&index| index as usize);
        let untimed = untimed.filter(|index| (from..from + run).contains(index));
        out.without_time.extend(untimed.map(|index| (index - from) as u32));
        if from == 0 && run == input.batch.records.len() {
            std::mem::swap(&mut out.records, &mut input.batch.records);
            input.at = 0;
        } else {
            out.records.extend_from_slice(&input.batch.records[from..from + run]);
        }
        for record in &mut out.records {
            record.interface = input.numbers[usize::from(record.interface)];
        }
    }

    /// Copies packets of all inputs together, in order; false when not even one fits a block.
    fn gather(&mut self, out: &mut RecordBatch, max: usize) -> bool {
        let mut block = self.pool.take();
        let mut used = 0;
        while out.records.len() < max {
            let Some(mut top) = self.heads.peek_mut() else { break };
            let Reverse((_, first)) = *top;
            let input = &mut self.inputs[first];
            let Some(fits) = copy_packet(input, &mut block, used, out) else { break };
            used = fits;
            input.at += 1;
            if let Some(head) = input.head() {
                top.0.0 = head.time_ns;
            } else {
                std::collections::binary_heap::PeekMut::pop(top);
                self.empty.push(first);
                // Nobody knows whether its next packet is the earliest: it has to be read first.
                break;
            }
        }
        self.copied += used as u64;
        out.block = Some(block.freeze());
        !out.records.is_empty()
    }

    /// Gives numbers over all inputs to interfaces that the input has met since.
    fn number_interfaces(&mut self, input: usize) -> Result<(), Error> {
        let Input { reader, batch, numbers, own, .. } = &mut self.inputs[input];
        for interface in &reader.interfaces()[numbers.len()..] {
            let Ok(number) = u16::try_from(self.interfaces.len()) else {
                let (frame, offset, limit) = (batch.first_frame.max(1), batch.file_offset, MAX_INTERFACES);
                let shared = self.shared.of(interface, &self.interfaces);
                numbers.push(shared.ok_or(Error::TooManyInterfaces { frame, offset, limit })?);
                continue;
            };
            numbers.push(number);
            *own = numbers.len();
            self.interfaces.push(interface.clone());
            self.owners.push(input as u32);
        }
        Ok(())
    }

    fn refresh_interfaces(&mut self, input: usize) {
        let Input { reader, numbers, own, .. } = &self.inputs[input];
        for (&number, interface) in numbers[..*own].iter().zip(reader.interfaces()) {
            self.interfaces[usize::from(number)].clone_from(interface);
        }
    }

    /// The interfaces of all inputs met so far, by the numbers of the records. Their drop counts are final once
    /// their input has been read to its end.
    pub fn interfaces(&self) -> &[Interface] {
        match self.inputs.as_slice() {
            [input] => input.reader.interfaces(),
            _ => &self.interfaces,
        }
    }

    /// Index of the input that an interface belongs to.
    pub fn input_of(&self, interface: u16) -> Option<usize> {
        self.owners.get(usize::from(interface)).map(|&input| input as usize)
    }

    /// The readers of the inputs: their formats, sections and statistics.
    pub fn readers(&self) -> impl ExactSizeIterator<Item = &Reader> {
        self.inputs.iter().map(|input| &input.reader)
    }

    /// Bytes of packets that were copied to gather packets of several inputs in one block.
    pub fn copied_bytes(&self) -> u64 {
        self.copied
    }
}

fn in_input(input: usize, error: Error) -> Error {
    Error::Input { input, source: Box::new(error) }
}

/// Appends the input's next packet and its options at `used`; where they end, if they fit.
fn copy_packet(input: &Input, block: &mut BlockMut, used: usize, out: &mut RecordBatch) -> Option<usize> {
    let record = input.head()?;
    let source = input.batch.bytes();
    let packet = record.data(source);
    let end = used + packet.len();
    let options = &input.batch.options;
    let options =
        options.binary_search_by_key(&(input.at as u32), |options| options.record).ok().map(|at| options[at]);
    let tail = options.map_or(&[][..], |options| &source[options.start as usize..options.end as usize]);
    let room = block.bytes_mut().get_mut(used..end + tail.len())?;
    room[..packet.len()].copy_from_slice(packet);
    room[packet.len()..].copy_from_slice(tail);
    if let Some(options) = options {
        let (start, record) = (end as u32, out.records.len() as u32);
        out.options.push(PacketOptions { record, start, end: start + tail.len() as u32, ..options });
    }
    if !input.batch.has_time(input.at) {
        out.without_time.push(out.records.len() as u32);
    }
    let interface = input.numbers[usize::from(record.interface)];
    out.records.push(Record { offset: used as u32, interface, ..*record });
    Some(end + tail.len())
}
