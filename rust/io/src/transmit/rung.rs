//! The ways to hand messages to the system, and why one of them is left for another.
use std::fmt;

/// A way to hand messages to the system: a rung of the ladder, the lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Rung {
    /// `sendmsg(2)`: one call for each datagram. Works everywhere.
    Sendmsg,
    /// `sendmmsg(2)`: one call for up to [`super::BATCH`] datagrams.
    Sendmmsg,
    /// `sendmmsg(2)` with `UDP_SEGMENT` (udp(7), Linux 4.18): a message of many datagrams goes through the system as one.
    Segment,
    /// The same with `MSG_ZEROCOPY` for long messages (Linux 4.14, for UDP 5.0): the error queue says when their memory is free.
    ZeroCopy,
    /// io_uring `SENDMSG` (Linux 5.3), linked so that order is kept, with `UDP_SEGMENT`. The system waits for room by
    /// itself. It is taken when it is asked for only: a link costs about as much as a call.
    Ring,
    /// io_uring `SENDMSG_ZC` (Linux 6.1), linked likewise, for long messages: a second completion says when their memory is
    /// free. Short ones go by `sendmmsg(2)`.
    RingZeroCopy,
}

impl Rung {
    /// Every rung, the lowest first.
    pub const ALL: &[Self] =
        &[Self::Sendmsg, Self::Sendmmsg, Self::Segment, Self::ZeroCopy, Self::Ring, Self::RingZeroCopy];

    /// Its name in settings and counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sendmsg => "sendmsg",
            Self::Sendmmsg => "sendmmsg",
            Self::Segment => "udp_segment",
            Self::ZeroCopy => "msg_zerocopy",
            Self::Ring => "io_uring",
            Self::RingZeroCopy => "io_uring_zc",
        }
    }

    /// The rung of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|rung| rung.name() == name)
    }

    /// True when it goes through io_uring.
    pub const fn is_ring(self) -> bool {
        matches!(self, Self::Ring | Self::RingZeroCopy)
    }

    /// True when long messages are not copied where the system can do without.
    pub const fn is_zero_copy(self) -> bool {
        matches!(self, Self::ZeroCopy | Self::RingZeroCopy)
    }

    /// True when messages of many datagrams go through the system as one.
    pub const fn segments(self) -> bool {
        !matches!(self, Self::Sendmsg | Self::Sendmmsg)
    }

    /// The rung on which short messages travel beside the long ones of this rung, where datagrams can be segmented or not.
    pub(super) const fn copying(self, segments: bool) -> Self {
        match self {
            Self::ZeroCopy | Self::RingZeroCopy if segments => Self::Segment,
            Self::ZeroCopy | Self::RingZeroCopy => Self::Sendmmsg,
            other => other,
        }
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a rung is not used here, or not any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The system forbids a call: a seccomp filter, or a sysctl such as `kernel.io_uring_disabled`.
    Forbidden {
        /// The call.
        call: &'static str,
        /// Its answer, as errno(3) numbers it.
        errno: i32,
    },
    /// The kernel or the socket does not know it.
    Unsupported {
        /// What it does not know.
        what: &'static str,
        /// Its answer, as errno(3) numbers it; 0 when it said so otherwise.
        errno: i32,
    },
    /// The system copied one message after the other in spite of zero-copy, as it does on loopback: copying at once is
    /// cheaper.
    Copied {
        /// How many in a row.
        messages: u32,
    },
    /// Zero-copy is back: a message that was sent to try it was not copied.
    NotCopied,
    /// The system refused to segment one message after the other.
    NotSegmented {
        /// Its last answer, as errno(3) numbers it.
        errno: i32,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Forbidden { call, errno } => {
                write!(
                    f,
                    "{call} is forbidden here ({}): allow it in the seccomp profile and see \
                     kernel.io_uring_disabled",
                    text_of(errno)
                )
            }
            Self::Unsupported { what, errno: 0 } => {
                write!(f, "{what} is not known here: a newer kernel has it")
            }
            Self::Unsupported { what, errno } => {
                write!(f, "{what} does not work with this socket or kernel ({})", text_of(errno))
            }
            Self::Copied { messages } => {
                write!(
                    f,
                    "the system copied {messages} messages in a row, so that zero-copy costs and saves nothing"
                )
            }
            Self::NotCopied => f.write_str("the system does not copy any more"),
            Self::NotSegmented { errno } => {
                write!(f, "the system does not segment datagrams of this socket ({})", text_of(errno))
            }
        }
    }
}

/// What the system calls an error.
pub(super) fn text_of(errno: i32) -> String {
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// A change of the rung while messages were sent, or before the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The rung before.
    pub from: Rung,
    /// The rung from then on.
    pub to: Rung,
    /// Why.
    pub reason: Reason,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} instead of {}: {}", self.to, self.from, self.reason)
    }
}
