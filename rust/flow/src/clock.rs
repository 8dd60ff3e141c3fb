//! The clock that packets carry: small steps back do not move it, and one wild time stamp does not either.

/// A step further than this, ahead or back, is believed unless the next packet is nearer to the time before it.
const CONFIRM_BEYOND_NS: u64 = 24 * 3600 * 1_000_000_000;

/// What the clock had to mend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockCounts {
    /// Packets whose time was before that of a packet before them; they count as of that packet's time.
    pub backward: u64,
    /// Packets more than a day ahead or back whose next packet came back; they count as of the clock's time.
    pub wild: u64,
    /// Steps of more than a day, ahead or back, that were believed.
    pub jumps: u64,
}

/// When a packet counts as seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The time, ns since the epoch.
    pub now_ns: u64,
    /// How often the clock had gone back for good, wrapping: times of different eras are not compared.
    pub era: u16,
}

/// Time as the packets of one input tell it, in order, in ns since the epoch.
///
/// [`PacketClock::observe`] gives the time that decides when flows end. While packets come in order and without
/// steps of more than a day, that is the packet's own time. After such a step one packet waits for the next, which
/// says whether it was wild: whatever the batches, each packet's time depends on the packets before it and on the one
/// behind it.
#[derive(Clone, Debug, Default)]
pub struct PacketClock {
    seen: Seen,
    begun: bool,
    /// The time stamp of a packet that waits.
    waiting: Option<u64>,
    counts: ClockCounts,
}

/// What the clock says to a time stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// The packet counts as seen then.
    Seen(Seen),
    /// The next packet decides: [`PacketClock::settle`] gives the answer when its time stamp is known.
    Waits,
}

impl PacketClock {
    /// A clock before its first packet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next packet's time stamp. While another packet waits it must be settled first.
    #[inline(always)]
    pub fn observe(&mut self, time_ns: u64) -> Observed {
        debug_assert!(self.waiting.is_none(), "the packet before is settled first");
        let ahead = time_ns.wrapping_sub(self.seen.now_ns);
        if ahead <= CONFIRM_BEYOND_NS && self.begun {
            self.seen.now_ns = time_ns;
            return Observed::Seen(self.seen);
        }
        self.odd(time_ns)
    }

    #[cold]
    fn odd(&mut self, time_ns: u64) -> Observed {
        if !self.begun {
            (self.begun, self.seen.now_ns) = (true, time_ns);
        } else if time_ns.abs_diff(self.seen.now_ns) <= CONFIRM_BEYOND_NS {
            self.counts.backward += 1;
        } else {
            self.waiting = Some(time_ns);
            return Observed::Waits;
        }
        Observed::Seen(self.seen)
    }

    /// True while a packet waits for the time stamp of the one behind it.
    #[inline(always)]
    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Says when the packet that waits counts as seen, by the time stamp of the next one; `None` at the end of the
    /// input, when nothing speaks against it.
    #[cold]
    pub fn settle(&mut self, next_ns: Option<u64>) -> Seen {
        if let Some(time_ns) = self.waiting.take() {
            let now = self.seen.now_ns;
            if next_ns.is_none_or(|next| next.abs_diff(time_ns) <= next.abs_diff(now)) {
                self.counts.jumps += 1;
                if time_ns < self.seen.now_ns {
                    self.seen.era = self.seen.era.wrapping_add(1);
                }
                self.seen.now_ns = time_ns;
            } else {
                self.counts.wild += 1;
            }
        }
        self.seen
    }

    /// Takes the word of somebody who knows what time it is: no packet need confirm it. Going back it does not move.
    pub fn advance(&mut self, now_ns: u64) {
        self.begun = true;
        self.seen.now_ns = self.seen.now_ns.max(now_ns);
    }

    /// The latest time that is believed.
    pub fn now(&self) -> Seen {
        self.seen
    }

    /// What was mended so far.
    pub fn counts(&self) -> ClockCounts {
        self.counts
    }

    /// Begins anew, as for another input; the counters go on.
    pub fn restart(&mut self) {
        *self = Self { counts: self.counts, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = CONFIRM_BEYOND_NS;

    /// The time at which each packet counts as seen.
    fn run(times: &[u64]) -> (Vec<u64>, PacketClock) {
        let mut clock = PacketClock::new();
        let mut out = vec![];
        for &time in times {
            if clock.is_waiting() {
                out.push(clock.settle(Some(time)).now_ns);
            }
            if let Observed::Seen(seen) = clock.observe(time) {
                out.push(seen.now_ns);
            }
        }
        if clock.is_waiting() {
            out.push(clock.settle(None).now_ns);
        }
        (out, clock)
    }

    #[test]
    fn ordered_times_pass() {
        let (times, clock) = run(&[5, 5, 9, DAY]);
        assert_eq!((times, clock.counts()), (vec![5, 5, 9, DAY], ClockCounts::default()));
    }

    #[test]
    fn time_that_goes_back_a_little_is_clamped_and_counted() {
        let (times, clock) = run(&[5, 9, 7, 10]);
        assert_eq!(times, [5, 9, 9, 10]);
        assert_eq!(clock.counts(), ClockCounts { backward: 1, ..Default::default() });
    }

    #[test]
    fn one_wild_stamp_does_not_move_the_clock() {
        let counts = ClockCounts { wild: 1, ..Default::default() };
        let (times, clock) = run(&[5, 6, 90 * DAY, 7]);
        assert_eq!((times, clock.counts()), (vec![5, 6, 6, 7], counts));
        // Nor does one of the distant past.
        let (times, clock) = run(&[90 * DAY, 90 * DAY + 1, 0, 90 * DAY + 2]);
        assert_eq!(
            (times, clock.counts()),
            (vec![90 * DAY, 90 * DAY + 1, 90 * DAY + 1, 90 * DAY + 2], counts)
        );
        // It is the very next packet that speaks for it or against it.
        let (times, clock) = run(&[5, 9 * DAY, 6, 9 * DAY + 1, 7]);
        assert_eq!((times, clock.counts().wild), (vec![5, 5, 6, 6, 7], 2));
    }

    #[test]
    fn packets_days_apart_are_believed() {
        let (times, clock) = run(&[0, 3 * DAY, 9 * DAY, 20 * DAY]);
        assert_eq!(times, [0, 3 * DAY, 9 * DAY, 20 * DAY]);
        assert_eq!(clock.counts(), ClockCounts { jumps: 3, ..Default::default() });
    }

    #[test]
    fn a_confirmed_jump_moves_it_for_both_packets() {
        let (times, clock) = run(&[5, 6, 90 * DAY, 90 * DAY + 1, 90 * DAY + 2]);
        assert_eq!(times, [5, 6, 90 * DAY, 90 * DAY + 1, 90 * DAY + 2]);
        assert_eq!(clock.counts(), ClockCounts { jumps: 1, ..Default::default() });
        assert_eq!(clock.now().era, 0);
    }

    #[test]
    fn a_confirmed_jump_back_begins_an_era() {
        let (times, clock) = run(&[90 * DAY, 6, 7, 8]);
        assert_eq!(times, [90 * DAY, 6, 7, 8]);
        assert_eq!((clock.counts().jumps, clock.now()), (1, Seen { now_ns: 8, era: 1 }));
    }

    #[test]
    fn somebody_who_knows_is_believed() {
        let mut clock = PacketClock::new();
        clock.observe(5);
        clock.advance(4 * DAY);
        assert_eq!(clock.observe(4 * DAY + 1), Observed::Seen(Seen { now_ns: 4 * DAY + 1, era: 0 }));
        assert_eq!(clock.counts(), ClockCounts::default());
    }
}
