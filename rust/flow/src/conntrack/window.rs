//! Which segments fit between what both sides have sent, acknowledged and offered: Guido van Rooij, "Real
//! Stateful TCP Packet Filtering in IP Filter" (2001), with SACK (RFC 2018) and window scaling (RFC 7323).
//!
//! Of each side four things are known: the end of what it sent, the end of what it may send, the greatest
//! window it offered, the highest acknowledgment it sent. A segment is in the window when
//!
//! 1. it begins at or before the end of what its sender may send,
//! 2. it ends at or behind what the receiver's greatest window leaves of the data sent,
//! 3. it acknowledges nothing that was not sent,
//! 4. and its acknowledgment is not older than the sender's greatest window, or 66,000 bytes.
use super::Way;
use super::outcome::{Ignored, Invalid};
use super::segment::{TcpFlags, TcpSegment, after, before};
use super::tcp_state::TcpState;
use zerocopy::FromZeros;

/// The least that an acknowledgment may lag: the greatest unscaled window and a little more.
const MIN_ACK_LAG: u32 = 66_000;

/// One side of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromZeros)]
pub(super) struct Side {
    /// The sequence number behind what it has sent.
    pub end: u32,
    /// The sequence number behind what it may send.
    pub max_end: u32,
    /// The greatest window it offered, scaled; 0 while nothing was seen from it.
    pub max_window: u32,
    /// The highest acknowledgment it sent, with [`Side::MAX_ACK`].
    pub max_ack: u32,
    /// Shift count of its windows.
    pub scale: u8,
    /// The bits below.
    pub flags: u8,
}

impl Side {
    /// It offered to scale windows.
    pub const SCALES: u8 = 1 << 0;
    /// It takes SACK blocks.
    pub const SACK: u8 = 1 << 1;
    /// It was the first to close.
    pub const CLOSED_FIRST: u8 = 1 << 2;
    /// Its windows are not known well enough to refuse what does not fit.
    pub const LIBERAL: u8 = 1 << 3;
    /// It has sent data that is not acknowledged.
    pub const UNACKNOWLEDGED: u8 = 1 << 4;
    /// `max_ack` is known.
    pub const MAX_ACK: u8 = 1 << 5;

    #[inline(always)]
    pub const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// What a SYN says of its sender's options.
    pub fn read_options(&mut self, segment: &TcpSegment) {
        if !segment.has_options {
            return;
        }
        self.scale = segment.scale.unwrap_or(0);
        self.flags &= Self::LIBERAL;
        self.flags |= if segment.scale.is_some() { Self::SCALES } else { 0 };
        self.flags |= if segment.sack_permitted { Self::SACK } else { 0 };
    }

    /// What a SYN says of its sender.
    pub fn synchronise(&mut self, segment: &TcpSegment) {
        (self.end, self.max_end) = (segment.end(), segment.end());
        self.max_window = u32::from(segment.window).max(1);
        self.read_options(segment);
    }

    /// What another segment says of a sender whose SYN was not seen.
    pub fn pick_up(&mut self, segment: &TcpSegment) {
        self.end = segment.end();
        self.max_window = (u32::from(segment.window) << self.scale).max(1);
        self.max_end = self.end.wrapping_add(self.max_window);
    }
}

/// The numbers of a segment, as the window looks at them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figures {
    pub sequence: u32,
    pub end: u32,
    pub acknowledgment: u32,
    /// The highest SACK edge, where the receiver takes SACK.
    pub sack: u32,
    /// Scaled but in a SYN.
    pub window: u32,
    /// The acknowledgment number counts.
    pub acknowledges: bool,
}

/// A segment that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Misfit {
    Ignored(Ignored),
    Invalid(Invalid),
}

/// Both sides, by the direction of the segment at hand.
pub(super) struct Sides<'a> {
    pub sender: &'a mut Side,
    pub receiver: &'a mut Side,
}

impl<'a> Sides<'a> {
    #[inline(always)]
    pub fn of(sides: &'a mut [Side; 2], way: Way) -> Self {
        let [original, reply] = sides;
        match way {
            Way::Original => Self { sender: original, receiver: reply },
            Way::Reply => Self { sender: reply, receiver: original },
        }
    }

    /// Learns what a first segment or a repeated SYN says. True when nothing is left to be checked: the SYN
    /// of a simultaneous open (RFC 9293 3.5).
    pub fn learn(&mut self, way: Way, segment: &TcpSegment, sack: u32, state: TcpState) -> bool {
        let syn = segment.flags.any(TcpFlags::SYN);
        let has_ack = segment.flags.any(TcpFlags::ACK);
        if self.sender.max_window == 0 {
            if syn {
                self.synchronise(way, segment);
                return !has_ack;
            }
            self.pick_up(segment, sack);
            return false;
        }
        // RFC 9293 3.4.3: a connection begun anew has to use higher sequence numbers than before.
        let opening = matches!(state, TcpState::SynSent | TcpState::SynReceived);
        if syn && opening && after(segment.end(), self.sender.end) {
            self.synchronise(way, segment);
            return way == Way::Reply && !has_ack;
        }
        false
    }

    fn synchronise(&mut self, way: Way, segment: &TcpSegment) {
        self.sender.synchronise(segment);
        // RFC 7323 2.2: both sides have to offer it before either may scale.
        let both = self.sender.has(Side::SCALES) && self.receiver.has(Side::SCALES);
        if way == Way::Reply && !both {
            (self.sender.scale, self.receiver.scale) = (0, 0);
        }
    }

    fn pick_up(&mut self, segment: &TcpSegment, sack: u32) {
        self.sender.pick_up(segment);
        if self.receiver.max_window == 0 {
            // Nothing is known of the other side: what is acknowledged was sent.
            (self.receiver.end, self.receiver.max_end) = (sack, sack);
        } else if sack == self.receiver.end.wrapping_add(1) {
            // The answer to a keep-alive, whose one byte lies before what was seen.
            self.receiver.end = sack;
        }
    }

    /// The numbers of a segment, with those put right that count for nothing.
    pub fn figures(&self, segment: &TcpSegment, sack: u32, state: TcpState) -> Figures {
        let rst = segment.flags.any(TcpFlags::RST);
        let has_ack = segment.flags.any(TcpFlags::ACK);
        // Some stacks acknowledge 0 with a reset.
        let no_ack = !has_ack || rst && segment.acknowledgment == 0;
        let (acknowledgment, sack) =
            if no_ack { (self.receiver.end, self.receiver.end) } else { (segment.acknowledgment, sack) };
        // RFC 9293 3.10.7.1: the answer to a SYN that nobody wants has sequence number 0.
        let answers_syn = rst && segment.sequence == 0 && state == TcpState::SynSent;
        let (sequence, end) =
            if answers_syn { (self.sender.end, self.sender.end) } else { (segment.sequence, segment.end()) };
        let scale = if segment.flags.any(TcpFlags::SYN) { 0 } else { self.sender.scale };
        let window = u32::from(segment.window) << scale;
        Figures { sequence, end, acknowledgment, sack, window, acknowledges: has_ack }
    }

    /// True when the segment is in the window.
    #[inline(always)]
    pub fn fits(&self, f: &Figures) -> bool {
        // Nothing is older than what a receiver offers of whom nothing is known.
        self.receiver.max_window == 0 && self.fits_but(f, true) || self.fits_but(f, false)
    }

    /// As [`Sides::fits`], where both sides have offered a window.
    #[inline(always)]
    pub fn fits_known(&self, f: &Figures) -> bool {
        self.fits_but(f, false)
    }

    #[inline(always)]
    fn fits_but(&self, f: &Figures, any_age: bool) -> bool {
        let (sender, receiver) = (&*self.sender, &*self.receiver);
        let lag = sender.max_window.max(MIN_ACK_LAG);
        let oldest = sender.end.wrapping_sub(receiver.max_window).wrapping_sub(1);
        before(f.sequence, sender.max_end.wrapping_add(1))
            & before(f.sack, receiver.end.wrapping_add(1))
            & (any_age | after(f.end, oldest))
            & after(f.sack, receiver.end.wrapping_sub(lag).wrapping_sub(1))
    }

    /// Why the segment does not fit, if so. Of one that sends more than the window allows the end is noted:
    /// its data may pass and will then be acknowledged.
    pub fn misfit(&mut self, f: &Figures) -> Option<Misfit> {
        if self.fits(f) {
            return None;
        }
        let (sender, receiver) = (&mut *self.sender, &*self.receiver);
        let lag = sender.max_window.max(MIN_ACK_LAG);
        let oldest_ack = receiver.end.wrapping_sub(lag).wrapping_sub(1);
        let oldest = sender.end.wrapping_sub(receiver.max_window).wrapping_sub(1);
        let acknowledges_sent = before(f.sack, receiver.end.wrapping_add(1));
        if !before(f.sequence, sender.max_end.wrapping_add(1)) {
            let over = f.end.wrapping_sub(sender.max_end).wrapping_add(1);
            let in_window = receiver.max_window != 0 && after(f.end, oldest) && over <= receiver.max_window;
            if in_window && after(f.sack, oldest_ack) && acknowledges_sent {
                sender.end = f.end;
                sender.flags |= Side::UNACKNOWLEDGED;
                return Some(Misfit::Ignored(Ignored::OverWindow { bytes: over }));
            }
            let limit = sender.max_end.wrapping_add(1);
            return Some(Misfit::Invalid(Invalid::SequenceOver { sequence: f.sequence, limit }));
        }
        if !acknowledges_sent {
            let limit = receiver.end.wrapping_add(1);
            return Some(Misfit::Invalid(Invalid::AcknowledgmentOver { acknowledgment: f.sack, limit }));
        }
        if receiver.max_window != 0 && !after(f.end, oldest) {
            return Some(Misfit::Ignored(Ignored::SequenceUnder { end: f.end, limit: oldest }));
        }
        let limit = oldest_ack;
        Some(Misfit::Ignored(Ignored::AcknowledgmentUnder { acknowledgment: f.sack, limit }))
    }

    /// Takes up what a segment that fits tells.
    pub fn advance(&mut self, f: &Figures) {
        let offered = self.receiver.max_window;
        if f.acknowledges && !self.sender.has(Side::MAX_ACK) {
            self.sender.max_ack = f.acknowledgment;
            self.sender.flags |= Side::MAX_ACK;
        }
        let acknowledged = self.sender.max_ack;
        self.advance_known(f);
        if !f.acknowledges {
            self.sender.max_ack = acknowledged;
        }
        if offered == 0 {
            self.receiver.max_window = 0;
        }
    }

    /// As [`Sides::advance`] of an acknowledgment, where both sides have offered a window and its sender has acknowledged something.
    #[inline(always)]
    pub fn advance_known(&mut self, f: &Figures) {
        let (sender, receiver) = (&mut *self.sender, &mut *self.receiver);
        // What SACK blocks cover has left the window.
        let offered = f.window.wrapping_add(f.sack.wrapping_sub(f.acknowledgment));
        sender.max_window = sender.max_window.max(offered);
        let more = after(f.end, sender.end);
        sender.end = if more { f.end } else { sender.end };
        let newer = after(f.acknowledgment, sender.max_ack);
        sender.max_ack = if newer { f.acknowledgment } else { sender.max_ack };
        sender.flags |= u8::from(more) * Side::UNACKNOWLEDGED;
        if after(f.end, sender.max_end) {
            // A window that was offered never counts as none again.
            receiver.max_window = receiver.max_window.saturating_add(f.end.wrapping_sub(sender.max_end));
        }
        let may_send = f.sack.wrapping_add(f.window);
        if after(may_send, receiver.max_end.wrapping_sub(1)) {
            // A closed window is probed with one byte (RFC 9293 3.8.6.1).
            receiver.max_end = may_send.wrapping_add(u32::from(f.window == 0));
        }
        receiver.flags &= !(u8::from(f.acknowledgment == receiver.end) * Side::UNACKNOWLEDGED);
    }
}
