//! Reads the tables of a TOML document: every mistake is noted with its place, and reading goes on.
use super::build::nearest_name;
use super::mistake::{Mistake, Problems};
use super::place::{Place, Placed, Text};
use crate::headers::similar;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Keys of the file itself that are no tables: behind the heading of a table TOML takes them for keys of that.
const FILE_KEYS: &[&str] = &["rules", "rules_file"];

/// A document that is being read.
pub struct Document<'t> {
    /// What errors call it.
    pub file: String,
    /// Its text.
    pub source: Text<'t>,
    /// What is wrong with it so far.
    pub problems: Problems,
}

/// A value and where it stands.
pub type Value<'t> = Spanned<DeValue<'t>>;

/// A table whose keys are taken one by one.
pub struct Table<'t> {
    /// What people call it.
    pub name: &'static str,
    /// Where it begins.
    pub place: Place,
    entries: Vec<(String, Value<'t>)>,
}

impl<'t> Table<'t> {
    /// The value of a key, which is there once.
    pub fn take(&mut self, key: &str) -> Option<Value<'t>> {
        let at = self.entries.iter().position(|(name, _)| name == key)?;
        Some(self.entries.swap_remove(at).1)
    }

    /// Whether a key was given and not taken yet.
    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, _)| name == key)
    }
}

impl<'t> Document<'t> {
    /// Parses a document. What is no TOML is noted; nothing of it is read then, for that would be guesses.
    pub fn parse(file: &str, text: &'t str) -> (Self, DeTable<'t>) {
        let mut document =
            Self { file: file.to_owned(), source: Text::new(text), problems: Problems::default() };
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            document.note(document.source.place(at), Mistake::Syntax { message: error.message().to_owned() });
        }
        let table = if document.problems.is_empty() { table.into_inner() } else { DeTable::new() };
        (document, table)
    }

    /// Notes a mistake.
    pub fn note(&mut self, place: Place, mistake: Mistake) {
        self.problems.add(&self.file, place, mistake);
    }

    /// The place of a value.
    pub fn place(&self, span: Range<usize>) -> Place {
        self.source.place(span.start)
    }

    /// A table's entries; keys that nobody knows are noted and left out.
    pub fn table(
        &mut self,
        name: &'static str,
        place: Place,
        table: DeTable<'t>,
        known: &'static [&'static str],
    ) -> Table<'t> {
        let mut entries = Vec::new();
        for (key, value) in table {
            let place = self.place(key.span());
            let key = key.into_inner().into_owned();
            if known.contains(&key.as_str()) {
                entries.push((key, value));
                continue;
            }
            if FILE_KEYS.contains(&key.as_str()) {
                self.note(place, Mistake::Misplaced { key, table: name });
                continue;
            }
            let nearest = nearest_key(&key, known);
            self.note(place, Mistake::UnknownKey { key, table: name, nearest, known });
        }
        Table { name, place, entries }
    }

    /// Notes that a value has the wrong type.
    fn mistyped(&mut self, key: &'static str, expected: &'static str, value: &Value<'_>) {
        let found = words_of(value.get_ref());
        self.note(self.place(value.span()), Mistake::Type { key, expected, found });
    }

    /// A text.
    pub fn text(
        &mut self,
        key: &'static str,
        expected: &'static str,
        value: Value<'_>,
    ) -> Option<Placed<String>> {
        let place = self.place(value.span());
        match value.get_ref() {
            DeValue::String(text) => Some(Placed { value: text.clone().into_owned(), place }),
            _ => {
                self.mistyped(key, expected, &value);
                None
            }
        }
    }

    /// A text that `parse` makes something of.
    pub fn parsed<T>(
        &mut self,
        key: &'static str,
        expected: &'static str,
        value: Value<'_>,
        parse: impl FnOnce(&str) -> Result<T, Mistake>,
    ) -> Option<Placed<T>> {
        let Placed { value: text, place } = self.text(key, expected, value)?;
        match parse(&text) {
            Ok(value) => Some(Placed { value, place }),
            Err(mistake) => {
                self.note(place, mistake);
                None
            }
        }
    }

    /// A whole number within a range.
    pub fn number(
        &mut self,
        key: &'static str,
        expected: &'static str,
        range: std::ops::RangeInclusive<u64>,
        value: Value<'_>,
    ) -> Option<Placed<u64>> {
        let place = self.place(value.span());
        let DeValue::Integer(number) = value.get_ref() else {
            self.mistyped(key, expected, &value);
            return None;
        };
        let parsed = i128::from_str_radix(number.as_str(), number.radix()).ok();
        match parsed.and_then(|number| u64::try_from(number).ok()).filter(|number| range.contains(number)) {
            Some(value) => Some(Placed { value, place }),
            None => {
                let found = number.to_string();
                let expected = format!("{expected}, from {} to {}", range.start(), range.end());
                self.note(place, Mistake::Value { key, expected, found, nearest: None });
                None
            }
        }
    }

    /// Seconds, whole or not, as nanoseconds.
    pub fn seconds(&mut self, key: &'static str, value: Value<'_>) -> Option<Placed<u64>> {
        const EXPECTED: &str = "seconds, above 0";
        let place = self.place(value.span());
        let seconds = match value.get_ref() {
            DeValue::Integer(number) => {
                i128::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number as f64)
            }
            DeValue::Float(number) => number.as_str().parse::<f64>().ok(),
            _ => {
                self.mistyped(key, EXPECTED, &value);
                return None;
            }
        };
        match seconds.filter(|seconds| seconds.is_finite() && *seconds > 0.0) {
            // The conversion saturates.
            Some(seconds) => Some(Placed { value: (seconds * 1e9) as u64, place }),
            None => {
                let found = self.source.slice(value.span()).to_owned();
                self.note(place, Mistake::Value { key, expected: EXPECTED.to_owned(), found, nearest: None });
                None
            }
        }
    }

    /// Yes or no.
    pub fn boolean(&mut self, key: &'static str, value: Value<'_>) -> Option<bool> {
        match value.get_ref() {
            DeValue::Boolean(value) => Some(*value),
            _ => {
                self.mistyped(key, "true or false", &value);
                None
            }
        }
    }

    /// The values of a list; a single value stands for a list of one.
    pub fn list<'v>(&mut self, value: Value<'v>) -> Vec<Value<'v>> {
        let span = value.span();
        match value.into_inner() {
            DeValue::Array(array) => array.into_iter().collect(),
            one => vec![Spanned::new(span, one)],
        }
    }

    /// The tables of `[[name]]`.
    pub fn tables(
        &mut self,
        top: &mut Table<'t>,
        key: &'static str,
        name: &'static str,
        known: &'static [&'static str],
    ) -> Vec<Table<'t>> {
        let Some(value) = top.take(key) else { return Vec::new() };
        let mut tables = Vec::new();
        for value in self.list(value) {
            let span = value.span();
            let place = self.place(span.clone());
            match value.into_inner() {
                DeValue::Table(table) => tables.push(self.table(name, place, table, known)),
                other => self.mistyped(key, "tables, each under its own heading", &Spanned::new(span, other)),
            }
        }
        tables
    }
}

/// The key that was probably meant. For one with letters left out, as many mistakes count as the longer word may have.
fn nearest_key(key: &str, known: &'static [&'static str]) -> Option<&'static str> {
    nearest_name(key, known.iter().copied())
        .or_else(|| known.iter().copied().find(|known| similar(known, std::iter::once(key)).is_some()))
}

/// What a value is, for people.
fn words_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(true) => "true",
        DeValue::Boolean(false) => "false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
