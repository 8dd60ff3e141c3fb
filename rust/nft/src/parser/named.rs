//! Declarations of counters, limits, quotas and flow tables.
use super::{Fault, Parsed, Parser};
use crate::ast::{CounterObject, Flowtable, Hook, Object, Span};
use crate::error::{Problem, Thing};
use crate::lexer::Kind;

/// The longest name of a port (`IFNAMSIZ` of Linux, without its final zero).
const MAX_DEVICE: usize = 15;

/// The most ports of a flow table (`NFT_NETDEVICE_MAX` of Linux).
const MAX_DEVICES: usize = 256;

/// What is declared, where, and whether it has to be new.
struct Said {
    kind: Thing,
    name: String,
    span: Span,
    create: bool,
}

impl Parser<'_, '_> {
    /// A named limit behind its keyword.
    pub(super) fn limit_object(&mut self, table: usize, create: bool) -> Parsed<()> {
        let limit = self.object("the limit", Thing::Limit, Self::rate)?;
        let said = Said { kind: Thing::Limit, name: limit.name.clone(), span: limit.span, create };
        self.declare(said, limit, |limit| &limit.name, |parser| &mut parser.ruleset.tables[table].limits)
    }

    /// A named quota behind its keyword.
    pub(super) fn quota_object(&mut self, table: usize, create: bool) -> Parsed<()> {
        let quota = self.object("the quota", Thing::Quota, Self::amount)?;
        let said = Said { kind: Thing::Quota, name: quota.name.clone(), span: quota.span, create };
        self.declare(said, quota, |quota| &quota.name, |parser| &mut parser.ruleset.tables[table].quotas)
    }

    /// A named counter behind its keyword. What it has counted may be left out, and a second declaration says nothing new.
    pub(super) fn counter_object(&mut self, table: usize, create: bool) -> Parsed<()> {
        const EXPECTED: &str = "packets, comment or `}`";
        let span = self.span();
        let name = self.name("the name of a counter")?.to_owned();
        let (counts, comment) = if self.peek() == Kind::Word("packets") {
            (Some(self.counts()?), None)
        } else {
            self.block("the counter", EXPECTED, |parser| match parser.peek() {
                Kind::Word("packets") => parser.counts(),
                _ => parser.unexpected_word(EXPECTED, ["packets", "comment"]),
            })?
        };
        let (packets, bytes) = counts.unwrap_or_default();
        match self.ruleset.tables[table].counters.iter().any(|known| known.name == name) {
            true if create => Err(Fault { span, problem: Problem::Duplicate { kind: Thing::Counter, name } }),
            true => Ok(()),
            false => {
                self.count_named(span)?;
                let counter = CounterObject { name, packets, bytes, comment, span };
                self.ruleset.tables[table].counters.push(counter);
                Ok(())
            }
        }
    }

    /// A name, and what `read` reads, in a block or not.
    fn object<T>(
        &mut self,
        what: &'static str,
        kind: Thing,
        read: impl Fn(&mut Self) -> Parsed<T>,
    ) -> Parsed<Object<T>> {
        let span = self.span();
        let name = self.name("a name")?;
        let told = match self.peek() {
            Kind::Symbol("{") => self.block(what, "`}`", read),
            _ => read(self).map(|value| (Some(value), None)),
        };
        let whole = told.and_then(|(value, comment)| match value {
            Some(value) => Ok(Object { name: name.to_owned(), value, comment, span }),
            None => {
                let limit = kind == Thing::Limit;
                let remedy = if limit { "e.g. `rate 10/second`" } else { "e.g. `over 10 mbytes`" };
                Err(Fault { span, problem: Problem::Missing { what, remedy } })
            }
        });
        if whole.is_err() {
            self.failed(kind, name);
        }
        whole
    }

    /// What `read` reads, once, and a comment; nothing where no block begins.
    fn block<T>(
        &mut self,
        what: &'static str,
        expected: &'static str,
        read: impl Fn(&mut Self) -> Parsed<T>,
    ) -> Parsed<(Option<T>, Option<String>)> {
        let (mut value, mut comment) = (None, None);
        let opened = self.span().line;
        if !self.eat_symbol("{") {
            return Ok((value, comment));
        }
        loop {
            self.skip_separators();
            match self.peek() {
                Kind::Symbol("}") => break,
                Kind::Word("comment") => comment = self.comment()?,
                Kind::End => return self.unexpected_in_block(what, opened, expected, &[]),
                _ => {
                    let span = self.span();
                    if value.replace(read(self)?).is_some() {
                        return Err(Fault { span, problem: Problem::Twice { what } });
                    }
                }
            }
            self.end_of_statement()?;
        }
        self.at += 1;
        Ok((value, comment))
    }

    /// A flow table behind its keyword.
    pub(super) fn flowtable(&mut self, table: usize, create: bool) -> Parsed<()> {
        const EXPECTED: &str = "hook, devices, flags, counter or `}`";
        let span = self.span();
        let name = self.name("the name of a flow table")?.to_owned();
        let mut flowtable =
            Flowtable { name, priority: 0, devices: Vec::new(), offload: false, counter: false, span };
        let mut hooked = false;
        let opened = self.span().line;
        self.expect_symbol("{", "`{` and the flow table's hook")?;
        loop {
            self.skip_separators();
            match self.peek() {
                Kind::Symbol("}") => break,
                Kind::Word("hook") => {
                    self.at += 1;
                    self.expect_word("ingress", "`ingress`")?;
                    self.expect_word("priority", "`priority`")?;
                    // Of the named priorities only `filter` is one of that hook.
                    flowtable.priority = self.priority(Hook::Forward)?;
                    hooked = true;
                }
                Kind::Word("devices") => {
                    self.at += 1;
                    self.expect_symbol("=", "`=` and `{`")?;
                    self.devices(&mut flowtable.devices)?;
                }
                Kind::Word("flags") => {
                    self.at += 1;
                    self.expect_word("offload", "`offload`")?;
                    flowtable.offload = true;
                }
                Kind::Word("counter") => {
                    self.at += 1;
                    flowtable.counter = true;
                }
                _ => {
                    let known = &["hook", "devices", "flags", "counter"];
                    return self.unexpected_in_block("the flow table", opened, EXPECTED, known);
                }
            }
            self.end_of_statement()?;
        }
        self.at += 1;
        if !hooked {
            let remedy = "e.g. `hook ingress priority filter`";
            return Err(Fault { span, problem: Problem::Missing { what: "the flow table's hook", remedy } });
        }
        let said = Said { kind: Thing::Flowtable, name: flowtable.name.clone(), span, create };
        self.declare(
            said,
            flowtable,
            |known| &known.name,
            |parser| &mut parser.ruleset.tables[table].flowtables,
        )
    }

    /// Takes a declaration in, unless one of its name is there.
    fn declare<T: PartialEq>(
        &mut self,
        said: Said,
        declared: T,
        name: impl Fn(&T) -> &String,
        known: impl Fn(&mut Self) -> &mut Vec<T>,
    ) -> Parsed<()> {
        match known(self).iter().find(|known| *name(known) == said.name) {
            None => {
                self.count_named(said.span)?;
                known(self).push(declared);
                Ok(())
            }
            Some(same) if !said.create && *same == declared => Ok(()),
            Some(_) => {
                let problem = Problem::Duplicate { kind: said.kind, name: said.name };
                Err(Fault { span: said.span, problem })
            }
        }
    }

    /// `{ lan, "wan" }`, or a variable that holds that.
    fn devices(&mut self, devices: &mut Vec<String>) -> Parsed<()> {
        if self.eat_symbol("$") {
            return self.expand(|parser| parser.devices(devices));
        }
        if !self.eat_symbol("{") {
            return self.device(devices);
        }
        loop {
            self.skip_newlines();
            if self.eat_symbol("}") {
                return Ok(());
            }
            match self.eat_symbol("$") {
                true => self.expand(|parser| parser.devices(devices))?,
                false => self.device(devices)?,
            }
            self.skip_newlines();
            if !self.eat_symbol(",") && self.peek() != Kind::Symbol("}") {
                return self.unexpected("`,` or `}`");
            }
        }
    }

    fn device(&mut self, devices: &mut Vec<String>) -> Parsed<()> {
        if devices.len() >= MAX_DEVICES {
            return self.fault(Problem::TooMany {
                what: "ports of a flow table",
                limit: MAX_DEVICES,
                remedy: "leave some out: every flow is cached without being named",
            });
        }
        let name = self.text_value("the name of a port", MAX_DEVICE)?;
        devices.push(name);
        Ok(())
    }
}
