//! Declarations of sets and maps.
use super::dynamic::DYNAMIC_SIZE;
use super::sets::{Gives, Shape};
use super::{Fault, Parsed, Parser};
use crate::ast::{DataOf, KeyType, Set, SetElement, Span};
use crate::elements::{Merge, normalize};
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

impl Parser<'_, '_> {
    pub(super) fn existing_set(&mut self, table: usize) -> Parsed<usize> {
        let span = self.span();
        let name = self.name("the name of a set or map")?;
        let sets = &self.ruleset.tables[table].sets;
        sets.iter().position(|set| set.name == name).ok_or_else(|| {
            let known = sets.iter().map(|set| set.name.as_str());
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
            None => {
                sets.push(declared);
                sets.len() - 1
            }
            Some(index) => {
                let known = &sets[index];
                let same = Set { elements: Vec::new(), comment: declared.comment.clone(), ..known.clone() }
                    == declared;
                if create || !same {
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

    /// The set without its elements, and where those stand.
    fn set_block(&mut self, name: String, map: bool, span: Span) -> Parsed<(Set, Option<usize>)> {
        const EXPECTED: &str =
            "type, typeof, flags, elements, auto-merge, size, timeout, gc-interval, comment or `}`";
        let opened = self.span().line;
        self.expect_symbol("{", "`{` and the set's type")?;
        let what = if map { "the map" } else { "the set" };
        let mut key = None;
        let mut set = Set::new(name, span);
        let mut elements = None;
        loop {
            self.skip_separators();
            let Kind::Word(word) = self.peek() else {
                if self.eat_symbol("}") {
                    break;
                }
                return self.unexpected_in_block(what, opened, EXPECTED, &[]);
            };
            match word {
                "type" | "typeof" if key.is_some() => {
                    return self.fault(Problem::Twice { what: "the set's type" });
                }
                "type" | "typeof" => {
                    key = Some(self.key_type()?);
                    if map {
                        self.expect_symbol(":", "`:` and the type of what the map gives")?;
                        set.data = Some(self.data_type()?);
                    }
                }
                "flags" => self.set_flags(&mut set)?,
                "auto-merge" => {
                    self.at += 1;
                    set.auto_merge = true;
                }
                "size" => {
                    self.at += 1;
                    set.size = Some(self.u32("the size of the set")?);
                }
                "policy" => {
                    self.at += 1;
                    if !self.eat_word("memory") {
                        self.expect_word("performance", "performance or memory")?;
                    }
                }
                "comment" => set.comment = self.comment()?,
                "elements" => {
                    self.at += 1;
                    self.expect_symbol("=", "`=` and `{`")?;
                    elements = Some(self.at);
                    self.skip_elements()?;
                    // Nothing has to stand between them and what follows, as in nft.
                    continue;
                }
                "timeout" => {
                    self.at += 1;
                    set.timeout = Some(self.duration()?);
                    set.expires = true;
                }
                "gc-interval" => {
                    self.at += 1;
                    set.gc_interval = Some(self.duration()?);
                }
                "counter" | "limit" | "quota" => {
                    return self.unsupported(
                        word,
                        "what each element has is written where a rule adds it: `add @set { key counter }`",
                    );
                }
                _ => return self.unexpected_word(EXPECTED, SET_WORDS),
            }
            self.end_of_statement()?;
        }
        match key {
            Some(key) => {
                set.key = key;
                if set.dynamic && set.size.is_none() {
                    set.size = Some(DYNAMIC_SIZE);
                }
                Ok((set, elements))
            }
            None => {
                let problem = Problem::Missing { what: "the set's type", remedy: "e.g. `type ipv4_addr`" };
                Err(Fault { span, problem })
            }
        }
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

    /// Reads elements and puts them into a set.
    fn elements_of(&mut self, table: usize, index: usize) -> Parsed<()> {
        let span = self.span();
        let set = &self.ruleset.tables[table].sets[index];
        let merge = if set.auto_merge { Merge::Adjacent } else { Merge::Never };
        let types = set.key.data_types();
        let expires = set.expires;
        let shape =
            Shape { types: &types, gives: Gives::from(&set.data), ranges: set.interval, merge, expires };
        let added = self.elements(&shape)?;
        let set = &mut self.ruleset.tables[table].sets[index];
        let mut elements: Vec<SetElement> = std::mem::take(&mut set.elements);
        elements.extend(added);
        set.elements = normalize(elements, merge).map_err(|problem| Fault { span, problem })?;
        if set.size.is_some_and(|size| set.elements.len() > size as usize) {
            let limit = set.size.unwrap_or(0) as usize;
            let problem = Problem::TooMany { what: "elements", limit, remedy: "raise the set's size" };
            return Err(Fault { span, problem });
        }
        Ok(())
    }
}
