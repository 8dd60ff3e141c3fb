//! Declarations of sets and maps.
use super::sets::{Gives, Shape};
use super::{Fault, Parsed, Parser};
use crate::ast::{DataOf, KeyType, Set, Span};
use crate::elements::Merge;
use crate::error::{Problem, Thing};
use crate::lexer::Kind;
use crate::names;
use crate::nearest::nearest;

const SET_WORDS: [&str; 10] = [
    "type",
    "typeof",
    "flags",
    "elements",
    "auto-merge",
    "size",
    "policy",
    "comment",
    "timeout",
    "gc-interval",
];

const EXPECTED: &str =
    "type, typeof, flags, elements, auto-merge, size, timeout, gc-interval, comment or `}`";

impl Parser<'_, '_> {
    pub(super) fn existing_set(&mut self, table: usize) -> Parsed<usize> {
        let span = self.span();
        let name = self.name("the name of a set or map")?;
        let sets = &self.ruleset.tables[table].sets;
        // What a meter fills is the meter's own.
        sets.iter().position(|set| set.name == name && !set.meter).ok_or_else(|| {
            let known = sets.iter().filter(|set| !set.meter).map(|set| set.name.as_str());
            Fault { span, problem: Problem::undeclared(Thing::Set, name, known) }
        })
    }

    /// A set or map behind its keyword.
    pub(super) fn set(&mut self, table: usize, map: bool, create: bool) -> Parsed<()> {
        let span = self.span();
        let name = self.name("the name of a set or map")?;
        let block = self.set_block(name.to_owned(), map, span);
        if block.is_err() {
            self.failed(Thing::Set, name);
        }
        let (declared, elements) = block?;
        let kind = if map { Thing::Map } else { Thing::Set };
        let sets = &mut self.ruleset.tables[table].sets;
        let index = match sets.iter().position(|known| known.name == declared.name) {
            None => self.new_set(table, declared)?,
            Some(index) => {
                if create || !sets[index].is_declared_as(&declared) {
                    return Err(Fault { span, problem: Problem::Duplicate { kind, name: declared.name } });
                }
                index
            }
        };
        match elements {
            None => Ok(()),
            Some(at) => {
                let back = std::mem::replace(&mut self.at, at);
                let added = self.elements_of(table, index);
                self.at = back;
                added
            }
        }
    }

    /// Takes in a set that is not there yet.
    pub(super) fn new_set(&mut self, table: usize, set: Set) -> Parsed<usize> {
        self.count_named(set.span)?;
        let sets = &mut self.ruleset.tables[table].sets;
        sets.push(set);
        Ok(sets.len() - 1)
    }

    /// The set without its elements, and where those stand.
    fn set_block(&mut self, name: String, map: bool, span: Span) -> Parsed<(Set, Option<usize>)> {
        let opened = self.span().line;
        self.expect_symbol("{", "`{` and the set's type")?;
        let what = if map { "the map" } else { "the set" };
        let mut set = Set::new(name, span);
        let (mut typed, mut elements) = (false, None);
        loop {
            self.skip_separators();
            let Kind::Word(word) = self.peek() else {
                if self.eat_symbol("}") {
                    break;
                }
                return self.unexpected_in_block(what, opened, EXPECTED, &[]);
            };
            match word {
                "type" | "typeof" if typed => return self.fault(Problem::Twice { what: "the set's type" }),
                "type" | "typeof" => {
                    self.set_type(&mut set, map)?;
                    typed = true;
                }
                "elements" => {
                    self.at += 1;
                    self.expect_symbol("=", "`=` and `{`")?;
                    elements = Some(self.at);
                    self.skip_elements()?;
                    // Nothing has to stand between them and what follows, as in nft.
                    continue;
                }
                _ => self.set_property(word, &mut set)?,
            }
            self.end_of_statement()?;
        }
        let refused = |problem| Err(Fault { span, problem });
        if !typed {
            return refused(Problem::Missing { what: "the set's type", remedy: "e.g. `type ipv4_addr`" });
        }
        match set.impossible() {
            Some(problem) => refused(problem),
            None => Ok((set, elements)),
        }
    }

    fn set_type(&mut self, set: &mut Set, map: bool) -> Parsed<()> {
        set.key = self.key_type()?;
        if map {
            self.expect_symbol(":", "`:` and the type of what the map gives")?;
            set.data = Some(self.data_type()?);
        }
        Ok(())
    }

    fn set_property(&mut self, word: &str, set: &mut Set) -> Parsed<()> {
        match word {
            "flags" => return self.set_flags(set),
            "comment" => {
                set.comment = self.comment()?;
                return Ok(());
            }
            "counter" | "limit" | "quota" => {
                return self.unsupported(
                    word,
                    "what each element has is written where a rule adds it: `add @set { key counter }`",
                );
            }
            word if !SET_WORDS.contains(&word) => return self.unexpected_word(EXPECTED, SET_WORDS),
            _ => self.at += 1,
        }
        match word {
            "auto-merge" => set.auto_merge = true,
            // None is told by 0, too.
            "size" => set.size = Some(self.u32("the size of the set")?).filter(|&size| size > 0),
            "timeout" => {
                set.timeout = Some(self.duration()?);
                set.expires = true;
            }
            "gc-interval" => set.gc_interval = Some(self.duration()?),
            // `policy`: there is one kind of set only.
            _ if self.eat_word("memory") => {}
            _ => self.expect_word("performance", "performance or memory")?,
        }
        Ok(())
    }

    fn skip_elements(&mut self) -> Parsed<()> {
        if self.eat_symbol("$") {
            self.at += 1;
            return Ok(());
        }
        if self.peek() != Kind::Symbol("{") {
            return self.unexpected("`{` and elements");
        }
        let opened = self.span().line;
        let mut depth = 0_usize;
        loop {
            match self.peek() {
                Kind::End => return self.fault(Problem::Unclosed { what: "the elements", opened }),
                Kind::Symbol("{") => depth += 1,
                Kind::Symbol("}") => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
    }

    fn set_flags(&mut self, set: &mut Set) -> Parsed<()> {
        self.at += 1;
        loop {
            match self.peek() {
                Kind::Word("constant") => set.constant = true,
                Kind::Word("interval") => set.interval = true,
                Kind::Word("timeout") => set.expires = true,
                Kind::Word("dynamic") => set.dynamic = true,
                _ => {
                    let known = ["constant", "interval", "timeout", "dynamic"];
                    return self.unexpected_word("constant, interval, timeout or dynamic", known);
                }
            }
            self.at += 1;
            if !self.eat_symbol(",") {
                return Ok(());
            }
        }
    }

    /// Behind `type` or `typeof`, or behind the colon of a map.
    fn key_type(&mut self) -> Parsed<KeyType> {
        let of_field = self.peek() == Kind::Word("typeof");
        self.at += 1;
        if of_field { Ok(KeyType::TypeOf(self.field_types()?)) } else { self.types() }
    }

    fn types(&mut self) -> Parsed<KeyType> {
        let mut types = smallvec::SmallVec::new();
        loop {
            let Kind::Word(word) = self.peek() else { return self.unexpected("the name of a type") };
            let Some(of) = names::data_type(word) else {
                let nearest = nearest(word, names::data_types());
                return self.fault(Problem::UnknownType { name: word.to_owned(), nearest });
            };
            self.at += 1;
            types.push(of);
            if !self.eat_symbol(".") {
                return Ok(KeyType::Types(types));
            }
        }
    }

    fn data_type(&mut self) -> Parsed<DataOf> {
        if self.eat_word("verdict") {
            return Ok(DataOf::Verdict);
        }
        let interval = self.eat_word("interval");
        // Behind `typeof` the data's type is a field, too.
        let key =
            if self.at_field() && !matches!(self.peek_at(1), Kind::Newline | Kind::Symbol(_) | Kind::End) {
                KeyType::TypeOf(self.field_types()?)
            } else {
                self.types()?
            };
        Ok(DataOf::Values { key, interval })
    }

    pub(super) fn add_elements(&mut self, table: usize) -> Parsed<()> {
        let set = self.existing_set(table)?;
        self.elements_of(table, set)
    }

    /// Reads elements and puts them behind those of a set.
    fn elements_of(&mut self, table: usize, index: usize) -> Parsed<()> {
        let span = self.span();
        let set = &mut self.ruleset.tables[table].sets[index];
        let mut elements = std::mem::take(&mut set.elements);
        let types = set.key.data_types();
        let shape = Shape {
            types: &types,
            gives: Gives::from(&set.data),
            ranges: set.interval,
            merge: Merge::Never,
            expires: set.expires,
            in_rule: false,
        };
        self.reading[table].lists.entry(index).or_default().push((elements.len(), span));
        let added = self.list(&shape, &mut elements);
        self.ruleset.tables[table].sets[index].elements = elements;
        added
    }
}

impl Set {
    /// Whether a second declaration says the same; elements and comments are not compared.
    fn is_declared_as(&mut self, declared: &Self) -> bool {
        let elements = std::mem::take(&mut self.elements);
        let same = Self { comment: declared.comment.clone(), ..self.clone() } == *declared;
        self.elements = elements;
        same
    }

    /// What Linux has no kind of set for.
    fn impossible(&self) -> Option<Problem> {
        if self.dynamic && self.interval {
            return Some(Problem::Unsupported {
                what: "`flags dynamic,interval`".to_owned(),
                instead: "rules put single values into sets: leave out one of the two",
            });
        }
        if self.gc_interval.is_some() && !self.expires {
            let remedy = "only what has a time is collected: leave out `gc-interval`, or add the flag";
            return Some(Problem::Missing { what: "`flags timeout`", remedy });
        }
        None
    }
}
