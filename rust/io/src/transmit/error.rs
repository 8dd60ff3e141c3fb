//! Why there is no transmitter, or why it does not take a message.
use crate::transmit::{Reason, Rung};
use thiserror::Error;

/// Why a transmitter cannot be made, does not take a message, or does not go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TransmitError {
    /// A rung that was asked for is not there.
    #[error("rung {rung} cannot be used here: {reason}; without a rung the best one that works is taken")]
    Unavailable {
        /// The rung.
        rung: Rung,
        /// Why.
        reason: Reason,
    },
    /// A setting that cannot be.
    #[error("{setting} = {value}: give {expected}")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// What was given.
        value: u64,
        /// What is taken.
        expected: &'static str,
    },
    /// As many messages or bytes as may be are in flight: take completions and try again.
    #[error("{setting} = {limit} is reached: wait for completions")]
    Full {
        /// The setting.
        setting: &'static str,
        /// Its value.
        limit: usize,
    },
    /// A datagram that is longer than IP carries.
    #[error("a datagram of {length} bytes: the most is {limit}; give a segment size to send several")]
    TooLong {
        /// Bytes that were given.
        length: usize,
        /// The most.
        limit: usize,
    },
    /// A datagram in more pieces than a call takes.
    #[error("a message of {pieces} pieces: the most is {limit}; join some")]
    TooManyPieces {
        /// Pieces that were given.
        pieces: usize,
        /// The most.
        limit: usize,
    },
    /// The stream broke: nothing more can be sent.
    #[error("the stream is broken: {}", super::rung::text_of(*.errno))]
    Broken {
        /// What broke it, as errno(3) numbers it.
        errno: i32,
    },
    /// Another answer of the system.
    #[error("{call}: {source}")]
    System {
        /// What was asked of it.
        call: &'static str,
        /// Its answer.
        source: std::io::Error,
    },
}

impl TransmitError {
    pub(super) fn system(call: &'static str) -> impl FnOnce(rustix::io::Errno) -> Self {
        move |errno| Self::System { call, source: errno.into() }
    }

    pub(super) fn last(call: &'static str) -> Self {
        Self::System { call, source: std::io::Error::last_os_error() }
    }

    /// The system's answer underneath, for those who raise `OSError`.
    pub fn os_error(&self) -> Option<&std::io::Error> {
        match self {
            Self::System { source, .. } => Some(source),
            _ => None,
        }
    }
}
