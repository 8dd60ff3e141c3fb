//! The clock that packets carry: it never goes back, and one wild time stamp does not move it.

/// A step further than this is believed only when the next packet confirms it.
const CONFIRM_BEYOND_NS: u64 = 24 * 3600 * 1_000_000_000;

/// What the clock had to mend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockCounts {
    /// Packets whose time was before that of a packet before them; they count as of that packet's time.
    pub backward: u64,
    /// Packets more than a day ahead that the packet after them did not confirm; they count as of the clock's time.
    pub wild: u64,
    /// Steps of more than a day that were confirmed.
    pub jumps: u64,
}

/// Time as the packets of one input tell it, in order, in ns since the epoch.
///
/// [`PacketClock::observe`] gives the time that decides when flows end. While packets come in order and without
/// steps of more than a day, that is the packet's own time.
#[derive(Clone, Debug, Default)]
pub struct PacketClock {
    now: u64,
    seen: u64,
    suspect: Option<u64>,
    counts: ClockCounts,
}

impl PacketClock {
    /// A clock before its first packet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next packet's time stamp and says when the packet counts as seen.
    #[inline(always)]
    pub fn observe(&mut self, time_ns: u64) -> u64 {
        if time_ns >= self.now && time_ns - self.now <= CONFIRM_BEYOND_NS && self.seen > 1 {
            self.now = time_ns;
            self.suspect = None;
            return time_ns;
        }
        self.odd(time_ns)
    }

    #[cold]
    fn odd(&mut self, time_ns: u64) -> u64 {
        self.seen += 1;
        if self.seen == 1 {
            self.now = time_ns;
        } else if time_ns < self.now {
            // The first packet alone may have been the wild one.
            if self.seen == 2 && self.now - time_ns > CONFIRM_BEYOND_NS {
                self.counts.wild += 1;
                self.now = time_ns;
            } else {
                self.counts.backward += 1;
            }
        } else if time_ns - self.now > CONFIRM_BEYOND_NS {
            if self.suspect.is_some_and(|suspect| suspect.abs_diff(time_ns) <= CONFIRM_BEYOND_NS) {
                self.counts.jumps += 1;
                // The packet before was not wild after all.
                self.counts.wild -= 1;
                self.suspect = None;
                self.now = time_ns;
            } else {
                self.counts.wild += 1;
                self.suspect = Some(time_ns);
            }
        } else {
            self.now = time_ns;
            self.suspect = None;
        }
        self.now
    }

    /// The latest time that is believed.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// What was mended so far.
    pub fn counts(&self) -> ClockCounts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = CONFIRM_BEYOND_NS;

    fn run(times: &[u64]) -> (Vec<u64>, ClockCounts) {
        let mut clock = PacketClock::new();
        (times.iter().map(|&t| clock.observe(t)).collect(), clock.counts())
    }

    #[test]
    fn ordered_times_pass() {
        assert_eq!(run(&[5, 5, 9, DAY]), (vec![5, 5, 9, DAY], ClockCounts::default()));
    }

    #[test]
    fn time_that_goes_back_is_clamped_and_counted() {
        assert_eq!(
            run(&[5, 9, 7, 10]),
            (vec![5, 9, 9, 10], ClockCounts { backward: 1, ..Default::default() })
        );
    }

    #[test]
    fn one_wild_stamp_does_not_move_the_clock() {
        let counts = ClockCounts { wild: 1, ..Default::default() };
        assert_eq!(run(&[5, 6, 90 * DAY, 7]), (vec![5, 6, 6, 7], counts));
        assert_eq!(run(&[90 * DAY, 6, 7]), (vec![90 * DAY, 6, 7], counts));
    }

    #[test]
    fn a_confirmed_jump_moves_it() {
        let (times, counts) = run(&[5, 6, 90 * DAY, 90 * DAY + 1, 90 * DAY + 2]);
        assert_eq!(times, [5, 6, 6, 90 * DAY + 1, 90 * DAY + 2]);
        assert_eq!(counts, ClockCounts { jumps: 1, ..Default::default() });
    }
}
