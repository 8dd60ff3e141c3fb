//! Statements.

use smallvec::SmallVec;

use crate::dynamic::{ALWAYS, Change, Each, Life, Operation, timeout};
use crate::op::{MarkValue, Nat, NatValue, Op, Slot, Verdict};
use crate::outcome::{Asked, CounterId, LimitId, LogId, QuotaId, RuleId};
use crate::ruleset::LogInfo;
use crate::state::{Count, LimitSpec, QuotaSpec};
use netfast_nft::ast::{self, Operator, Rhs, Statement};

use super::super::CompileError;
use super::{Compiler, Place};

impl<'a> Compiler<'a> {
    pub(super) fn statement(&mut self, place: &Place, statement: &'a Statement) -> Result<Op, CompileError> {
        let identity = place.identity();
        Ok(match statement {
            Statement::Match(found) => match self.look(place, found)? {
                Some(op) => op,
                None => Op::Match(self.condition(place, found)?),
            },
            Statement::Vmap(lookup) => Op::Vmap(self.map(place, lookup)?),
            Statement::Counter(ast::Counter::Anonymous { packets, bytes }) => {
                Op::Count(CounterId(self.counters.add(identity, Count { packets: *packets, bytes: *bytes })))
            }
            Statement::Counter(ast::Counter::Named(name)) => {
                let number = self.counter_numbers.get(&(place.table, name.as_str())).copied();
                Op::Count(CounterId(number.ok_or_else(|| self.undefined("counter", name, place))?))
            }
            Statement::Limit(limit) => {
                Op::Limit(LimitId(self.limits.add(identity, LimitSpec::new(limit))), limit.over)
            }
            Statement::Quota(quota) => {
                let spec = QuotaSpec { bytes: quota.bytes, used: quota.used };
                Op::Quota(QuotaId(self.quotas.add(identity, spec)), quota.over)
            }
            Statement::Log(log) => Op::Log(LogId(self.logs.add(
                identity,
                LogInfo {
                    rule: RuleId(place.position),
                    prefix: log.prefix.as_deref().map(Into::into),
                    level: log.level,
                    group: log.group,
                },
            ))),
            Statement::SetMark(value) => Op::SetMark(Slot::Packet, self.mark_value(place, value)?),
            Statement::SetCtMark(value) => Op::SetMark(Slot::Connection, self.mark_value(place, value)?),
            Statement::NamedLimit(name) => {
                let known = self.limit_numbers.get(&(place.table, name.as_str())).copied();
                let (number, over) = known.ok_or_else(|| self.undefined("limit", name, place))?;
                Op::Limit(LimitId(number), over)
            }
            Statement::NamedQuota(name) => {
                let known = self.quota_numbers.get(&(place.table, name.as_str())).copied();
                let (number, over) = known.ok_or_else(|| self.undefined("quota", name, place))?;
                Op::Quota(QuotaId(number), over)
            }
            Statement::SetMaxSegment(value) => {
                if *value == ast::MaxSegment::RouteMtu {
                    self.draft().asked |= Asked::FIB;
                }
                Op::MaxSegment(*value)
            }
            Statement::SetField(field, value) => Op::SetField(*field, *value),
            Statement::Dynamic(dynamic) => self.change(place, dynamic)?,
            // Every flow takes the short way; who goes on is found out as if there were another one.
            Statement::FlowAdd(_) => {
                self.draft().asked |= Asked::CT_STATUS;
                Op::FlowAdd
            }
            // Traces are told to whoever asks.
            Statement::NfTrace(_) => Op::Verdict(Verdict::Continue),
            Statement::NoTrack => Op::NoTrack,
            Statement::Verdict(verdict) => Op::Verdict(self.verdict(place, verdict)?),
            Statement::Reject(kind) => Op::Reject(*kind),
            Statement::Nat(nat) => Op::Nat(Box::new(self.nat(place, nat)?)),
        })
    }

    /// A match with elements that have something of their own: that is asked, too.
    fn look(&mut self, place: &Place, found: &'a ast::Match) -> Result<Option<Op>, CompileError> {
        let (Rhs::Named(name), Operator::Equal) = (&found.rhs, found.operator) else { return Ok(None) };
        if self.changed.get(&(place.table, name.as_str())) != Some(&true) {
            return Ok(None);
        }
        let key = self.key(&found.key.fields, found.key.mask);
        let number = self.named_set(place, name, found.key.fields.len())?;
        let Life::Dynamic(set) = self.sets[number as usize].life else { return Ok(None) };
        self.changes.push(Change { set, operation: Operation::Look, timeout: ALWAYS, each: SmallVec::new() });
        Ok(Some(Op::Change(self.changes.len() as u32 - 1, key)))
    }

    /// A statement that changes a set.
    fn change(&mut self, place: &Place, dynamic: &'a ast::Dynamic) -> Result<Op, CompileError> {
        let key = self.key(&dynamic.key.fields, dynamic.key.mask);
        let number = self.named_set(place, &dynamic.set, dynamic.key.fields.len())?;
        let Life::Dynamic(set) = self.sets[number as usize].life else {
            return Err(self.mismatch("a rule changes a set of intervals", "declare it without them", place));
        };
        let of_set = self.set_trees.get(&(place.table, dynamic.set.as_str())).and_then(|tree| tree.timeout);
        self.changes.push(Change {
            set,
            operation: dynamic.operation.into(),
            timeout: timeout(dynamic.timeout.or(of_set)),
            each: dynamic.each.iter().map(Each::new).collect(),
        });
        Ok(Op::Change(self.changes.len() as u32 - 1, key))
    }

    pub(super) fn verdict(&mut self, place: &Place, verdict: &ast::Verdict) -> Result<Verdict, CompileError> {
        Ok(match verdict {
            ast::Verdict::Accept => Verdict::Accept,
            ast::Verdict::Drop => Verdict::Drop,
            ast::Verdict::Continue => Verdict::Continue,
            ast::Verdict::Return => Verdict::Return,
            ast::Verdict::Jump(name) => Verdict::Jump(self.call(place, name)?),
            ast::Verdict::Goto(name) => Verdict::Goto(self.call(place, name)?),
        })
    }

    fn call(&mut self, place: &Place, name: &str) -> Result<u32, CompileError> {
        let number = self.chain_numbers.get(&(place.table, name)).copied();
        let number = number.ok_or_else(|| self.undefined("chain", name, place))?;
        self.draft().calls.push(number);
        Ok(number)
    }

    fn mark_value(&mut self, place: &Place, value: &'a ast::MarkValue) -> Result<MarkValue, CompileError> {
        Ok(match value {
            ast::MarkValue::Constant(mark) => MarkValue::Constant(*mark),
            ast::MarkValue::Computed { from, and, xor } => {
                let (from, asked) = match from {
                    ast::MarkSource::Packet => (Slot::Packet, Asked::MARK),
                    ast::MarkSource::Connection => (Slot::Connection, Asked::CT_MARK),
                };
                self.draft().asked |= asked;
                MarkValue::Computed { from, and: *and, xor: *xor }
            }
            ast::MarkValue::Map(lookup) => MarkValue::Map(self.map(place, lookup)?),
        })
    }

    fn nat(&mut self, place: &Place, nat: &'a ast::Nat) -> Result<Nat, CompileError> {
        let mut value = |value: &'a Option<ast::NatValue>| match value {
            None => Ok(None),
            Some(ast::NatValue::Range(interval)) => Ok(Some(NatValue::Range(*interval))),
            Some(ast::NatValue::Map(lookup)) => self.map(place, lookup).map(|map| Some(NatValue::Map(map))),
        };
        Ok(Nat {
            kind: nat.kind,
            family: nat.family,
            address: value(&nat.address)?,
            port: value(&nat.port)?,
            random: nat.random,
            fully_random: nat.fully_random,
            persistent: nat.persistent,
        })
    }
}
