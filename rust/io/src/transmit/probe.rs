//! Which rungs work with a socket on this machine.
use crate::transmit::ring::Ring;
use crate::transmit::{Change, Reason, Rung, TransmitConfig, TransmitError};
use rustix::net::{AddressFamily, SocketType, ipproto, sockopt};
use std::os::fd::{AsRawFd, BorrowedFd};

/// What kind of a socket it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketKind {
    /// Bytes, no datagrams.
    pub is_stream: bool,
    /// It can send without a copy: UDP and TCP.
    pub spares_copies: bool,
    /// It knows `UDP_SEGMENT`: UDP since Linux 4.18.
    pub segments: bool,
    /// The longest datagram, in bytes, where that is known.
    pub longest: Option<usize>,
}

impl SocketKind {
    /// Asks the socket.
    ///
    /// # Errors
    /// [`TransmitError::System`] when it is none.
    pub fn of(socket: BorrowedFd<'_>) -> Result<Self, TransmitError> {
        let system = TransmitError::system;
        let kind = sockopt::socket_type(socket).map_err(system("getsockopt SO_TYPE"))?;
        let family = sockopt::socket_domain(socket).map_err(system("getsockopt SO_DOMAIN"))?;
        let protocol = sockopt::socket_protocol(socket).map_err(system("getsockopt SO_PROTOCOL"))?;
        let is_inet = family == AddressFamily::INET || family == AddressFamily::INET6;
        let is_udp = is_inet && protocol == Some(ipproto::UDP);
        // What IP carries in one packet, without its header (IPv4 counts it, RFC 791; IPv6 does not, RFC 8200) and UDP's.
        let longest = if family == AddressFamily::INET { 65_507 } else { 65_527 };
        Ok(Self {
            is_stream: kind == SocketType::STREAM,
            spares_copies: is_udp || (is_inet && protocol == Some(ipproto::TCP)),
            segments: is_udp && knows_segments(socket),
            longest: is_udp.then_some(longest),
        })
    }
}

fn knows_segments(socket: BorrowedFd<'_>) -> bool {
    let (mut value, mut length) = (0_i32, size_of::<i32>() as libc::socklen_t);
    // SAFETY: `value` has the length that `length` says; both outlive the call.
    let got = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_UDP,
            libc::UDP_SEGMENT,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    got == 0
}

fn set_zero_copy(socket: BorrowedFd<'_>) -> Result<(), Reason> {
    let on = 1_i32;
    // SAFETY: the value is an i32, as its length says, and outlives the call.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ZEROCOPY,
            (&raw const on).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    if set == 0 {
        return Ok(());
    }
    let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
    Err(Reason::Unsupported { what: "SO_ZEROCOPY", errno })
}

/// The best rung, what it needs, and why it is not a better one.
pub(super) struct Found {
    pub(super) rung: Rung,
    pub(super) ring: Option<Ring>,
    pub(super) changes: Vec<Change>,
}

/// Goes down the ladder, or takes the rung that is asked for.
pub(super) fn choose(
    socket: BorrowedFd<'_>,
    kind: SocketKind,
    config: &TransmitConfig,
) -> Result<Found, TransmitError> {
    if let Some(rung) = config.rung {
        let unavailable = |reason| TransmitError::Unavailable { rung, reason };
        let ring = try_rung(socket, kind, config, rung).map_err(unavailable)?;
        return Ok(Found { rung, ring, changes: Vec::new() });
    }
    let mut failed: Vec<(Rung, Reason)> = Vec::new();
    // Without zero-copy the ring only costs more than a call.
    for &rung in Rung::ALL.iter().rev().filter(|&&rung| rung != Rung::Ring) {
        match try_rung(socket, kind, config, rung) {
            Ok(ring) => {
                let change = |(from, reason)| Change { from, to: rung, reason };
                return Ok(Found { rung, ring, changes: failed.into_iter().map(change).collect() });
            }
            Err(reason) => failed.push((rung, reason)),
        }
    }
    // The lowest one is never refused.
    Ok(Found { rung: Rung::Sendmsg, ring: None, changes: Vec::new() })
}

fn try_rung(
    socket: BorrowedFd<'_>,
    kind: SocketKind,
    config: &TransmitConfig,
    rung: Rung,
) -> Result<Option<Ring>, Reason> {
    if rung.is_zero_copy() && !kind.spares_copies {
        return Err(Reason::Unsupported { what: "sending without a copy", errno: libc::EOPNOTSUPP });
    }
    match rung {
        Rung::RingZeroCopy | Rung::Ring => {
            Ring::new(rung == Rung::RingZeroCopy, config.arena.as_ref()).map(Some)
        }
        Rung::ZeroCopy => set_zero_copy(socket).map(|()| None),
        Rung::Segment if !kind.segments => {
            Err(Reason::Unsupported { what: "UDP_SEGMENT", errno: libc::ENOPROTOOPT })
        }
        _ => Ok(None),
    }
}

/// Each rung, the lowest first, and why it cannot be used with this socket, if it cannot. Nothing is sent; `SO_ZEROCOPY`
/// may be set afterwards.
///
/// # Errors
/// [`TransmitError::System`] when this is no socket.
pub fn rungs(socket: BorrowedFd<'_>) -> Result<Vec<(Rung, Option<Reason>)>, TransmitError> {
    let kind = SocketKind::of(socket)?;
    let config = TransmitConfig::default();
    Ok(Rung::ALL.iter().map(|&rung| (rung, try_rung(socket, kind, &config, rung).err())).collect())
}
