//! Statements that change sets.
use super::reading::DYNAMIC_SIZE;
use super::rule::Draft;
use super::{Fault, Parsed, Parser};
use crate::ast::{Dynamic, ElementStatement, Key, KeyType, Match, Set, SetOperation, Span, Statement};
use crate::context::Context;
use crate::error::{Problem, Thing};
use crate::lexer::Kind;

impl Parser<'_, '_> {
    /// `add @set { … }`, `update`, `delete`, `set add … @set`, `meter name { … }`.
    pub(super) fn dynamic(&mut self, draft: &mut Draft, table: usize) -> Parsed<()> {
        let span = self.span();
        let (mut context, mut implied) = (draft.context.clone(), Vec::new());
        let dynamic = match self.bump().kind {
            Kind::Word("meter") => self.meter(table, &mut context, &mut implied)?,
            Kind::Word("set") => {
                let operation = self.set_operation()?;
                let (key, timeout) = self.dynamic_key(&mut context, &mut implied)?;
                let set = self.set_name()?;
                Dynamic { operation, set, key, timeout, each: Vec::new(), meter: false }
            }
            _ => {
                self.at -= 1;
                let operation = self.set_operation()?;
                let set = self.set_name()?;
                let (key, timeout, mut each) = self.dynamic_element(&mut context, &mut implied)?;
                if operation == SetOperation::Delete {
                    // What goes needs nothing of its own: Linux does not run it.
                    each.clear();
                }
                Dynamic { operation, set, key, timeout, each, meter: false }
            }
        };
        draft.context = context;
        draft.push(span, implied, Statement::Dynamic(dynamic));
        Ok(())
    }

    fn set_operation(&mut self) -> Parsed<SetOperation> {
        let operation = match self.peek() {
            Kind::Word("add") => SetOperation::Add,
            Kind::Word("update") => SetOperation::Update,
            Kind::Word("delete") => SetOperation::Delete,
            _ => return self.unexpected_word("add, update or delete", ["add", "update", "delete"]),
        };
        self.at += 1;
        Ok(operation)
    }

    fn set_name(&mut self) -> Parsed<String> {
        self.expect_symbol("@", "`@` and the name of a set")?;
        Ok(self.name("the name of a set")?.to_owned())
    }

    /// `{ key timeout 1m limit rate … }`.
    fn dynamic_element(
        &mut self,
        context: &mut Context,
        implied: &mut Vec<Match>,
    ) -> Parsed<(Key, Option<u64>, Vec<ElementStatement>)> {
        self.expect_symbol("{", "`{` and an element")?;
        self.skip_newlines();
        let (key, timeout) = self.dynamic_key(context, implied)?;
        let mut each = Vec::new();
        loop {
            self.skip_newlines();
            match self.peek() {
                Kind::Symbol("}") => break,
                Kind::Word("counter") => {
                    self.at += 1;
                    let counts = self.peek() == Kind::Word("packets");
                    let (packets, bytes) = if counts { self.counts()? } else { (0, 0) };
                    each.push(ElementStatement::Counter { packets, bytes });
                }
                Kind::Word("limit") => {
                    self.at += 1;
                    each.push(ElementStatement::Limit(self.rate()?));
                }
                Kind::Word("quota") => {
                    self.at += 1;
                    each.push(ElementStatement::Quota(self.amount()?));
                }
                Kind::Word(word @ ("ct" | "last")) => {
                    return self.unsupported(word, "elements have limits, counters and quotas of their own");
                }
                Kind::Symbol(":") => {
                    return self.unsupported(":", "rules put elements into sets only, not into maps");
                }
                _ => return self.unexpected("limit, counter, quota or `}`"),
            }
        }
        self.at += 1;
        Ok((key, timeout, each))
    }

    fn dynamic_key(&mut self, context: &mut Context, implied: &mut Vec<Match>) -> Parsed<(Key, Option<u64>)> {
        let key = self.key(context, implied)?;
        let timeout = if self.eat_word("timeout") { Some(self.duration()?) } else { None };
        Ok((key, timeout))
    }

    /// A meter is a set of its own, with the statement that fills it.
    fn meter(&mut self, table: usize, context: &mut Context, implied: &mut Vec<Match>) -> Parsed<Dynamic> {
        let span = self.span();
        let name = self.name("the name of a meter")?.to_owned();
        let size = if self.eat_word("size") { self.u32("the size of the meter")? } else { 0 };
        let size = if size == 0 { DYNAMIC_SIZE } else { size };
        let (key, timeout, each) = self.dynamic_element(context, implied)?;
        if each.is_empty() {
            let remedy = "e.g. `limit rate 10/second`";
            return Err(Fault { span, problem: Problem::Missing { what: "what is metered", remedy } });
        }
        if each.len() > 1 {
            let what = "a second statement in a meter".to_owned();
            let instead = "declare a set with `flags dynamic`, and use `add @set { … }`";
            return Err(Fault { span, problem: Problem::Unsupported { what, instead } });
        }
        let sets = &self.ruleset.tables[table].sets;
        if sets.iter().any(|set| set.name == name) {
            return Err(Fault { span, problem: Problem::Duplicate { kind: Thing::Set, name } });
        }
        let set = Set {
            key: KeyType::TypeOf(key.fields.clone()),
            size: Some(size),
            dynamic: true,
            expires: timeout.is_some(),
            meter: true,
            ..Set::new(name.clone(), span)
        };
        self.new_set(table, set)?;
        // What nft makes of it: an element's time begins anew with each packet.
        let operation = if timeout.is_some() { SetOperation::Update } else { SetOperation::Add };
        Ok(Dynamic { operation, set: name, key, timeout, each, meter: true })
    }
}

impl Set {
    /// A set without type and elements.
    pub(crate) fn new(name: String, span: Span) -> Self {
        Self {
            name,
            key: KeyType::Types(smallvec::SmallVec::new()),
            data: None,
            constant: false,
            interval: false,
            dynamic: false,
            expires: false,
            timeout: None,
            gc_interval: None,
            auto_merge: false,
            size: None,
            comment: None,
            elements: Vec::new(),
            meter: false,
            span,
        }
    }
}
