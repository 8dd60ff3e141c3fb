//! The rungs that are one system call a batch: `sendmsg`, `sendmmsg`, with `UDP_SEGMENT`, with `MSG_ZEROCOPY`.
use crate::transmit::message::Payload;
use crate::transmit::{Rung, Transmitter};
use netfast_time::Instant;
use std::io;
use std::os::fd::AsRawFd;

impl<P: Payload> Transmitter<P> {
    /// Sends the plan. False when the socket takes nothing more now.
    pub(super) fn push_calls(&mut self, now: Instant) -> bool {
        let zero_copy = self.scratch.parts[0].zero_copy;
        let taken = self.call(zero_copy);
        let parts = std::mem::take(&mut self.scratch.parts);
        for (at, part) in parts.iter().enumerate().take(taken) {
            let count = self.scratch.headers[at].msg_len as usize;
            if zero_copy {
                self.outstanding.push(part.slot);
                self.slab.state_mut(part.slot).awaited += 1;
            }
            self.accept(part, count, now);
        }
        // Of several only the first one's error is told; a later one's is told when it is the first.
        let goes_on = match taken {
            0 => self.refuse(&parts[0], io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO), now),
            _ => true,
        };
        self.scratch.parts = parts;
        goes_on
    }

    /// Hands the plan over and says how many parts of it were taken; their `msg_len` say how much of each.
    fn call(&mut self, zero_copy: bool) -> usize {
        let rung = self.scratch.parts[0].rung;
        self.counters.rung_mut(rung).calls += 1;
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL | if zero_copy { libc::MSG_ZEROCOPY } else { 0 };
        let (socket, headers) = (self.socket.as_raw_fd(), &mut self.scratch.headers);
        if rung == Rung::Sendmsg {
            // SAFETY: the header and all that it points to were written by `plan` and stay until the call is over; what
            // zero-copy reads later stays in the slab until its notification came.
            let sent = unsafe { libc::sendmsg(socket, &headers[0].msg_hdr, flags) };
            headers[0].msg_len = u32::try_from(sent).unwrap_or(0);
            return usize::from(sent >= 0);
        }
        // SAFETY: as above, for as many headers as there are.
        let sent = unsafe { libc::sendmmsg(socket, headers.as_mut_ptr(), headers.len() as _, flags as _) };
        usize::try_from(sent).unwrap_or(0)
    }
}
