//! Steps of a program: rules that read each packet, or do something for it.
use crate::chains::LogNote;
use crate::fast::{L3, Look};
use crate::node::Node;
use crate::port::PortId;
use crate::program::{By, End, Stage, Step, What};
use crate::reason::DropReason;
use crate::track::UNTRACKED;
use netfast_buf::Skb;
use netfast_filter::facts::{Connection, Facts, Family};
use netfast_filter::outcome::{LogId, RuleStep, StepOutcome};
use netfast_flow::cache::Found;
use netfast_flow::conntrack::{State, Status, Tuple, Way};
use netfast_time::Instant;

impl Node {
    /// The steps of a program that read each packet: why it ends here, if it does.
    #[inline(never)]
    pub(crate) fn take_steps(
        &mut self,
        now: Instant,
        id: u32,
        look: &Look,
        found: &Found,
        packet: &Skb,
    ) -> Option<(DropReason, Option<By>)> {
        let program = self.programs.get(id)?.clone();
        let (expires, cold) = (self.cache.entry(found.entry).expires, *self.cache.cold(found.entry));
        let [original, reply] = self.tuples(found.entry);
        let live = crate::chains::LiveTuples::default();
        live.set(&original, &reply);
        let arriving = if found.way == Way::Original { original } else { reply };
        let leaving = crate::track::inverse(if found.way == Way::Original { &reply } else { &original });
        let status = Status(cold.status);
        let tracked = cold.status & UNTRACKED == 0 && self.tracks;
        let state =
            if tracked { State::of(found.way, status.has(Status::SEEN_REPLY)) } else { State::Untracked };
        let connection = tracked.then_some(Connection {
            direction: crate::chains::ct_direction(found.way),
            status: u32::from(cold.status & !UNTRACKED),
            mark: cold.mark,
            expiration: left(expires, now),
            // Of others the tables decide.
            established: true,
            tuples: &live,
        });
        let mut facts = facts(look, packet.head(), program.in_port, state, connection);
        let out_port = match program.end {
            End::Output { port, .. } | End::Drop { beyond: Some((port, _)), .. } => Some(port),
            _ => None,
        };
        let mut logs = Vec::new();
        let mut skip = None;
        let mut end = None;
        for step in &program.steps {
            if skip == Some(step.base) {
                continue;
            }
            stage(&mut facts, step, look.hop_limit, &arriving, &leaving, out_port);
            let outcome = self.take_step(now, step, &mut facts, &mut logs);
            self.note_logs(now, &mut logs, &facts);
            match outcome {
                StepOutcome::Continue => continue,
                StepOutcome::Accept => {
                    skip = Some(step.base);
                    continue;
                }
                StepOutcome::Drop => end = Some(dropped_by(step)),
                // Programs with rules that answer say walk.
                StepOutcome::Reject(_) => end = Some((DropReason::Reject, None)),
            }
            break;
        }
        let mark = facts.connection.map(|connection| connection.mark);
        if let Some(mark) = mark {
            self.set_ct_mark(found.entry, Some(mark));
        }
        end
    }

    /// Log statements of a step, with what is known where it stands.
    fn note_logs(&mut self, now: Instant, logs: &mut Vec<LogId>, facts: &Facts<'_>) {
        for log in logs.drain(..) {
            let (source_port, destination_port) = facts.ports.unwrap_or_default();
            let tuple = Tuple {
                source: facts.source,
                destination: facts.destination,
                source_port,
                destination_port,
                protocol: facts.protocol,
            };
            let note = LogNote { log, tuple, in_port: facts.in_port, out_port: facts.out_port };
            self.log(now, &note, facts.l3_length);
        }
    }

    fn take_step(
        &mut self,
        now: Instant,
        step: &Step,
        facts: &mut Facts<'_>,
        logs: &mut Vec<LogId>,
    ) -> StepOutcome {
        match step.what {
            What::Rule(rule) => self.rules.step(rule, facts, &mut self.rule_state, now, logs),
            What::Drop(rule) => {
                if let Some(rule) = rule {
                    self.rule_state.hit(rule, 1);
                }
                StepOutcome::Drop
            }
        }
    }
}

/// What rules of all stages see of a packet whose Ethernet header `head` begins with.
fn facts<'a>(
    look: &Look,
    head: &'a [u8],
    in_port: PortId,
    state: State,
    connection: Option<Connection<'a>>,
) -> Facts<'a> {
    Facts {
        family: if look.v6() { Family::Ipv6 } else { Family::Ipv4 },
        protocol: look.protocol(),
        in_port: Some(in_port),
        ct_state: crate::chains::ct_state(state),
        connection,
        mark: 0,
        ethernet: head.first_chunk::<14>(),
        l3: head.get(L3..).unwrap_or_default(),
        l3_length: look.ip_len,
        l4_offset: (look.l4() - L3) as u16,
        ..Facts::EMPTY
    }
}

/// Why a packet ends that a step drops.
fn dropped_by(step: &Step) -> (DropReason, Option<By>) {
    match step.what {
        What::Drop(None) => (DropReason::Policy, Some(By::Policy(step.base))),
        What::Drop(Some(rule)) | What::Rule(RuleStep::Rule(rule)) => (DropReason::Rule, Some(By::Rule(rule))),
        _ => (DropReason::Rule, None),
    }
}

/// What is left of a connection's time, in milliseconds.
pub(crate) fn left(expires: u64, now: Instant) -> u32 {
    (expires.saturating_sub(now.as_nanos()) / 1_000_000).min(u64::from(u32::MAX)) as u32
}

/// What rules of a stage see of addresses and hop limit.
fn stage(
    facts: &mut Facts<'_>,
    step: &Step,
    hop_limit: u8,
    arriving: &Tuple,
    leaving: &Tuple,
    out_port: Option<PortId>,
) {
    let source = if step.stage == Stage::Leaving { leaving } else { arriving };
    let destination = if step.stage == Stage::Arrived { arriving } else { leaving };
    facts.source = source.source;
    facts.destination = destination.destination;
    facts.ports = Some((source.source_port, destination.destination_port));
    let forwarded = matches!(step.stage, Stage::Forwarded | Stage::Leaving);
    facts.hop_limit_now = if forwarded { hop_limit.saturating_sub(1) } else { hop_limit };
    facts.out_port = if forwarded { out_port } else { None };
}
