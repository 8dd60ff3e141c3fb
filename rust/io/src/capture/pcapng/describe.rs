//! The blocks of pcapng that describe: sections, interfaces, names, statistics, secrets.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netfast_wire::LinkType;

use super::{Halt, Hot, MAX_INTERFACES, Pcapng, Whole};
use crate::Error;
use crate::capture::format::{Interface, NameRecord, Resolution, Secrets, Section};
use crate::capture::options::{Number, OtherOption, RawOption, RawOptions};
use crate::capture::reader::Meta;

/// What an item costs of the memory for descriptions besides its text.
const ITEM_COST: usize = 64;

impl Pcapng {
    pub(super) fn number(&self) -> Number {
        Number { big_endian: self.big_endian }
    }

    fn options<'a>(&self, block: &Whole<'a>, from: usize) -> RawOptions<'a> {
        RawOptions::new(block.body().get(from..).unwrap_or(&[]), self.big_endian)
    }

    /// The options of a block whose packets cannot be understood without it: all of them must be whole.
    fn whole_options<'a>(
        &self,
        block: &Whole<'a>,
        from: usize,
        frame: u64,
        offset: u64,
    ) -> Result<RawOptions<'a>, Halt> {
        let options = self.options(block, from);
        let mut all = options.clone();
        all.by_ref().for_each(drop);
        let Some((length, room)) = all.cut else { return Ok(options) };
        let (value, limit) = (length as u64, room as u64);
        Err(Halt::Bad(Error::BadLength { frame, offset, field: "option length", value, min: 0, limit }))
    }

    /// Takes the memory of a description from the budget; false (and counted) when there is none left.
    fn afford(&mut self, bytes: usize, meta: &mut Meta) -> bool {
        match self.budget.checked_sub(bytes + ITEM_COST) {
            Some(left) => {
                self.budget = left;
                true
            }
            None => {
                meta.statistics.metadata_dropped += 1;
                false
            }
        }
    }

    fn text(&mut self, value: &[u8], meta: &mut Meta) -> Option<String> {
        // Some writers end their strings with NUL bytes.
        let end = value.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        self.afford(end, meta).then(|| String::from_utf8_lossy(&value[..end]).into_owned())
    }

    fn other(&mut self, option: RawOption<'_>, meta: &mut Meta) -> Option<OtherOption> {
        let RawOption { code, value, .. } = option;
        self.afford(value.len(), meta).then(|| OtherOption { code, value: value.to_vec() })
    }

    pub(super) fn section(
        &mut self,
        block: &Whole<'_>,
        meta: &mut Meta,
        frame: u64,
        offset: u64,
    ) -> Result<(), Halt> {
        self.at_least(block, 16, frame, offset)?;
        let (number, body) = (self.number(), block.body());
        let (major, minor) = (number.u16(&body[4..]), number.u16(&body[6..]));
        // 1.2 is 1.0 as some program wrote it (draft-ietf-opsawg-pcapng, section header block).
        if major != 1 || !matches!(minor, 0 | 2) {
            let format = "pcapng";
            return Err(Halt::Bad(Error::UnsupportedVersion { frame, format, offset, major, minor }));
        }
        let mut section = Section::new(offset, self.big_endian);
        section.version = (major, minor);
        section.length = u64::try_from(number.i64(&body[8..])).ok();
        for option in self.whole_options(block, 16, frame, offset)? {
            match option.code {
                1 => section.comments.extend(self.text(option.value, meta)),
                2 => section.hardware = self.text(option.value, meta),
                3 => section.os = self.text(option.value, meta),
                4 => section.application = self.text(option.value, meta),
                _ => section.other.extend(self.other(option, meta)),
            }
        }
        self.begin_section(section, meta);
        Ok(())
    }

    /// Makes this the section at hand, which has no interfaces yet.
    pub(super) fn begin_section(&mut self, section: Section, meta: &mut Meta) {
        self.sections = self.sections.saturating_add(1);
        self.interfaces.clear();
        if self.afford(size_of::<Section>(), meta) {
            meta.sections.push(section);
        }
    }

    pub(super) fn interface(
        &mut self,
        block: &Whole<'_>,
        meta: &mut Meta,
        frame: u64,
        offset: u64,
    ) -> Result<(), Halt> {
        self.at_least(block, 8, frame, offset)?;
        let too_many = || Halt::Bad(Error::TooManyInterfaces { frame, offset, limit: MAX_INTERFACES });
        if self.interfaces.len() >= MAX_INTERFACES {
            return Err(too_many());
        }
        let (number, body) = (self.number(), block.body());
        let link = LinkType(number.u16(body));
        let mut interface = Interface::new(link, number.u32(&body[4..]), self.sections.saturating_sub(1));
        for option in self.whole_options(block, 8, frame, offset)? {
            let value = option.value;
            match (option.code, value.len()) {
                (1, _) => interface.comments.extend(self.text(value, meta)),
                (2, _) => interface.name = self.text(value, meta),
                (3, _) => interface.description = self.text(value, meta),
                (8, 8) => interface.speed = Some(number.u64(value)),
                (9, 1) => interface.resolution = Resolution::from_octet(value[0]),
                (11, 1..) if value[0] == 0 => interface.filter = self.text(&value[1..], meta),
                (12, _) => interface.os = self.text(value, meta),
                (13, 1) => interface.fcs_len = Some(value[0]),
                (14, 8) => interface.offset_seconds = number.i64(value),
                (15, _) => interface.hardware = self.text(value, meta),
                _ => interface.other.extend(self.other(option, meta)),
            }
        }
        let own = u16::try_from(meta.interfaces.len()).ok();
        let shared = || self.shared.of(&interface, &meta.interfaces);
        self.interfaces.push(Some(Hot {
            link: link.0,
            number: own.or_else(shared).ok_or_else(too_many)?,
            shared: own.is_none(),
            snaplen: interface.snaplen,
            tick_ns: whole_tick(&interface),
            resolution: interface.resolution,
            offset_seconds: interface.offset_seconds,
        }));
        match own {
            Some(_) => meta.interfaces.push(interface),
            None => meta.statistics.shared_interfaces += 1,
        }
        Ok(())
    }

    pub(super) fn names(&mut self, block: &Whole<'_>, meta: &mut Meta) -> Result<(), Halt> {
        // Records have the shape of options: type, length, value padded to 4, type 0 at the end.
        let mut records = self.options(block, 0);
        for record in records.by_ref() {
            let (address, names): (IpAddr, _) = match (record.code, record.value) {
                (1, [a, b, c, d, names @ ..]) => (Ipv4Addr::new(*a, *b, *c, *d).into(), names),
                (2, value) => match value.split_first_chunk::<16>() {
                    Some((address, names)) => (Ipv6Addr::from(*address).into(), names),
                    None => continue,
                },
                _ => continue,
            };
            let mut kept = Vec::new();
            for name in names.split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
                kept.extend(self.text(name, meta));
            }
            if let Some(section) = meta.sections.last_mut().filter(|_| !kept.is_empty()) {
                section.names.push(NameRecord { address, names: kept });
            }
        }
        meta.statistics.options_cut += u64::from(records.cut.is_some());
        Ok(())
    }

    pub(super) fn interface_statistics(
        &mut self,
        block: &Whole<'_>,
        meta: &mut Meta,
        frame: u64,
        offset: u64,
    ) -> Result<(), Halt> {
        self.at_least(block, 12, frame, offset)?;
        let number = self.number();
        let id = number.u32(block.body());
        let hot = self.interfaces.get(id as usize).and_then(Option::as_ref);
        let Some(interface) = hot.and_then(|hot| meta.interfaces.get_mut(usize::from(hot.number))) else {
            // No packet depends on it, and other programs read on.
            meta.statistics.unknown_interface_statistics += 1;
            return Ok(());
        };
        if hot.is_some_and(|hot| hot.shared) {
            // They are not those of the interface whose number it has.
            meta.statistics.metadata_dropped += 1;
            return Ok(());
        }
        let mut options = self.options(block, 12);
        for RawOption { code, value, .. } in options.by_ref() {
            if value.len() != 8 {
                continue;
            }
            match code {
                2 => interface.start_ns = Some(interface.time_ns(number.ticks(value))),
                3 => interface.end_ns = Some(interface.time_ns(number.ticks(value))),
                4 => interface.received = Some(number.u64(value)),
                5 => interface.dropped = Some(number.u64(value)),
                6 => interface.filter_accepted = Some(number.u64(value)),
                7 => interface.os_dropped = Some(number.u64(value)),
                8 => interface.delivered = Some(number.u64(value)),
                _ => {}
            }
        }
        meta.statistics.options_cut += u64::from(options.cut.is_some());
        Ok(())
    }

    pub(super) fn secrets(&mut self, block: &Whole<'_>, meta: &mut Meta) -> Result<(), Halt> {
        let (number, body) = (self.number(), block.body());
        let length = number.u32(body.get(4..).unwrap_or(&[])) as usize;
        let Some(data) = body.get(8..).and_then(|rest| rest.get(..length)) else {
            meta.statistics.options_cut += 1;
            return Ok(());
        };
        if !self.afford(data.len(), meta) {
            return Ok(());
        }
        if let Some(section) = meta.sections.last_mut() {
            section.secrets.push(Secrets { kind: number.u32(body), data: data.to_vec() });
        }
        Ok(())
    }
}

/// Nanoseconds in a tick when that is a whole number and nothing has to be added, else 0.
fn whole_tick(interface: &Interface) -> u64 {
    match interface.resolution {
        Resolution::PowerOfTen(n @ 0..=9) if interface.offset_seconds == 0 => 10u64.pow(u32::from(9 - n)),
        _ => 0,
    }
}
