//! The filter of an input: one compiled program for each link type and byte order that its records have.
use crate::Error;
use netfast_bpf::{ByteOrder, Filter, FilterError};
use netfast_io::capture::RecordBatch;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// LINKTYPE_NULL: its header is a number in the byte order of the machine that captured.
const NULL: u16 = 0;

/// A compiled filter for each link type that was met.
pub(crate) struct Select {
    expression: String,
    /// By link type and, where that matters, byte order.
    compiled: HashMap<(u16, bool), Program>,
    /// Whether each interface's numbers are big-endian, as far as that was asked for.
    orders: Vec<bool>,
    unfiltered: Unfiltered,
}

enum Program {
    Filter(Box<Filter>),
    /// No packet of this link type can match.
    Nothing,
    /// The expression means nothing on this link type.
    Unasked,
}

/// Packets that a filter could not be asked about, so that they were not kept, by link type: the filter has nothing
/// to say on this type (an Ethernet address on USB, for example), but other packets of the input have another.
///
/// A handle that can be kept beside the input that counts; clones are one and the same.
#[derive(Clone, Debug, Default)]
pub struct Unfiltered(Arc<Mutex<BTreeMap<u16, u64>>>);

impl Unfiltered {
    /// Packets so far, by LINKTYPE_ number.
    pub fn counts(&self) -> BTreeMap<u16, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, link: u16, packets: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(link).or_default() += packets;
    }
}

impl Select {
    /// For an input of which these link types are known; with none, all that can be said is whether the expression
    /// is one.
    ///
    /// # Errors
    /// What is wrong with the expression, or that none of the link types can be asked it.
    pub fn new(expression: &str, links: &[u16]) -> Result<Self, Error> {
        let (mut some, mut refused) = (false, None);
        for &link in links {
            match Filter::compile(expression, link) {
                Ok(_) => some = true,
                Err(error) if error.is_of_link_type() => drop(refused.get_or_insert(error)),
                Err(error) => return Err(error.into()),
            }
        }
        if !some {
            // On an unsupported link type the expression was not looked at; on Ethernet (1) it is.
            match Filter::compile(expression, 1) {
                Err(error) if !error.is_of_link_type() => return Err(error.into()),
                _ => refused.map_or(Ok(()), Err)?,
            }
        }
        Ok(Self {
            expression: expression.to_owned(),
            compiled: HashMap::new(),
            orders: Vec::new(),
            unfiltered: Unfiltered::default(),
        })
    }

    /// What could not be filtered.
    pub fn unfiltered(&self) -> &Unfiltered {
        &self.unfiltered
    }

    /// Puts the numbers of the records that are kept into `selected`. `big_endian` tells the byte order of an
    /// interface's section or file.
    pub fn select(
        &mut self,
        batch: &RecordBatch,
        selected: &mut Vec<u32>,
        big_endian: impl Fn(usize) -> bool,
    ) {
        selected.clear();
        let bytes = batch.bytes();
        let mut rest = &batch.records[..];
        while let Some(first) = rest.first() {
            // A run of records that one program decides on: mostly the whole vector.
            let like = |record: &&_| (first.link, first.interface) == place(record);
            let run = rest.iter().take_while(like).count();
            let start = batch.records.len() - rest.len();
            let order = first.link == NULL && self.order(usize::from(first.interface), &big_endian);
            let unfiltered = self.unfiltered.clone();
            match self.program(first.link, order) {
                Program::Filter(filter) => {
                    let kept = rest[..run].iter().zip(start..);
                    let kept = kept.filter(|(record, _)| filter.matches(record.data(bytes), record.len));
                    selected.extend(kept.map(|(_, at)| at as u32));
                }
                Program::Nothing => {}
                Program::Unasked => unfiltered.add(first.link, run as u64),
            }
            rest = &rest[run..];
        }
    }

    fn order(&mut self, interface: usize, big_endian: impl Fn(usize) -> bool) -> bool {
        while self.orders.len() <= interface {
            self.orders.push(big_endian(self.orders.len()));
        }
        self.orders[interface]
    }

    fn program(&mut self, link: u16, big_endian: bool) -> &Program {
        let expression = &self.expression;
        self.compiled.entry((link, big_endian)).or_insert_with(|| {
            let order = if big_endian { ByteOrder::Big } else { ByteOrder::Little };
            match Filter::compile_with(expression, link, order) {
                Ok(filter) => Program::Filter(Box::new(filter)),
                Err(FilterError::RejectsAll) => Program::Nothing,
                Err(_) => Program::Unasked,
            }
        })
    }
}

fn place(record: &netfast_io::capture::Record) -> (u16, u16) {
    (record.link, record.interface)
}
