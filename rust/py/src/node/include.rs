//! Files that rules include, as nft(8) looks for them.
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, glob_with};
use netfast_nft::{Includes, MAX_INCLUDES, MAX_TEXT, Text};

/// Where files are looked for that neither begin with `/` or `.` nor stand beside the file that includes them.
const SYSTEM: &str = "/etc";

/// What was included, by the name and the file that includes it, so that it can be told again.
pub type Included = HashMap<(String, String), Result<Vec<Text>, String>>;

/// Reads files.
#[derive(Default)]
pub struct Files {
    pub read: Included,
}

/// Tells again what was read.
pub struct Again<'i>(pub &'i Included);

impl Includes for Files {
    fn read(&mut self, name: &str, from: &str) -> Result<Vec<Text>, String> {
        let found = find(name, from).and_then(|files| files.iter().map(|file| text(file)).collect());
        self.read.insert((name.to_owned(), from.to_owned()), found.clone());
        found
    }
}

impl Includes for Again<'_> {
    fn read(&mut self, name: &str, from: &str) -> Result<Vec<Text>, String> {
        let known = self.0.get(&(name.to_owned(), from.to_owned()));
        known.cloned().unwrap_or_else(|| Err("load the rules anew".to_owned()))
    }
}

/// The files that a name stands for; of wildcards none is none, in the order of their names.
fn find(name: &str, from: &str) -> Result<Vec<PathBuf>, String> {
    let beside = Path::new(from).parent().unwrap_or(Path::new("")).join(name);
    let mut places = vec![beside];
    if !name.starts_with(['/', '.']) {
        places.push(Path::new(SYSTEM).join(name));
    }
    let wild = name.contains(['*', '?', '[']);
    for place in &places {
        if !wild && place.is_file() {
            return Ok(vec![place.clone()]);
        }
        let found = if wild { matching(place)? } else { Vec::new() };
        if !found.is_empty() {
            return Ok(found);
        }
    }
    if wild {
        return Ok(Vec::new());
    }
    let places: Vec<_> = places.iter().map(|place| place.display().to_string()).collect();
    Err(format!("there is no file {}: give its path from the file that includes it", places.join(" or ")))
}

fn matching(pattern: &Path) -> Result<Vec<PathBuf>, String> {
    let options = MatchOptions { require_literal_leading_dot: true, ..MatchOptions::default() };
    let pattern = pattern.to_string_lossy();
    let paths = glob_with(&pattern, options).map_err(|error| format!("{error}: correct the pattern"))?;
    let files = paths.filter_map(Result::ok).filter(|path| path.is_file());
    Ok(files.take(MAX_INCLUDES + 1).collect())
}

fn text(path: &Path) -> Result<Text, String> {
    let name = path.display().to_string();
    let wrong = |what: String| format!("{name}: {what}");
    let length = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
    if length > MAX_TEXT as u64 {
        return Err(wrong(format!("it is longer than {MAX_TEXT} bytes: split it")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    Ok(Text { name: name.as_str().into(), text })
}
