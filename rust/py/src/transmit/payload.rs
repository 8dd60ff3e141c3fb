//! What Python gives to be sent: memory that never changes is held, anything else is copied.
use crate::headers::bytes_of;
use netfast_buf::Block;
use netfast_io::transmit::{Arena, ArenaBuffer, Payload};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyList, PyMemoryView, PyTuple};
use std::sync::atomic::{AtomicU64, Ordering};

/// Memory that nobody changes before it is let go of.
pub enum Piece {
    /// Part of a `bytes` object.
    Held(PyBackedBytes, usize, usize),
    /// Memory of the ring's.
    Registered(ArenaBuffer),
    /// A copy, or what a benchmark sends.
    Own(Block),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Held(bytes, start, length) => bytes.get(*start..*start + *length).unwrap_or(&[]),
            Self::Registered(buffer) => buffer,
            Self::Own(block) => block.bytes(),
        }
    }
}

/// The pieces of one message.
pub enum Pieces {
    /// The usual case, without an allocation.
    One(Piece),
    /// Several.
    More(Box<[Piece]>),
}

impl Payload for Pieces {
    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let pieces = match self {
            Self::One(piece) => std::slice::from_ref(piece),
            Self::More(pieces) => pieces,
        };
        pieces.iter().map(Piece::bytes)
    }
}

impl From<ArenaBuffer> for Pieces {
    fn from(buffer: ArenaBuffer) -> Self {
        Self::One(Piece::Registered(buffer))
    }
}

impl Pieces {
    /// Memory that can be sent many times at once.
    pub fn shared(block: Block) -> Self {
        Self::One(Piece::Own(block))
    }

    /// The same memory once more, where it is [`Pieces::shared`]; else nothing.
    pub fn again(&self) -> Self {
        match self {
            Self::One(Piece::Own(block)) => Self::One(Piece::Own(block.clone())),
            _ => Self::More(Box::default()),
        }
    }
}

/// What had to be copied because others may write to it.
#[derive(Default)]
pub struct Copying {
    bytes: AtomicU64,
    pieces: AtomicU64,
}

impl Copying {
    /// Bytes and pieces.
    pub fn counts(&self) -> (u64, u64) {
        (self.bytes.load(Ordering::Relaxed), self.pieces.load(Ordering::Relaxed))
    }

    fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.pieces.fetch_add(1, Ordering::Relaxed);
    }
}

/// The pieces of a buffer, or of a list or tuple of buffers.
pub fn pieces_of(data: &Bound<'_, PyAny>, arena: Option<&Arena>, copying: &Copying) -> PyResult<Pieces> {
    if let Ok(list) = data.cast::<PyList>() {
        return list
            .iter()
            .map(|each| piece_of(&each, arena, copying))
            .collect::<PyResult<_>>()
            .map(Pieces::More);
    }
    if let Ok(tuple) = data.cast::<PyTuple>() {
        return tuple
            .iter()
            .map(|each| piece_of(&each, arena, copying))
            .collect::<PyResult<_>>()
            .map(Pieces::More);
    }
    piece_of(data, arena, copying).map(Pieces::One)
}

fn piece_of(data: &Bound<'_, PyAny>, arena: Option<&Arena>, copying: &Copying) -> PyResult<Piece> {
    if let Ok(bytes) = data.cast::<PyBytes>() {
        let length = bytes.as_bytes().len();
        return Ok(Piece::Held(PyBackedBytes::from(bytes.clone()), 0, length));
    }
    if let Some(piece) = held_by_view(data)? {
        return Ok(piece);
    }
    let bytes = bytes_of(data)?;
    copying.add(bytes.len());
    if let Some(mut buffer) = arena.and_then(|arena| arena.take(bytes.len())) {
        buffer.copy_from_slice(&bytes);
        return Ok(Piece::Registered(buffer));
    }
    Ok(Piece::Own(Block::from(bytes.into_owned())))
}

/// A memoryview of consecutive bytes of a `bytes` object: the object is held, the view need not be.
fn held_by_view(data: &Bound<'_, PyAny>) -> PyResult<Option<Piece>> {
    let Ok(view) = data.cast::<PyMemoryView>() else { return Ok(None) };
    let Ok(owner) = view.getattr("obj")?.cast_into::<PyBytes>() else { return Ok(None) };
    let Ok(buffer) = pyo3::buffer::PyBuffer::<u8>::get(view) else { return Ok(None) };
    if !buffer.is_c_contiguous() {
        return Ok(None);
    }
    let start = (buffer.buf_ptr() as usize).wrapping_sub(owner.as_bytes().as_ptr() as usize);
    let length = buffer.len_bytes();
    let inside = start.checked_add(length).is_some_and(|end| end <= owner.as_bytes().len());
    Ok(inside.then(|| Piece::Held(PyBackedBytes::from(owner), start, length)))
}
