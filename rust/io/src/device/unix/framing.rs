//! The length before each frame of a stream.
use crate::device::outgoing::ETHERNET_HEADER;

/// The longest frame that a length may tell. QEMU's buffers have this size, passt's frames are shorter; a stream that says
/// more is none of frames.
pub const FRAME_LIMIT: u32 = 69_632;

/// Bytes of a length.
pub(super) const PREFIX: usize = 4;

/// Bytes that are read at once.
const BUFFER: usize = 128 * 1_024;

/// What a stream holds next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A frame.
    Frame(&'a [u8]),
    /// A frame was passed over that is longer than may be.
    TooLong,
    /// One that is too short for its header.
    TooShort,
    /// The length says what no frame can be: where the next one begins, nobody knows.
    Hostile(u32),
    /// More has to be read.
    Nothing,
}

/// Finds the frames in a stream that comes in pieces of any length.
pub(super) struct Deframer {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Bytes of a frame that is passed over and that have not come yet.
    skip: usize,
    longest: usize,
}

impl Deframer {
    /// For frames of at most `longest` bytes.
    pub(super) fn new(longest: u32) -> Self {
        let longest = longest.min(FRAME_LIMIT) as usize;
        Self { buffer: vec![0; BUFFER].into(), start: 0, end: 0, skip: 0, longest }
    }

    /// Forgets what was read.
    pub(super) fn clear(&mut self) {
        (self.start, self.end, self.skip) = (0, 0, 0);
    }

    /// True in the middle of a frame.
    pub(super) fn is_within(&self) -> bool {
        self.start < self.end || self.skip > 0
    }

    /// Where the next bytes are to be put. There is always room when [`Piece::Nothing`] was the last answer.
    pub(super) fn room(&mut self) -> &mut [u8] {
        // Less than a frame is left then: few bytes, and only once a call of the system.
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        &mut self.buffer[self.end..]
    }

    /// So many bytes were put there.
    pub(super) fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.buffer.len());
    }

    /// What comes next.
    pub(super) fn next(&mut self) -> Piece<'_> {
        if self.skip > 0 {
            let skipped = self.skip.min(self.end - self.start);
            self.start += skipped;
            self.skip -= skipped;
            return if self.skip > 0 { Piece::Nothing } else { Piece::TooLong };
        }
        let unread = &self.buffer[self.start..self.end];
        let Some(prefix) = unread.first_chunk::<PREFIX>() else { return Piece::Nothing };
        let told = u32::from_be_bytes(*prefix);
        if told > FRAME_LIMIT {
            return Piece::Hostile(told);
        }
        let length = told as usize;
        if length > self.longest {
            self.start += PREFIX;
            self.skip = length;
            return self.next();
        }
        if unread.len() < PREFIX + length {
            return Piece::Nothing;
        }
        let start = self.start + PREFIX;
        self.start = start + length;
        if told < ETHERNET_HEADER {
            return Piece::TooShort;
        }
        Piece::Frame(&self.buffer[start..start + length])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, PartialEq, Eq)]
    enum Told {
        Frame(Vec<u8>),
        TooLong,
        TooShort,
        Hostile(u32),
    }

    /// What a reader says of a stream that comes in pieces of these lengths.
    fn read(stream: &[u8], longest: u32, mut cuts: impl Iterator<Item = usize>) -> (Vec<Told>, bool) {
        let (mut deframer, mut told, mut rest) = (Deframer::new(longest), Vec::new(), stream);
        loop {
            match deframer.next() {
                Piece::Frame(frame) => told.push(Told::Frame(frame.to_vec())),
                Piece::TooLong => told.push(Told::TooLong),
                Piece::TooShort => told.push(Told::TooShort),
                Piece::Hostile(length) => {
                    told.push(Told::Hostile(length));
                    return (told, true);
                }
                Piece::Nothing if rest.is_empty() => return (told, deframer.is_within()),
                Piece::Nothing => {
                    let room = deframer.room();
                    assert!(!room.is_empty());
                    let count = cuts.next().unwrap_or(usize::MAX).clamp(1, room.len()).min(rest.len());
                    room[..count].copy_from_slice(&rest[..count]);
                    deframer.filled(count);
                    rest = &rest[count..];
                }
            }
        }
    }

    /// The same, from the whole stream at once.
    fn expected(mut stream: &[u8], longest: u32) -> (Vec<Told>, bool) {
        let mut told = Vec::new();
        loop {
            let Some(prefix) = stream.first_chunk::<4>() else { return (told, !stream.is_empty()) };
            let length = u32::from_be_bytes(*prefix);
            if length > FRAME_LIMIT {
                told.push(Told::Hostile(length));
                return (told, true);
            }
            let Some(frame) = stream[4..].get(..length as usize) else { return (told, true) };
            told.push(match length {
                0..14 => Told::TooShort,
                _ if length > longest => Told::TooLong,
                _ => Told::Frame(frame.to_vec()),
            });
            stream = &stream[4 + length as usize..];
        }
    }

    fn framed(lengths: &[usize]) -> Vec<u8> {
        let mut stream = Vec::new();
        for (number, length) in lengths.iter().enumerate() {
            stream.extend((*length as u32).to_be_bytes());
            stream.extend(std::iter::repeat_n(number as u8, *length));
        }
        stream
    }

    proptest! {
        #[test]
        fn a_stream_says_the_same_however_it_is_cut(
            lengths in prop::collection::vec(prop_oneof![0_usize..80, 1_400_usize..1_700, 60_000_usize..69_633], 0..12),
            cuts in prop::collection::vec(1_usize..90_000, 0..200),
            garbage in prop::collection::vec(any::<u8>(), 0..9),
            longest in prop_oneof![Just(1_522_u32), Just(FRAME_LIMIT)],
        ) {
            let mut stream = framed(&lengths);
            stream.extend(garbage);
            prop_assert_eq!(read(&stream, longest, cuts.into_iter()), expected(&stream, longest));
        }

        #[test]
        fn any_bytes_end(stream in prop::collection::vec(any::<u8>(), 0..400), cuts in prop::collection::vec(1_usize..9, 0..99)) {
            prop_assert_eq!(read(&stream, 1_522, cuts.into_iter()), expected(&stream, 1_522));
        }
    }

    #[test]
    fn byte_by_byte() {
        let stream = framed(&[60, 0, 13, 14, 1_522, 1_523, 69_632, 60]);
        let (told, is_within) = read(&stream, 1_522, std::iter::repeat(1));
        let kinds: Vec<_> =
            told.iter().map(|told| if let Told::Frame(frame) = told { frame.len() } else { 0 }).collect();
        assert_eq!((kinds, is_within), (vec![60, 0, 0, 14, 1_522, 0, 0, 60], false));
    }
}
