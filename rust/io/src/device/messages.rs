//! Packets as messages of a socket, many in one call: `recvmmsg(2)` and `sendmmsg(2)`.
#![allow(clippy::unnecessary_cast, reason = "lengths and flags have other types with other C libraries")]

use netfast_buf::Skb;
use std::io;
use std::marker::PhantomData;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Messages in one call. A batch takes four calls; more in one call saves less than a hundredth of what a message costs.
pub(super) const MESSAGES: usize = 64;

/// Bytes of control messages of one message: the largest set here is packet information of IPv6, a traffic class and a
/// size of segments.
const CONTROL: usize = 128;

/// What is handed to the system in a call. The pointers in it are written before each call and not used after it.
struct Scratch<T>(Vec<T>);

// SAFETY: the pointers inside are followed only by the system, in a call of `Inbox::receive` or `Outgoing::send`, which sets
// them first; between two calls nobody looks at them, so it does not matter which thread makes the next one.
unsafe impl<T> Send for Scratch<T> {}

/// Control messages of one message, aligned as `cmsghdr` is.
#[derive(Clone, Copy)]
#[repr(align(8))]
struct Control([u8; CONTROL]);

/// Bytes of an address of any family (`struct sockaddr_storage`).
const NAME: usize = size_of::<libc::sockaddr_storage>();

/// An address of any family.
#[derive(Clone, Copy)]
#[repr(align(8))]
struct Name([u8; NAME]);

/// Memory that messages are received into.
pub(super) struct Inbox {
    buffer: Vec<u8>,
    slot: usize,
    controls: Vec<Control>,
    names: Vec<Name>,
    iovecs: Scratch<libc::iovec>,
    headers: Scratch<libc::mmsghdr>,
}

/// What comes with a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extras {
    /// Control messages are wanted.
    pub control: bool,
    /// The sender's address is wanted.
    pub name: bool,
}

/// A message that was received.
pub(super) struct Message<'a> {
    /// Its bytes, as many as fit.
    pub bytes: &'a [u8],
    /// There were more.
    pub truncated: bool,
    /// Its control messages.
    pub control: ControlMessages<'a>,
    /// The sender's address (`struct sockaddr`); empty unless it was wanted.
    pub name: &'a [u8],
}

impl Inbox {
    /// Memory for `count` messages, at most [`MESSAGES`], of at most `slot` bytes.
    pub(super) fn new(slot: usize, count: usize, extras: Extras) -> Self {
        let count = count.min(MESSAGES);
        Self {
            buffer: vec![0; slot * count],
            slot,
            controls: vec![Control([0; CONTROL]); if extras.control { count } else { 0 }],
            names: vec![Name([0; NAME]); if extras.name { count } else { 0 }],
            iovecs: Scratch(Vec::with_capacity(count)),
            headers: Scratch(Vec::with_capacity(count)),
        }
    }

    /// Receives at most `limit` messages (and at most as many as there is memory for), without waiting, and says how many there were.
    ///
    /// # Errors
    /// The system's; `WouldBlock` when there is none.
    pub(super) fn receive(&mut self, socket: BorrowedFd<'_>, limit: usize) -> io::Result<usize> {
        let count = limit.min(self.buffer.len() / self.slot);
        self.prepare(count);
        let headers = self.headers.0.as_mut_ptr();
        // SAFETY: `prepare` made `count` headers, each with one vector over its own slot of `buffer`, its own control
        // memory and its own name or none, of the lengths that it says; all of that belongs to `self`, which is borrowed
        // for the call. The time is none.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers,
                count as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        usize::try_from(received).map_err(|_| io::Error::last_os_error())
    }

    /// Points `count` headers at their slots, whose lengths the last call has changed.
    fn prepare(&mut self, count: usize) {
        self.iovecs.0.clear();
        self.iovecs.0.extend(
            self.buffer
                .chunks_exact_mut(self.slot)
                .take(count)
                .map(|slot| libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: slot.len() }),
        );
        self.headers.0.clear();
        for index in 0..count {
            let mut header = empty_header();
            header.msg_hdr.msg_iov = &raw mut self.iovecs.0[index];
            header.msg_hdr.msg_iovlen = 1;
            if let Some(control) = self.controls.get_mut(index) {
                header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
                header.msg_hdr.msg_controllen = CONTROL as _;
            }
            if let Some(name) = self.names.get_mut(index) {
                header.msg_hdr.msg_name = name.0.as_mut_ptr().cast();
                header.msg_hdr.msg_namelen = NAME as libc::socklen_t;
            }
            self.headers.0.push(header);
        }
    }

    /// Message `index` of those that the last call received.
    pub(super) fn message(&self, index: usize) -> Message<'_> {
        let header = &self.headers.0[index];
        let length = (header.msg_len as usize).min(self.slot);
        let start = index * self.slot;
        let control = self.controls.get(index).map_or(&[][..], |control| &control.0);
        let name = self.names.get(index).map_or(&[][..], |name| &name.0);
        let filled = (header.msg_hdr.msg_controllen as usize).min(control.len());
        Message {
            bytes: &self.buffer[start..start + length],
            truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            control: ControlMessages(&control[..filled]),
            name: &name[..(header.msg_hdr.msg_namelen as usize).min(name.len())],
        }
    }
}

/// A header without vectors, control messages and name.
fn empty_header() -> libc::mmsghdr {
    // SAFETY: `mmsghdr` is a plain structure of integers and pointers, for which zeros are a value: no name, no vectors.
    unsafe { mem::zeroed() }
}

/// Control messages: level, type, and data (`cmsg(3)`).
#[derive(Clone, Copy)]
pub(super) struct ControlMessages<'a>(&'a [u8]);

/// Bytes of the header of a control message: length, level, type.
const CONTROL_HEADER: usize = size_of::<libc::cmsghdr>();

impl<'a> Iterator for ControlMessages<'a> {
    type Item = (libc::c_int, libc::c_int, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let header = self.0.get(..CONTROL_HEADER)?;
        let length = usize::from_ne_bytes(*header.first_chunk()?);
        let kinds = &header[CONTROL_HEADER - 8..];
        let level = libc::c_int::from_ne_bytes(*kinds.first_chunk()?);
        let kind = libc::c_int::from_ne_bytes(*kinds.last_chunk()?);
        let data = self.0.get(CONTROL_HEADER..length)?;
        self.0 = self.0.get(length.next_multiple_of(size_of::<usize>())..).unwrap_or(&[]);
        Some((level, kind, data))
    }
}

/// Control messages that are put together to be sent.
#[derive(Clone, Copy)]
pub(super) struct ControlWriter {
    control: Control,
    length: usize,
}

impl ControlWriter {
    /// None yet.
    pub(super) const fn new() -> Self {
        Self { control: Control([0; CONTROL]), length: 0 }
    }

    /// Adds one. What no set of this crate needs, more than [`CONTROL`] bytes, is left out.
    pub(super) fn add(&mut self, level: libc::c_int, kind: libc::c_int, data: &[u8]) {
        let (start, length) = (self.length, CONTROL_HEADER + data.len());
        let end = start + length.next_multiple_of(size_of::<usize>());
        let Some(place) = self.control.0.get_mut(start..end) else { return };
        place.fill(0);
        place[..size_of::<usize>()].copy_from_slice(&length.to_ne_bytes());
        place[CONTROL_HEADER - 8..CONTROL_HEADER - 4].copy_from_slice(&level.to_ne_bytes());
        place[CONTROL_HEADER - 4..CONTROL_HEADER].copy_from_slice(&kind.to_ne_bytes());
        place[CONTROL_HEADER..length].copy_from_slice(data);
        self.length = end;
    }
}

/// Memory for the headers of messages that are sent.
pub(super) struct Outbox {
    iovecs: Scratch<libc::iovec>,
    headers: Scratch<libc::mmsghdr>,
    controls: Vec<ControlWriter>,
}

impl Outbox {
    /// Memory for [`MESSAGES`] messages.
    pub(super) fn new() -> Self {
        Self {
            iovecs: Scratch(Vec::with_capacity(4 * MESSAGES)),
            headers: Scratch(Vec::with_capacity(MESSAGES)),
            controls: Vec::with_capacity(MESSAGES),
        }
    }

    /// Bytes of the first message that the last call sent: of a stream's, not always all.
    pub(super) fn first_length(&self) -> usize {
        self.headers.0.first().map_or(0, |header| header.msg_len as usize)
    }

    /// Begins a call.
    #[inline]
    pub(super) fn begin<'a>(&'a mut self) -> Outgoing<'a> {
        self.iovecs.0.clear();
        self.headers.0.clear();
        self.controls.clear();
        Outgoing { outbox: self, name: None, bytes: PhantomData }
    }
}

/// Messages of one call. Their bytes are borrowed until it was made.
pub(super) struct Outgoing<'a> {
    outbox: &'a mut Outbox,
    name: Option<&'a socket2::SockAddr>,
    bytes: PhantomData<&'a [u8]>,
}

impl<'a> Outgoing<'a> {
    /// Sends all messages to this address, not to that which the socket is connected to.
    pub(super) fn to(&mut self, name: &'a socket2::SockAddr) {
        self.name = Some(name);
    }

    /// Begins the next message. At most [`MESSAGES`] go in one call.
    pub(super) fn message(&mut self) {
        self.outbox.headers.0.push(empty_header());
    }

    /// Adds bytes to the message that was begun last.
    pub(super) fn piece(&mut self, bytes: &'a [u8]) {
        let Some(header) = self.outbox.headers.0.last_mut() else { return };
        header.msg_hdr.msg_iovlen += 1;
        // The system only reads what is sent; its structure knows no pointer to what is not written.
        let iov_base = bytes.as_ptr().cast_mut().cast();
        self.outbox.iovecs.0.push(libc::iovec { iov_base, iov_len: bytes.len() });
    }

    /// Adds all bytes of a packet to the message that was begun last.
    pub(super) fn packet(&mut self, packet: &'a Skb) {
        packet.segments().for_each(|segment| self.piece(segment));
    }

    /// Sets the control messages of the message that was begun last.
    pub(super) fn control(&mut self, control: ControlWriter) {
        if control.length > 0
            && let Some(header) = self.outbox.headers.0.last_mut()
        {
            header.msg_hdr.msg_controllen = control.length as _;
            self.outbox.controls.push(control);
        }
    }

    /// Sends the messages, in order, without waiting, and says how many went.
    ///
    /// # Errors
    /// The system's, which concerns the first message; `WouldBlock` when it cannot go now.
    pub(super) fn send(self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let Self { outbox, name, .. } = self;
        let Outbox { iovecs, headers, controls } = outbox;
        let (mut vector, mut control) = (0, controls.iter_mut());
        for header in headers.0.iter_mut().map(|header| &mut header.msg_hdr) {
            header.msg_iov = iovecs.0[vector..].as_mut_ptr();
            vector += header.msg_iovlen as usize;
            if header.msg_controllen > 0
                && let Some(control) = control.next()
            {
                header.msg_control = control.control.0.as_mut_ptr().cast();
            }
            if let Some(name) = name {
                header.msg_name = name.as_ptr().cast_mut().cast();
                header.msg_namelen = name.len();
            }
        }
        let count = headers.0.len() as libc::c_uint;
        // SAFETY: there are `count` headers; each has as many vectors as it counts, which point to bytes that are borrowed
        // for `'a` and only read, control messages of the length that it says, and a name that lives as long.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                headers.0.as_mut_ptr(),
                count,
                (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
            )
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netfast_buf::{Block, PacketPool};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn pieces_arrive_as_one_message_and_too_long_ones_are_told() {
        let (here, there) = UnixDatagram::pair().unwrap();
        let mut pool = PacketPool::default();
        let mut packet = Skb::from_slice(&[1; 20], &mut pool).unwrap();
        packet.append_block(Block::from(vec![2; 30]), 0, 30, &mut pool).unwrap();
        let (mut outbox, mut inbox) = (Outbox::new(), Inbox::new(60, MESSAGES, Extras::default()));
        let mut call = outbox.begin();
        call.message();
        call.packet(&packet);
        call.message();
        call.piece(&[3; 61]);
        assert_eq!(call.send(here.as_fd()).unwrap(), 2);
        assert_eq!(inbox.receive(there.as_fd(), 9).unwrap(), 2);
        assert_eq!(inbox.message(0).bytes, packet.to_vec());
        assert!(!inbox.message(0).truncated && inbox.message(1).truncated);
        assert_eq!(inbox.message(1).bytes, [3; 60]);
        assert_eq!(inbox.receive(there.as_fd(), 9).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn control_messages_are_read_as_they_were_written_and_damaged_ones_end() {
        let mut writer = ControlWriter::new();
        writer.add(1, 2, &[3; 5]);
        writer.add(4, 5, &7_u32.to_ne_bytes());
        writer.add(6, 7, &[0; CONTROL]);
        let bytes = &writer.control.0[..writer.length];
        let all: Vec<_> = ControlMessages(bytes).collect();
        assert_eq!(all, [(1, 2, &[3; 5][..]), (4, 5, &7_u32.to_ne_bytes()[..])]);
        for damaged in [0_usize, 1, 15, CONTROL, usize::MAX] {
            let mut bytes = bytes.to_vec();
            bytes[..8].copy_from_slice(&damaged.to_ne_bytes());
            assert_eq!(ControlMessages(&bytes).count(), 0, "{damaged}");
        }
    }
}
