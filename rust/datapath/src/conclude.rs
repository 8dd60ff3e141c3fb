//! The end of a decision: what it comes to, and what later packets need not ask again.
use crate::decide::{Decision, Ending, Pass, Verdict};
use crate::event::EndReason;
use crate::program::{End, Program};
use crate::reason::DropReason;
use crate::trace::Tell;
use crate::track::{Begin, Change, Class, UNTRACKED, UNTRACKED_FOR, Update};
use netfast_filter::outcome::{Asked, Effect};
use netfast_flow::conntrack::{State, Way};
use smallvec::SmallVec;

impl<T: Tell> Pass<'_, '_, T> {
    /// The decision, when the packet's way has ended so.
    pub(crate) fn finish(mut self, (verdict, answer): Ending) -> Decision {
        if matches!(self.track.change, Change::None) {
            self.settle_untracked();
        }
        let translated = self.track.has_connection()
            && matches!(verdict, Verdict::Forward { .. } | Verdict::Deliver)
            && self.track.leaving() != self.track.arriving();
        let leaves = translated.then(|| self.track.leaving());
        let set = self.effects.iter().any(|effect| matches!(effect, Effect::HopLimit(_)));
        let hop_limit = set.then_some(self.facts.hop_limit_now);
        let program = self.program(&verdict, leaves.is_some());
        Decision {
            verdict,
            track: self.track,
            effects: self.effects,
            keys: self.keys,
            logs: self.logs,
            ct_mark: self.ct_mark,
            hop_limit,
            answer,
            leaves,
            hop: self.hop,
            program,
            mapping: self.mapping,
            exhausted: self.exhausted,
            by_class: self.by_class,
        }
    }

    /// Flows that are not tracked get an entry for their program and their next hop alone.
    pub(crate) fn settle_untracked(&mut self) {
        if self.track.state != State::Untracked || !self.subject.is_plain() || self.subject.in_port.is_none()
        {
            return;
        }
        let Some(tuple) = self.subject.tuple else { return };
        let found = self.node.tracker().find_any(&tuple);
        let now = self.subject.now.as_nanos();
        self.track.change = match found {
            Some(found) => {
                let entry = self.node.cache.entry(found.entry);
                if self.node.cache.cold(found.entry).status & UNTRACKED == 0 {
                    // A connection that is tracked: it keeps its place.
                    return;
                }
                self.track.way = found.way;
                if entry.expires <= now {
                    self.track.way = Way::Original;
                    Change::Begin(self.untracked(Some((found.entry, EndReason::Timeout))))
                } else {
                    Change::Update(Update {
                        entry: found.entry,
                        transport: None,
                        timeout: Some(UNTRACKED_FOR),
                        at_most: None,
                        class: Class::Untracked,
                        counts: true,
                        over: false,
                    })
                }
            }
            None => Change::Begin(self.untracked(None)),
        };
    }

    fn untracked(&self, replaces: Option<(u32, EndReason)>) -> Begin {
        Begin { replaces, transport: None, timeout: UNTRACKED_FOR, class: Class::Untracked, tracked: false }
    }

    /// What later packets of this way need not ask again; `None` when this packet cannot speak for them.
    fn program(&self, verdict: &Verdict, translate: bool) -> Option<Program> {
        let in_port = self.subject.in_port?;
        if self.draft.void || matches!(self.track.change, Change::None) || !self.subject.is_plain() {
            return None;
        }
        if !matches!(self.track.state, State::New | State::Established | State::Untracked)
            || self.later_ones_see_more(translate)
        {
            return None;
        }
        let end = match *verdict {
            _ if self.draft.walk || !self.facts.mark_known || !self.facts.ct_mark_known => End::Walk,
            Verdict::Forward { port, mac: Some(mac), neighbour, mtu, .. } => {
                let out = self.node.port(port)?;
                let (length, ethernet) =
                    crate::program::ethernet(out.config.mac, mac, out.tag, self.subject.v6());
                End::Output { port, wire: out.wire, mtu, neighbour, length, ethernet }
            }
            Verdict::Forward { mac: None, .. } => return None,
            Verdict::Deliver => End::Deliver,
            Verdict::Drop { reason: reason @ (DropReason::Rule | DropReason::Policy), by } => {
                End::Drop { reason, by, beyond: self.beyond }
            }
            Verdict::Drop { .. } => return None,
        };
        let walks = end == End::Walk;
        let settled = self.draft.settled().filter(|_| !walks);
        let steps = if walks || settled.is_some() {
            SmallVec::new()
        } else {
            self.draft.steps.iter().copied().collect()
        };
        let (counters, hits) = settled.unwrap_or_default();
        let mark = if walks { 0 } else { self.facts.mark };
        let (asked, chains) = (self.draft.asked, self.draft.chains);
        Some(Program { in_port, steps, counters, hits, translate, end, mark, asked, chains })
    }
}

impl<T> Pass<'_, '_, T> {
    /// True when rules asked the connection for something that this packet changes behind them.
    fn later_ones_see_more(&self, translate: bool) -> bool {
        let asked = self.draft.asked;
        let begins = self.track.begins();
        let marks = self.ct_mark.is_some_and(|mark| mark != self.track.mark);
        (begins && asked.any(Asked::CT_STATUS))
            || (begins && translate && self.node.asks_tuples)
            || (marks && asked.any(Asked::CT_MARK))
    }
}
