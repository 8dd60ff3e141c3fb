//! What can go wrong between a file and its columns.
use netfast_flow::FlowError;

/// An error of reading or of writing out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The capture: see the error for frame and offset.
    #[error("{path}: {source}")]
    Capture {
        /// The file, as the caller named it.
        path: String,
        /// What is wrong with it.
        source: netfast_io::Error,
    },
    /// Several of the captures that are read together.
    #[error("{}", .errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Several {
        /// What is wrong with each, in the order in which it was met.
        errors: Vec<Error>,
    },
    /// Reading was given up because the caller asked for it.
    #[error("reading was interrupted")]
    Interrupted,
    /// The filter expression.
    #[error(transparent)]
    Filter(#[from] netfast_bpf::FilterError),
    /// The flow table's limits.
    #[error(transparent)]
    Flow(#[from] FlowError),
    /// Arrow refused the columns; a defect of netfast.
    #[error("columns do not fit their schema: {0}")]
    Arrow(#[from] arrow_schema::ArrowError),
    /// Writing rows of text.
    #[error("writing rows failed: {0}")]
    Write(#[from] std::io::Error),
    /// Packets were lost or counted twice; a defect of netfast.
    #[error("packets are not conserved: {counters:?}")]
    Conservation {
        /// Where the packets went.
        counters: Box<crate::FlowCounters>,
    },
    /// A thread of the reader ended without a result; a defect of netfast.
    #[error("a reading thread ended unexpectedly")]
    Thread,
    /// No file was named.
    #[error("no capture was named; give at least one path")]
    NoInput,
}

impl Error {
    /// Number of the frame at which it happened, where that is known.
    pub fn frame(&self) -> Option<u64> {
        match self {
            Self::Capture { source, .. } => source.frame(),
            Self::Several { errors } => errors.first().and_then(Self::frame),
            _ => None,
        }
    }

    /// Byte offset in the (decompressed) file, where it is known.
    pub fn offset(&self) -> Option<u64> {
        match self {
            Self::Capture { source, .. } => source.offset(),
            Self::Several { errors } => errors.first().and_then(Self::offset),
            _ => None,
        }
    }
}
