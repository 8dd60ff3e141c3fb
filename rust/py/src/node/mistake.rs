//! What can be wrong with a configuration, and how it is raised.
use super::place::Place;
use crate::errors::placed_error;
use netfast_datapath::NodeError;
use netfast_fib::FibError;
use netfast_nft::Problem as LanguageProblem;
use pyo3::prelude::*;
use std::fmt;
use std::path::PathBuf;

/// Mistakes of one text that are told; those beyond are not looked at.
pub const MAX_MISTAKES: usize = 100;

/// What is wrong with one value, key or table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Mistake {
    /// The text is no TOML.
    #[error("no TOML: {message}")]
    Syntax {
        /// What TOML's parser says.
        message: String,
    },
    /// A key that nobody reads.
    #[error("unknown key {key:?} in {table}; {}", hint(*.nearest, .known))]
    UnknownKey {
        /// The key.
        key: String,
        /// The table that it stands in.
        table: &'static str,
        /// What may have been meant.
        nearest: Option<&'static str>,
        /// All keys of the table.
        known: &'static [&'static str],
    },
    /// A key of the file itself, in a table.
    #[error("{key} is not of {table}; write it before the first [table], where it is of the file")]
    Misplaced {
        /// The key.
        key: String,
        /// The table that it stands in.
        table: &'static str,
    },
    /// A value of another type.
    #[error("{key}: expected {expected}, found {found}")]
    Type {
        /// The key.
        key: &'static str,
        /// What belongs there.
        expected: &'static str,
        /// What stands there.
        found: &'static str,
    },
    /// A value of the right type that cannot be.
    #[error("{key}: expected {expected}, found {found:?}{}", meant(*.nearest))]
    Value {
        /// The key.
        key: &'static str,
        /// What belongs there.
        expected: String,
        /// What stands there.
        found: String,
        /// What may have been meant.
        nearest: Option<&'static str>,
    },
    /// A prefix that cannot be.
    #[error("{key}: {source}")]
    Prefix {
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        source: FibError,
    },
    /// A key without which the table says nothing.
    #[error("{table} has no {key:?}; it needs {expected}")]
    Missing {
        /// The table.
        table: &'static str,
        /// The key.
        key: &'static str,
        /// What belongs there.
        expected: &'static str,
    },
    /// Two keys that say different things.
    #[error("{first} and {second} contradict each other: {remedy}")]
    Contradiction {
        /// One key.
        first: &'static str,
        /// The other one.
        second: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// Something that may be there once.
    #[error("{key}: {value} is there already{}; {remedy}", at(*.first))]
    Duplicate {
        /// The key.
        key: &'static str,
        /// What is there twice.
        value: String,
        /// Where it was first.
        first: Option<Place>,
        /// What to do.
        remedy: &'static str,
    },
    /// A file that would be emptied before it is read.
    #[error("{key}: {path} is read, so it cannot be written")]
    Overwritten {
        /// The key.
        key: &'static str,
        /// The file.
        path: String,
    },
    /// A port that is not there.
    #[error("{key}: there is no port {name:?}; {}", ports(.nearest.as_deref(), .known))]
    UnknownPort {
        /// The key.
        key: &'static str,
        /// The name given.
        name: String,
        /// What may have been meant.
        nearest: Option<String>,
        /// The ports that there are.
        known: Vec<String>,
    },
    /// A file of rules that cannot be read.
    #[error("rules_file: {}: {source}", path.display())]
    RulesFile {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Rules that are none.
    #[error(transparent)]
    Rules(#[from] LanguageProblem),
    /// What the node says to it.
    #[error("{}", keyed(.key, .source))]
    Node {
        /// The key or table.
        key: &'static str,
        /// Why it refuses.
        source: NodeError,
    },
}

/// A refusal with its key, which it may begin with by itself.
fn keyed(key: &str, source: &NodeError) -> String {
    let told = source.to_string();
    match told.strip_prefix(key) {
        Some(rest) if rest.starts_with([' ', ':']) => told,
        _ => format!("{key}: {told}"),
    }
}

/// What may have been meant, or what there is.
fn hint(nearest: Option<&str>, known: &[&str]) -> String {
    nearest
        .map_or_else(|| format!("there are {}", known.join(", ")), |near| format!("did you mean {near:?}?"))
}

fn ports(nearest: Option<&str>, known: &[String]) -> String {
    match (nearest, known) {
        (Some(nearest), _) => format!("did you mean {nearest:?}?"),
        (None, []) => "there are no ports yet".to_owned(),
        (None, known) => format!("there are {}", known.join(", ")),
    }
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |near| format!("; did you mean {near:?}?"))
}

fn at(place: Option<Place>) -> String {
    place.map_or_else(String::new, |place| format!(" (line {})", place.line))
}

/// A mistake with its place.
#[derive(Debug)]
pub struct Problem {
    /// The file or what stands for it; none for arguments.
    pub file: Option<String>,
    /// Where it stands there.
    pub place: Option<Place>,
    /// What is wrong.
    pub mistake: Mistake,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
            if let Some(Place { line, column }) = self.place {
                write!(f, "{line}:{column}:")?;
            }
            f.write_str(" ")?;
        }
        self.mistake.fmt(f)
    }
}

/// The mistakes of one text, in its order once it has been read.
#[derive(Debug, Default)]
pub struct Problems {
    list: Vec<Problem>,
}

impl Problems {
    /// One mistake.
    pub fn of(problem: Problem) -> Self {
        Self { list: vec![problem] }
    }

    /// Notes a mistake, unless there are [`MAX_MISTAKES`] already.
    pub fn push(&mut self, problem: Problem) {
        if self.list.len() < MAX_MISTAKES {
            self.list.push(problem);
        }
    }

    /// Notes a mistake at a place of a file.
    pub fn add(&mut self, file: &str, place: Place, mistake: Mistake) {
        self.push(Problem { file: Some(file.to_owned()), place: Some(place), mistake });
    }

    /// The mistake that was noted first.
    pub fn first(&self) -> Option<&Problem> {
        self.list.first()
    }

    /// True without mistakes.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The mistakes; those of one file in its order, but causes first: behind a key that nobody knows, what is missing
    /// is the same mistake once more.
    pub fn into_sorted(mut self) -> Vec<Problem> {
        let unread =
            |mistake: &Mistake| matches!(mistake, Mistake::UnknownKey { .. } | Mistake::Misplaced { .. });
        let misspelt = self.list.iter().any(|problem| unread(&problem.mistake));
        let follows = |problem: &Problem| {
            use Mistake::{Missing, Node, UnknownPort};
            misspelt && matches!(problem.mistake, Missing { .. } | UnknownPort { .. } | Node { .. })
        };
        self.list.sort_by(|one, other| {
            (follows(one), &one.file, one.place).cmp(&(follows(other), &other.file, other.place))
        });
        self.list
    }

    /// `ConfigError` of the first, which has the others, too.
    pub fn raise(self, py: Python<'_>) -> PyErr {
        let errors: Vec<_> = self.into_sorted().iter().map(|problem| placed_error(py, problem)).collect();
        let mut errors = errors.into_iter();
        match errors.next() {
            Some(first) => {
                let others: Vec<_> = errors.map(|error| error.into_value(py)).collect();
                let others = pyo3::types::PyTuple::new(py, others);
                // Without them the first error still says what is wrong.
                let _ = others.and_then(|others| first.value(py).setattr("others", others));
                first
            }
            None => pyo3::exceptions::PyRuntimeError::new_err("there is no mistake to tell"),
        }
    }
}
