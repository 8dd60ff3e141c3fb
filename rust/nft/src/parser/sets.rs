//! Elements of sets and maps.
use smallvec::SmallVec;

use super::{Fault, MAX_ALL_ELEMENTS, MAX_COMMENT, MAX_ELEMENTS, MAX_RULE_ELEMENTS, Parsed, Parser};
use crate::ast::{Data, DataOf, Lookup, MapSource, SetElement, Verdict};
use crate::elements::{Merge, normalize};
use crate::error::Problem;
use crate::field::DataType;
use crate::lexer::Kind;

/// What can stand behind an element.
pub(super) const GOES_ON: &str = "`,` or `}`";

/// What elements stand for.
#[derive(Debug, Clone)]
pub(super) enum Gives {
    Nothing,
    Verdict,
    Values {
        types: SmallVec<[DataType; 2]>,
        /// Values may be ranges.
        ranges: bool,
    },
    /// An address, perhaps with a port; all elements alike.
    Address(DataType),
}

impl From<&Option<DataOf>> for Gives {
    fn from(data: &Option<DataOf>) -> Self {
        match data {
            None => Self::Nothing,
            Some(DataOf::Verdict) => Self::Verdict,
            Some(DataOf::Values { key, interval }) => {
                Self::Values { types: key.data_types(), ranges: *interval }
            }
        }
    }
}

/// What a list of elements has to be like.
pub(super) struct Shape<'t> {
    pub types: &'t [DataType],
    pub gives: Gives,
    /// Keys may be ranges.
    pub ranges: bool,
    pub merge: Merge,
    /// Elements may have a time.
    pub expires: bool,
    /// The list stands in a rule.
    pub in_rule: bool,
}

impl Parser<'_, '_> {
    pub(super) fn anonymous_set(&mut self, types: &[DataType]) -> Parsed<Vec<SetElement>> {
        let ranges = !types.contains(&DataType::Boolean);
        if !ranges {
            return self.unsupported("{", "compare with `exists` or `missing`");
        }
        self.elements(&Shape {
            types,
            gives: Gives::Nothing,
            ranges,
            merge: Merge::Overlapping,
            expires: false,
            in_rule: true,
        })
    }

    /// `{ … }` or `@name` behind `vmap` or `map`.
    pub(super) fn map_source(&mut self, types: &[DataType], gives: Gives) -> Parsed<MapSource> {
        if self.eat_symbol("$") {
            return self.expand(|parser| parser.map_source(types, gives));
        }
        if self.eat_symbol("@") {
            return Ok(MapSource::Named(self.name("the name of a map")?.to_owned()));
        }
        let shape = Shape { types, gives, ranges: true, merge: Merge::Never, expires: false, in_rule: true };
        Ok(MapSource::Anonymous(self.elements(&shape)?))
    }

    /// A whole list in braces, in order.
    fn elements(&mut self, shape: &Shape<'_>) -> Parsed<Vec<SetElement>> {
        let span = self.span();
        let mut elements = Vec::new();
        self.list(shape, &mut elements)?;
        let parts = |element: &SetElement| element.data.as_ref().map_or(0, Data::parts);
        let alike = elements.iter().all(|element| parts(element) == parts(&elements[0]));
        if !alike {
            let problem = Problem::Missing { what: "a port", remedy: "give all elements a port or none" };
            return Err(Fault { span, problem });
        }
        normalize(elements, shape.merge, true).map_err(|problem| Fault { span, problem })
    }

    /// A list in braces or in a variable, behind what there is.
    pub(super) fn list(&mut self, shape: &Shape<'_>, elements: &mut Vec<SetElement>) -> Parsed<()> {
        if self.eat_symbol("$") {
            return self.expand(|parser| parser.list(shape, elements));
        }
        self.expect_symbol("{", "`{` and elements")?;
        self.skip_newlines();
        loop {
            if self.peek() == Kind::Symbol("$") && self.nested_set() {
                self.list(shape, elements)?;
            } else {
                self.count_element(elements.len(), shape.in_rule)?;
                elements.push(self.element(shape)?);
            }
            self.skip_newlines();
            let comma = self.eat_symbol(",");
            self.skip_newlines();
            if self.eat_symbol("}") {
                return Ok(());
            }
            if !comma {
                return self.unexpected(GOES_ON);
            }
        }
    }

    /// Counts one element more of a list that has so many.
    fn count_element(&mut self, known: usize, in_rule: bool) -> Parsed<()> {
        const LARGER: &str = "use prefixes or ranges, or several sets";
        const SHARED: &str = "declare a set and ask for it in the rules: they share its elements";
        let in_rules = self.rule_elements + usize::from(in_rule);
        let limits = [
            ("elements in a set", known + 1, MAX_ELEMENTS, LARGER),
            (
                "elements in the sets of rules, each use of a variable counted",
                in_rules,
                MAX_RULE_ELEMENTS,
                SHARED,
            ),
            ("elements in all sets", self.elements + 1, MAX_ALL_ELEMENTS, "use prefixes or ranges"),
        ];
        if let Some(&(what, _, limit, remedy)) = limits.iter().find(|(_, count, limit, _)| count > limit) {
            return self.fault(Problem::TooMany { what, limit, remedy });
        }
        self.rule_elements = in_rules;
        self.elements += 1;
        Ok(())
    }

    fn nested_set(&mut self) -> bool {
        self.at += 1;
        let nested = self.variable_is_set();
        self.at -= 1;
        nested
    }

    fn element(&mut self, shape: &Shape<'_>) -> Parsed<SetElement> {
        if let Kind::Symbol("*") = self.peek() {
            return self.unsupported("*", "put what is to hold for the rest into the next rule");
        }
        let span = self.span();
        let key = self.parts(shape.types)?;
        if !shape.ranges && key.iter().any(|range| !range.is_single()) {
            let problem =
                Problem::Missing { what: "`flags interval`", remedy: "a set of ranges or prefixes needs it" };
            return Err(Fault { span, problem });
        }
        let timeout = self.element_time(shape)?;
        if let Kind::Word(word @ ("counter" | "limit" | "quota")) = self.peek() {
            return self.unsupported(word, "elements have a key, a value, a time and a comment only");
        }
        let comment = match self.eat_word("comment") {
            true => Some(self.text_value("the comment", MAX_COMMENT)?.into_boxed_str()),
            false => None,
        };
        if matches!(shape.gives, Gives::Nothing) {
            if self.peek() == Kind::Symbol(":") {
                return self.unexpected("no value: this is a set, not a map");
            }
            return Ok(SetElement { key, data: None, timeout, comment });
        }
        self.expect_symbol(":", "`:` and what the element stands for")?;
        let data = Some(self.data(&shape.gives)?);
        Ok(SetElement { key, data, timeout, comment })
    }

    /// `timeout 1h expires 30m`: what is left of an element's time.
    fn element_time(&mut self, shape: &Shape<'_>) -> Parsed<Option<u64>> {
        let span = self.span();
        let mut time = None;
        while let Kind::Word("timeout" | "expires") = self.peek() {
            self.at += 1;
            time = Some(self.duration()?);
        }
        if time.is_some() && !shape.expires {
            let problem = Problem::Missing {
                what: "`flags timeout`",
                remedy: "a set whose elements have a time needs it",
            };
            return Err(Fault { span, problem });
        }
        Ok(time)
    }

    fn data(&mut self, gives: &Gives) -> Parsed<Data> {
        match gives {
            Gives::Nothing | Gives::Verdict => Ok(Data::Verdict(self.verdict()?)),
            Gives::Values { types, ranges } => {
                let span = self.span();
                let values = self.parts(types)?;
                if !ranges && values.iter().any(|range| !range.is_single()) {
                    let problem = Problem::Missing {
                        what: "`interval`",
                        remedy: "a map of ranges has it before the type",
                    };
                    return Err(Fault { span, problem });
                }
                Ok(Data::Values(values))
            }
            Gives::Address(of) => {
                let mut values = self.parts(&[*of])?;
                if self.eat_symbol(".") {
                    values.push(self.interval(DataType::InetService)?);
                }
                Ok(Data::Values(values))
            }
        }
    }

    pub(super) fn verdict(&mut self) -> Parsed<Verdict> {
        let Kind::Word(word) = self.peek() else { return self.unexpected("a verdict") };
        let verdict = match word {
            "accept" => Verdict::Accept,
            "drop" => Verdict::Drop,
            "continue" => Verdict::Continue,
            "return" => Verdict::Return,
            "jump" | "goto" => {
                self.at += 1;
                let chain = self.name("the name of a chain")?.to_owned();
                return Ok(if word == "jump" { Verdict::Jump(chain) } else { Verdict::Goto(chain) });
            }
            "queue" => {
                return self.unsupported(word, "log the packet, or decide about it with accept or drop");
            }
            _ => {
                let known = ["accept", "drop", "continue", "return", "jump", "goto"];
                return self.unexpected_word("accept, drop, continue, return, jump or goto", known);
            }
        };
        self.at += 1;
        Ok(verdict)
    }

    /// What stands behind a key and `map` or `vmap`.
    pub(super) fn lookup(&mut self, key: crate::ast::Key, gives: Gives) -> Parsed<Lookup> {
        let types: SmallVec<[DataType; 2]> = key.fields.iter().map(|field| field.data_type()).collect();
        let map = self.map_source(&types, gives)?;
        Ok(Lookup { key, map })
    }
}
