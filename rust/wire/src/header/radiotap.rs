//! Radiotap: words that say which fields are present, then the fields, each at its own alignment.
use super::option_tables::RADIOTAP;
use super::options::{self, Opt, OptionSpace, OptionValue, RAW, Shape};

/// Bytes of version, pad and length before the first present word.
const START: usize = 4;
/// Bit of a present word that says another one follows.
const MORE: u32 = 1 << 31;
/// More present words than any card writes; a bound against chains.
const MAX_WORDS: usize = 32;

fn width(shape: Shape) -> usize {
    match shape {
        Shape::Uint(width) | Shape::Int(width) => width,
        Shape::Fields(widths) => widths.iter().sum(),
        _ => 0,
    }
}

/// Fields of the header whose bytes from the first present word on are given. Fields of later present words (one per
/// antenna), vendor fields and TLVs are one `raw` item behind the fields of the first word.
pub(super) fn decode(bytes: &[u8]) -> Vec<Opt> {
    let raw = |bytes: &[u8]| Opt::new(RAW, OptionValue::Bytes(bytes.to_vec()));
    let word = |index: usize| -> Option<u32> {
        Some(u32::from_le_bytes(bytes.get(index * 4..index * 4 + 4)?.try_into().ok()?))
    };
    let Some(first) = word(0) else {
        return if bytes.is_empty() { Vec::new() } else { vec![raw(bytes)] };
    };
    let mut words = 1;
    while words < MAX_WORDS && word(words - 1).is_some_and(|word| word & MORE != 0) {
        words += 1;
    }
    let mut list = Vec::new();
    let mut offset = words * 4;
    for spec in RADIOTAP.iter().filter(|spec| first >> spec.code & 1 == 1) {
        let start = (offset + START).next_multiple_of(spec.align.0) - START;
        let Some(data) = bytes.get(start..start + width(spec.shape)) else { break };
        list.push(Opt::new(spec.code, options::shaped(OptionSpace::Radiotap, spec.shape, data)));
        offset = start + data.len();
    }
    if let Some(rest) = bytes.get(offset..).filter(|rest| !rest.is_empty()) {
        list.push(raw(rest));
    }
    list
}

/// The present word and the fields, sorted by bit.
pub(super) fn encode(list: &[Opt]) -> Result<Vec<u8>, (usize, &'static str)> {
    let mut present = 0u32;
    let mut order: Vec<(usize, &Opt)> = list.iter().enumerate().collect();
    order.sort_by_key(|(_, opt)| opt.code);
    let mut output = vec![0; 4];
    for (index, opt) in order {
        if let (RAW, OptionValue::Bytes(bytes)) = (opt.code, &opt.value) {
            output.extend_from_slice(bytes);
            continue;
        }
        let Some(spec) = RADIOTAP.iter().find(|spec| spec.code == opt.code) else {
            return Err((index, "radiotap fields are known by name; give others as `raw` bytes"));
        };
        if present >> spec.code & 1 == 1 {
            return Err((index, "the field is given twice"));
        }
        present |= 1 << spec.code;
        let start = (output.len() + START).next_multiple_of(spec.align.0) - START;
        output.resize(start, 0);
        options::append(OptionSpace::Radiotap, spec.shape, &opt.value, &mut output)
            .map_err(|problem| (index, problem))?;
        if output.len() != start + width(spec.shape) {
            return Err((index, "the bytes are not as long as the field"));
        }
    }
    output[..4].copy_from_slice(&present.to_le_bytes());
    Ok(output)
}
