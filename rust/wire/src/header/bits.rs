//! Numbers in header bytes: read and written bit by bit, in either byte order.
use super::spec::{FieldSpec, Position};

/// A number field's value; 0 when it is not there.
#[must_use]
pub fn read_number(bytes: &[u8], field: &FieldSpec) -> u64 {
    let little = |start: usize, size: usize, shift: u16, width: u16| {
        let word = bytes.get(start..start.saturating_add(size)).unwrap_or(&[]);
        let word = word.iter().rev().take(8).fold(0u64, |word, byte| word << 8 | u64::from(*byte));
        (word >> shift) & mask(width)
    };
    let number = match field.position {
        Position::Bits { offset, width } => bits(bytes, offset.into(), width.into()),
        Position::Little { byte, size, shift, width } => little(byte.into(), size.into(), shift, width),
        Position::Range(range) => match range(bytes) {
            Some(range) => bits(bytes, range.start * 8, range.len() * 8),
            None => 0,
        },
        Position::RangeLittle { range, shift, width } => match range(bytes) {
            Some(range) => little(range.start, range.len(), shift, width),
            None => 0,
        },
        Position::HostOrder { byte } => {
            let big = bits(bytes, usize::from(byte) * 8, 32);
            if big < 1 << 16 { big } else { little(byte.into(), 4, 0, 32) }
        }
        Position::Tail(_) => 0,
    };
    if field.times8 { number << 3 } else { number }
}

/// `width` (at most 64) bits from bit `offset`, most significant first; bits beyond the end read as zero.
#[must_use]
#[inline]
pub fn bits(bytes: &[u8], offset: usize, width: usize) -> u64 {
    let (first, end) = (offset / 8, (offset + width).div_ceil(8));
    let mut word: u128 = 0;
    for index in first..end.min(first + 9) {
        word = word << 8 | u128::from(bytes.get(index).copied().unwrap_or(0));
    }
    let excess = (end.min(first + 9) * 8).saturating_sub(offset + width);
    (word >> excess) as u64 & mask(width.min(64) as u16)
}

fn mask(width: u16) -> u64 {
    if width >= 64 { u64::MAX } else { (1 << width) - 1 }
}

/// Writes a number into its field; what lies beyond the bytes is not written.
pub(super) fn write_number(bytes: &mut [u8], field: &FieldSpec, value: u64) {
    let value = if field.times8 { value >> 3 } else { value };
    match field.position {
        Position::Bits { offset, width } => write_bits(bytes, offset.into(), width.into(), value),
        Position::Little { byte, size, shift, width } => {
            let start = usize::from(byte);
            write_little(bytes, start..start + usize::from(size), shift, width, value);
        }
        Position::Range(range) => {
            if let Some(range) = range(bytes) {
                write_bits(bytes, range.start * 8, range.len() * 8, value);
            }
        }
        Position::RangeLittle { range, shift, width } => {
            if let Some(range) = range(bytes) {
                write_little(bytes, range, shift, width, value);
            }
        }
        Position::HostOrder { byte } => {
            let start = usize::from(byte);
            if bits(bytes, start * 8, 32).wrapping_sub(1) < (1 << 16) - 1 {
                write_bits(bytes, start * 8, 32, value);
            } else {
                write_little(bytes, start..start + 4, 0, 32, value);
            }
        }
        Position::Tail(_) => {}
    }
}

fn write_bits(bytes: &mut [u8], offset: usize, width: usize, value: u64) {
    if offset.is_multiple_of(8) && width.is_multiple_of(8) {
        let big = value.to_be_bytes();
        let size = (width / 8).min(8);
        if let Some(target) = bytes.get_mut(offset / 8..offset / 8 + size) {
            target.copy_from_slice(&big[8 - size..]);
        }
        return;
    }
    for index in 0..width.min(64) {
        let position = offset + index;
        let bit = 0x80u8 >> (position % 8);
        if let Some(byte) = bytes.get_mut(position / 8) {
            if value >> (width - 1 - index) & 1 == 1 {
                *byte |= bit;
            } else {
                *byte &= !bit;
            }
        }
    }
}

pub(super) fn clear_bits(bytes: &mut [u8], offset: usize, width: usize) {
    for position in offset..(offset + width).min(bytes.len() * 8) {
        bytes[position / 8] &= !(0x80 >> (position % 8));
    }
}

fn write_little(bytes: &mut [u8], word: std::ops::Range<usize>, shift: u16, width: u16, value: u64) {
    let Some(target) = bytes.get_mut(word) else { return };
    let old = target.iter().rev().take(8).fold(0u64, |word, byte| word << 8 | u64::from(*byte));
    let new = old & !(mask(width) << shift) | (value & mask(width)) << shift;
    for (byte, new) in target.iter_mut().zip(new.to_le_bytes()) {
        *byte = new;
    }
}
