//! What stands at the top of a file: commands and definitions.
use super::{Define, Fault, Parsed, Parser};
use crate::ast::{Span, Table};
use crate::error::{Problem, Thing};
use crate::field::TableFamily;
use crate::lexer::Kind;

const EXPECTED: &str = "a command: table, add, create, flush, delete, define";
const COMMANDS: [&str; 12] = [
    "table", "add", "create", "flush", "delete", "define", "chain", "set", "map", "element", "rule",
    "counter",
];

impl<'a> Parser<'a> {
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
            "flush" => self.flush(),
            "delete" | "destroy" => self.delete(),
            "chain" | "set" | "map" | "element" | "rule" | "counter" => self.add(false),
            "include" => {
                self.unsupported(word, "put the file's text here, or join the files before loading them")
            }
            "redefine" | "undefine" => self.unsupported(word, "use another name with `define`"),
            "insert" | "replace" => {
                self.unsupported(word, "write the rules in the order in which they are to be")
            }
            "list" | "reset" | "monitor" | "describe" | "export" | "import" | "rename" | "get" => {
                self.unsupported(word, "a rule set only declares; ask the loaded rule set for what it holds")
            }
            "flowtable" | "ct" | "limit" | "quota" | "secmark" | "synproxy" => {
                self.unsupported(word, "named objects other than counters, sets and maps are left out")
            }
            _ => self.unexpected_word(EXPECTED, COMMANDS),
        }
    }

    fn add(&mut self, create: bool) -> Parsed<()> {
        match self.peek() {
            Kind::Word("table") => self.table_command(create),
            Kind::Word("chain") => {
                self.at += 1;
                let table = self.existing_table()?;
                self.chain(table, create, &mut Vec::new())?;
                self.end_of_statement()
            }
            Kind::Word("rule") => {
                self.at += 1;
                let table = self.existing_table()?;
                let chain = self.existing_chain(table)?;
                if let Kind::Word(word @ ("position" | "handle" | "index")) = self.peek() {
                    return self.unsupported(word, "write the rules in the order in which they are to be");
                }
                self.rule(table, chain)
            }
            Kind::Word("set") => {
                self.at += 1;
                let table = self.existing_table()?;
                self.set(table, false, create)?;
                self.end_of_statement()
            }
            Kind::Word("map") => {
                self.at += 1;
                let table = self.existing_table()?;
                self.set(table, true, create)?;
                self.end_of_statement()
            }
            Kind::Word("counter") => {
                self.at += 1;
                let table = self.existing_table()?;
                self.counter_object(table, create)?;
                self.end_of_statement()
            }
            Kind::Word("element") => {
                self.at += 1;
                let table = self.existing_table()?;
                self.add_elements(table)?;
                self.end_of_statement()
            }
            Kind::Word(word @ ("flowtable" | "ct" | "limit" | "quota" | "secmark" | "synproxy")) => {
                self.unsupported(word, "named objects other than counters, sets and maps are left out")
            }
            // `add ip filter input …`: nft takes what is no keyword for a rule.
            Kind::Word(_) => {
                let table = self.existing_table()?;
                let chain = self.existing_chain(table)?;
                self.rule(table, chain)
            }
            _ => self.unexpected("table, chain, rule, set, map, element or counter"),
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
        self.ruleset.tables.push(Table {
            family,
            name: name.to_owned(),
            comment: None,
            counters: Vec::new(),
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
        if self.defines.iter().any(|define| define.name == name) {
            return Err(Fault {
                span,
                problem: Problem::Duplicate { kind: Thing::Variable, name: name.to_owned() },
            });
        }
        let value = self.define_value();
        if value.is_err() {
            self.failed.insert(name);
        }
        let (from, to) = value?;
        self.defines.push(Define { name, from, to, used: false, span });
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
                    let Some(define) = self.defines.iter_mut().rev().find(|define| define.name == used)
                    else {
                        return self.fault(self.unknown_variable(used));
                    };
                    define.used = true;
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
                self.ruleset.tables.retain(|table| family.is_some_and(|family| family != table.family));
            }
            Kind::Word("table") => {
                self.at += 1;
                let table = self.existing_table()?;
                for chain in &mut self.ruleset.tables[table].chains {
                    self.rules = self.rules.saturating_sub(chain.rules.len());
                    chain.rules.clear();
                }
            }
            Kind::Word("chain") => {
                self.at += 1;
                let table = self.existing_table()?;
                let chain = self.existing_chain(table)?;
                self.ruleset.tables[table].chains[chain].rules.clear();
            }
            Kind::Word("set" | "map") => {
                self.at += 1;
                let table = self.existing_table()?;
                let set = self.existing_set(table)?;
                self.ruleset.tables[table].sets[set].elements.clear();
            }
            _ => return self.unexpected("ruleset, table, chain, set or map"),
        }
        self.end_of_statement()
    }

    fn delete(&mut self) -> Parsed<()> {
        let destroy = self.eat_word("destroy");
        if !destroy {
            self.at += 1;
        } else {
            self.at -= 1;
            return self.unsupported(
                "destroy",
                "nft knows it from version 1.0.7 on: write `table …` and then `delete table …`",
            );
        }
        if !matches!(self.peek(), Kind::Word("table")) {
            return self
                .unsupported("delete", "only whole tables can be deleted; leave the rest out of the file");
        }
        self.at += 1;
        let table = self.existing_table()?;
        self.ruleset.tables.remove(table);
        self.end_of_statement()
    }
}
