//! What stands at the top of a file: commands and definitions.
use super::reading::Reading;
use super::{Define, Fault, Parsed, Parser};
use crate::ast::{Span, Table};
use crate::error::{Problem, Thing};
use crate::field::TableFamily;
use crate::lexer::Kind;

const EXPECTED: &str = "a command: table, add, create, flush, delete, define, include";
/// What to do about named objects that the subset has not.
pub(super) const OTHER_OBJECTS: &str =
    "of named objects there are counters, limits, quotas, sets, maps and flow tables; leave it out";
const COMMANDS: [&str; 20] = [
    "table",
    "add",
    "create",
    "flush",
    "delete",
    "define",
    "redefine",
    "undefine",
    "include",
    "insert",
    "destroy",
    "limit",
    "quota",
    "flowtable",
    "chain",
    "set",
    "map",
    "element",
    "rule",
    "counter",
];

impl<'a> Parser<'_, 'a> {
    pub(super) fn command(&mut self) -> Parsed<()> {
        let Kind::Word(word) = self.peek() else {
            return self.unexpected(EXPECTED);
        };
        match word {
            "table" => self.table_command(false),
            "add" => {
                self.at += 1;
                self.add(false)
            }
            "create" => {
                self.at += 1;
                self.add(true)
            }
            "define" => self.define(),
            "redefine" | "undefine" => self.define_again(word == "redefine"),
            "flush" => self.flush(),
            "delete" | "destroy" => self.delete(word == "destroy"),
            "insert" => self.insert(),
            "chain" | "set" | "map" | "element" | "rule" | "counter" | "limit" | "quota" | "flowtable" => {
                self.add(false)
            }
            "include" => self.not_included(),
            "replace" => self.unsupported(word, "write the rules in the order in which they are to be"),
            "list" | "reset" | "monitor" | "describe" | "export" | "import" | "rename" | "get" => {
                self.unsupported(word, "a rule set only declares; ask the loaded rule set for what it holds")
            }
            "ct" | "secmark" | "synproxy" => self.unsupported(word, OTHER_OBJECTS),
            _ => self.unexpected_word(EXPECTED, COMMANDS),
        }
    }

    fn add(&mut self, create: bool) -> Parsed<()> {
        let Kind::Word(word) = self.peek() else {
            return self.unexpected("table, chain, rule, set, map, element, counter, limit or quota");
        };
        match word {
            "table" => return self.table_command(create),
            "ct" | "secmark" | "synproxy" => return self.unsupported(word, OTHER_OBJECTS),
            "chain" | "rule" | "set" | "map" | "counter" | "element" | "limit" | "quota" | "flowtable" => {
                self.at += 1;
            }
            // `add ip filter input …`: nft takes what is no keyword for a rule.
            _ => {
                let table = self.existing_table()?;
                let chain = self.existing_chain(table)?;
                return self.rule(table, chain);
            }
        }
        let table = self.existing_table()?;
        match word {
            "chain" => self.chain(table, create, &mut Vec::new())?,
            "rule" => {
                let chain = self.chain_of_rule(table)?;
                return self.rule(table, chain);
            }
            "set" => self.set(table, false, create)?,
            "map" => self.set(table, true, create)?,
            "counter" => self.counter_object(table, create)?,
            "element" => self.add_elements(table)?,
            "limit" => self.limit_object(table, create)?,
            "quota" => self.quota_object(table, create)?,
            _ => self.flowtable(table, create)?,
        }
        self.end_of_statement()
    }

    /// The chain that a rule is for, and no position in it.
    fn chain_of_rule(&mut self, table: usize) -> Parsed<usize> {
        let chain = self.existing_chain(table)?;
        if let Kind::Word(word @ ("position" | "handle" | "index")) = self.peek() {
            return self.unsupported(word, "write the rules in the order in which they are to be");
        }
        Ok(chain)
    }

    /// `insert rule`: before those that are there.
    fn insert(&mut self) -> Parsed<()> {
        self.at += 1;
        self.expect_word("rule", "`rule`")?;
        let table = self.existing_table()?;
        let chain = self.chain_of_rule(table)?;
        self.rule(table, chain)?;
        // What it refers to is looked up at its place, which changes here.
        self.settle_references();
        if let Some(rule) = self.ruleset.tables[table].chains[chain].rules.pop() {
            self.reading[table].inserted.entry(chain).or_default().push(rule);
        }
        Ok(())
    }

    /// An `include` that was not carried out: it does not name a file.
    pub(super) fn not_included(&mut self) -> Parsed<()> {
        self.at += 1;
        match self.peek() {
            // What is wrong with it has been told.
            Kind::Quoted(_) => {
                self.at += 1;
                self.end_of_statement()
            }
            _ => self.unexpected("the name of a file in quotes"),
        }
    }

    /// A family and the name of a table that exists.
    fn existing_table(&mut self) -> Parsed<usize> {
        let family = self.family()?;
        let span = self.span();
        let name = self.name("the name of a table")?;
        self.table_index(family, name).ok_or_else(|| {
            let known = self.ruleset.tables.iter().filter(|table| table.family == family);
            let known = known.map(|table| table.name.as_str());
            Fault { span, problem: Problem::undeclared(Thing::Table, name, known) }
        })
    }

    fn existing_chain(&mut self, table: usize) -> Parsed<usize> {
        let span = self.span();
        let name = self.name("the name of a chain")?;
        let chains = &self.ruleset.tables[table].chains;
        chains.iter().position(|chain| chain.name == name).ok_or_else(|| {
            let known = chains.iter().map(|chain| chain.name.as_str());
            Fault { span, problem: Problem::undeclared(Thing::Chain, name, known) }
        })
    }

    fn table_command(&mut self, create: bool) -> Parsed<()> {
        self.at += 1;
        let family = self.family()?;
        let span = self.span();
        let name = self.name("the name of a table")?;
        let table = self.declare_table(family, name, span, create)?;
        let opened = self.span().line;
        if self.eat_symbol("{") {
            self.table_block(table, opened)?;
        }
        if self.peek() == Kind::Symbol("}") {
            return self.unexpected(EXPECTED);
        }
        self.end_of_statement()
    }

    fn declare_table(&mut self, family: TableFamily, name: &str, span: Span, create: bool) -> Parsed<usize> {
        if let Some(index) = self.table_index(family, name) {
            return match create {
                true => Err(Fault {
                    span,
                    problem: Problem::Duplicate { kind: Thing::Table, name: name.to_owned() },
                }),
                false => Ok(index),
            };
        }
        self.count_named(span)?;
        self.reading.push(Reading::default());
        self.ruleset.tables.push(Table {
            family,
            name: name.to_owned(),
            comment: None,
            counters: Vec::new(),
            limits: Vec::new(),
            quotas: Vec::new(),
            flowtables: Vec::new(),
            sets: Vec::new(),
            chains: Vec::new(),
            span,
        });
        Ok(self.ruleset.tables.len() - 1)
    }

    pub(super) fn define(&mut self) -> Parsed<()> {
        self.at += 1;
        let span = self.span();
        let name = self.name("the name of a variable")?;
        if self.define_of(name).is_some() {
            return Err(Fault {
                span,
                problem: Problem::Duplicate { kind: Thing::Variable, name: name.to_owned() },
            });
        }
        self.define_as(name, span)
    }

    /// `redefine NAME = value` and `undefine NAME`. What uses the old value already goes on using it; variables from
    /// around the block come back behind it.
    pub(super) fn define_again(&mut self, anew: bool) -> Parsed<()> {
        self.at += 1;
        let span = self.span();
        let name = self.name("the name of a variable")?;
        let known = self.define_of(name);
        if anew {
            // The new value may use the old one.
            self.define_as(name, span)?;
        } else if known.is_none() {
            return Err(Fault { span, problem: self.unknown_variable(name) });
        }
        if let Some(index) = known.filter(|&index| index >= self.scope) {
            self.defines[index].hidden = true;
        }
        if anew { Ok(()) } else { self.end_of_statement() }
    }

    fn define_as(&mut self, name: &'a str, span: Span) -> Parsed<()> {
        let value = self.define_value();
        if value.is_err() {
            self.failed(Thing::Variable, name);
        }
        let (from, to) = value?;
        self.defines.push(Define { name, from, to, used: false, hidden: false, span });
        self.end_of_statement()
    }

    /// Where the tokens of a variable's value begin and end.
    fn define_value(&mut self) -> Parsed<(usize, usize)> {
        self.expect_symbol("=", "`=` and a value")?;
        let from = self.at;
        let opened = self.span().line;
        let mut depth = 0_usize;
        loop {
            match self.peek() {
                Kind::End => break,
                Kind::Newline | Kind::Symbol(";") if depth == 0 => break,
                Kind::Symbol("{") => depth += 1,
                Kind::Symbol("}") if depth == 0 => break,
                Kind::Symbol("}") => depth -= 1,
                Kind::Symbol(",") if depth == 0 => {
                    return self.unexpected("braces around a list of values: `define NAME = { a, b }`");
                }
                Kind::Symbol("$") => {
                    let Kind::Word(used) = self.peek_at(1) else {
                        return self.unexpected("a variable: `$NAME`");
                    };
                    let Some(index) = self.define_of(used) else {
                        return self.fault(self.unknown_variable(used));
                    };
                    self.defines[index].used = true;
                }
                _ => {}
            }
            self.at += 1;
        }
        if depth > 0 {
            return self.fault(Problem::Unclosed { what: "the variable's value", opened });
        }
        if self.at == from {
            return self.unexpected("the variable's value");
        }
        Ok((from, self.at))
    }

    fn flush(&mut self) -> Parsed<()> {
        self.at += 1;
        match self.peek() {
            Kind::Word("ruleset") => {
                self.at += 1;
                let family = match self.peek() {
                    Kind::Word(_) => Some(self.family()?),
                    _ => None,
                };
                for table in (0..self.ruleset.tables.len()).rev() {
                    if family.is_none_or(|family| family == self.ruleset.tables[table].family) {
                        self.remove_table(table);
                    }
                }
            }
            Kind::Word("table") => {
                self.at += 1;
                let table = self.existing_table()?;
                for chain in 0..self.ruleset.tables[table].chains.len() {
                    self.flush_chain(table, chain);
                }
            }
            Kind::Word("chain") => {
                self.at += 1;
                let table = self.existing_table()?;
                let chain = self.existing_chain(table)?;
                self.flush_chain(table, chain);
            }
            Kind::Word("set" | "map") => {
                self.at += 1;
                let table = self.existing_table()?;
                let set = self.existing_set(table)?;
                self.ruleset.tables[table].sets[set].elements.clear();
                self.reading[table].lists.remove(&set);
            }
            _ => return self.unexpected("ruleset, table, chain, set or map"),
        }
        self.end_of_statement()
    }

    /// `delete`, and `destroy`, which may name what is not there.
    fn delete(&mut self, destroy: bool) -> Parsed<()> {
        const TABLES_ONLY: &str = "only whole tables can be removed; leave the rest out of the file";
        self.at += 1;
        if !matches!(self.peek(), Kind::Word("table")) {
            return self.unsupported(if destroy { "destroy" } else { "delete" }, TABLES_ONLY);
        }
        self.at += 1;
        let begin = self.at;
        match self.existing_table() {
            Ok(table) => self.remove_table(table),
            Err(Fault { problem: Problem::Undeclared { .. }, .. }) if destroy => {
                self.at = begin;
                self.family()?;
                self.name("the name of a table")?;
            }
            Err(fault) => return Err(fault),
        }
        self.end_of_statement()
    }
}
