//! Which module of a crate uses which: read from the sources, so that a circle or an arrow upward is found.
//!
//! A module is a file. Names that a module only passes on (`pub use child::Name`) are followed to the module that
//! defines them, and what is compiled for tests alone is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::rust_tokens::{Token, tokens};

/// The crates of the product in their order: each may use those before it.
pub const CRATES: [&str; 8] = [
    "lapwing_engine",
    "lapwing_firmware",
    "lapwing_models",
    "lapwing_quantize",
    "lapwing_camera",
    "lapwing_vision",
    "lapwing_flow",
    "lapwing_runtime",
];

/// Those of [`CRATES`] that use none of the others.
const ALONE: [&str; 3] = ["lapwing_engine", "lapwing_firmware", "lapwing_models"];

/// What a crate of the product may use; none for another crate.
pub fn may_use(name: &str) -> Option<&'static [&'static str]> {
    let place = CRATES.iter().position(|known| *known == name)?;
    Some(if ALONE.contains(&name) { &[] } else { &CRATES[..place] })
}

/// The path of a module from the crate's root, without the word `crate`.
pub type ModulePath = Vec<String>;

/// One use: the module, what it uses, and the line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrow {
    /// The module that uses.
    pub from: ModulePath,
    /// The module that is used.
    pub to: ModulePath,
    /// Where, for messages: `file:line`.
    pub place: String,
}

/// The modules of one crate and their uses.
#[derive(Debug, Default)]
pub struct Crate {
    modules: BTreeMap<ModulePath, Module>,
    /// Names of other crates that are used, and where first.
    pub others: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
struct Module {
    file: PathBuf,
    children: BTreeSet<String>,
    defines: BTreeSet<String>,
    /// What a name stands for: imports, private and public.
    names: BTreeMap<String, ModulePath>,
    globs: Vec<ModulePath>,
    /// Paths that the code holds, with their lines.
    paths: Vec<(Vec<String>, usize)>,
}

impl Crate {
    /// Reads the crate whose root is the file `root` (`lib.rs` or `main.rs`).
    ///
    /// # Errors
    /// The file that could not be read or that a `mod` names in vain.
    pub fn read(root: &Path) -> Result<Crate, String> {
        let mut all = Crate::default();
        all.file(root, &[], root.parent().unwrap_or(Path::new("")))?;
        Ok(all)
    }

    fn file(&mut self, file: &Path, at: &[String], folder: &Path) -> Result<(), String> {
        let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
        let tokens = tokens(&text);
        let mut reader = Reader { tokens: &tokens, at: 0 };
        let mut files = Vec::new();
        self.body(&mut reader, at, file, &mut files);
        for name in files {
            let flat = folder.join(format!("{name}.rs"));
            let inner = folder.join(&name);
            let path = if flat.exists() { flat } else { inner.join("mod.rs") };
            let below = [at, &[name]].concat();
            self.file(&path, &below, &inner)?;
        }
        Ok(())
    }

    /// Reads a module's body up to its closing brace, or the end of the file.
    fn body(&mut self, reader: &mut Reader<'_>, at: &[String], file: &Path, files: &mut Vec<String>) {
        let mut module = Module { file: file.into(), ..Module::default() };
        let mut depth = 0usize;
        let mut public = false;
        while let Some(token) = reader.peek() {
            match token.text.as_str() {
                "#" if reader.skip_if_only_for_tests() => continue,
                "#" => {
                    reader.attribute();
                    continue;
                }
                "}" if depth == 0 => break,
                "}" => depth -= 1,
                "{" => depth += 1,
                "use" => {
                    reader.at += 1;
                    let mut found = Vec::new();
                    reader.tree(&mut Vec::new(), &mut found);
                    for (path, alias, line) in found {
                        module.import(path, alias, line, public, depth);
                    }
                    public = false;
                    continue;
                }
                "mod" => {
                    let name = reader.text(1).to_owned();
                    let inline = reader.text(2) == "{";
                    reader.at += 3;
                    module.children.insert(name.clone());
                    if inline {
                        self.body(reader, &[at, &[name]].concat(), file, files);
                        reader.at += 1;
                    } else {
                        files.push(name);
                    }
                    continue;
                }
                "fn" | "struct" | "enum" | "union" | "trait" | "type" | "const" | "static" | "macro_rules"
                    if depth == 0 =>
                {
                    let name = ["mut", "fn", "unsafe", "!"].contains(&reader.text(1));
                    module.defines.insert(reader.text(1 + usize::from(name)).to_owned());
                }
                _ => {}
            }
            if token.is_name() && reader.before() != "::" && reader.before() != "." {
                let (path, line) = reader.path();
                public = path.len() == 1 && (path[0] == "pub" || public && path[0] == "crate");
                // `pub(super)` and `pub(crate)` use nothing
                if path.len() > 1 || !matches!(path[0].as_str(), "crate" | "super" | "self") {
                    module.paths.push((path, line));
                }
            } else {
                public = public && matches!(token.text.as_str(), "(" | ")");
                reader.at += 1;
            }
        }
        self.modules.insert(at.to_vec(), module);
    }

    /// All uses between different modules of the crate.
    pub fn arrows(&mut self) -> Vec<Arrow> {
        let mut found = BTreeSet::new();
        let mut others = BTreeMap::new();
        for (at, module) in &self.modules {
            for (path, line) in &module.paths {
                let place = format!("{}:{line}", module.file.display());
                match self.resolve(at, path, 0) {
                    Some(Target::Here(to)) if to != *at => {
                        found.insert(Arrow { from: at.clone(), to, place });
                    }
                    Some(Target::Other(name)) => {
                        others.entry(name).or_insert(place);
                    }
                    _ => {}
                }
            }
        }
        self.others = others;
        found.into_iter().collect()
    }

    /// The module that defines what `path` means inside `at`.
    fn resolve(&self, at: &[String], path: &[String], depth: usize) -> Option<Target> {
        let first = path.first()?;
        let module = self.modules.get(at)?;
        if depth > 16 {
            return None;
        }
        match first.as_str() {
            "crate" => self.walk(&[], path.get(1..)?, depth),
            "self" => self.walk(at, path.get(1..)?, depth),
            "super" => {
                let above = at.get(..at.len().checked_sub(1)?)?;
                if path.get(1).is_some_and(|second| second == "super") {
                    self.resolve(above, path.get(1..)?, depth)
                } else {
                    self.walk(above, path.get(1..)?, depth)
                }
            }
            other if other.starts_with("lapwing_") => Some(Target::Other(other.to_owned())),
            name if module.children.contains(name) && path.len() > 1 => self.walk(at, path, depth),
            name => {
                let stands_for = module.names.get(name)?;
                if stands_for == path {
                    return None;
                }
                let whole = [stands_for.as_slice(), path.get(1..)?].concat();
                self.resolve(at, &whole, depth + 1)
            }
        }
    }

    fn walk(&self, from: &[String], path: &[String], depth: usize) -> Option<Target> {
        let mut at = from.to_vec();
        for (index, name) in path.iter().enumerate() {
            let module = self.modules.get(&at)?;
            if module.children.contains(name) {
                at.push(name.clone());
                if !self.modules.contains_key(&at) {
                    return None; // for tests alone
                }
                continue;
            }
            if module.defines.contains(name) {
                break;
            }
            if let Some(stands_for) = module.names.get(name) {
                let whole = [stands_for.as_slice(), path.get(index + 1..)?].concat();
                return self.resolve(&at, &whole, depth + 1);
            }
            for glob in &module.globs {
                if let Some(Target::Here(target)) = self.resolve(&at, glob, depth + 1)
                    && let Some(there) = self.modules.get(&target)
                    && (there.defines.contains(name) || there.names.contains_key(name))
                {
                    return self.walk(&target, path.get(index..)?, depth + 1);
                }
            }
            break;
        }
        Some(Target::Here(at))
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Target {
    Here(ModulePath),
    Other(String),
}

impl Module {
    fn import(&mut self, path: Vec<String>, alias: String, line: usize, public: bool, depth: usize) {
        let folder = |path: &[String]| path.last().is_some_and(|last| last.chars().all(|c| !c.is_ascii_uppercase()));
        if alias == "*" {
            if depth == 0 && public {
                self.globs.push(path);
            } else {
                self.paths.push((path, line));
            }
            return;
        }
        // a module or function that is imported counts where it is used; a name that is passed on counts for nobody
        if !public && !folder(&path) {
            self.paths.push((path.clone(), line));
        }
        self.names.insert(alias, path);
    }
}

/// Tokens and where the reading stands.
struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<Token> {
        self.tokens.get(self.at).cloned()
    }

    fn text(&self, ahead: usize) -> &str {
        self.tokens.get(self.at + ahead).map_or("", |token| token.text.as_str())
    }

    fn before(&self) -> &str {
        self.at.checked_sub(1).and_then(|at| self.tokens.get(at)).map_or("", |token| token.text.as_str())
    }

    /// A path of names, `a::b::C`.
    fn path(&mut self) -> (Vec<String>, usize) {
        let line = self.peek().map_or(0, |token| token.line);
        let mut path = vec![self.text(0).to_owned()];
        self.at += 1;
        while self.text(0) == "::" && self.tokens.get(self.at + 1).is_some_and(Token::is_name) {
            path.push(self.text(1).to_owned());
            self.at += 2;
        }
        (path, line)
    }

    /// What stands behind `use`, up to and with its `;`: whole paths, the name each is known by, and the line.
    fn tree(&mut self, before: &mut Vec<String>, found: &mut Vec<(Vec<String>, String, usize)>) {
        let depth = before.len();
        while let Some(token) = self.peek() {
            self.at += 1;
            match token.text.as_str() {
                "::" => {}
                "{" => loop {
                    self.tree(before, found);
                    if self.before() == "}" || self.peek().is_none() {
                        break;
                    }
                },
                "*" => found.push((before.clone(), "*".into(), token.line)),
                "as" => {
                    let alias = self.text(0).to_owned();
                    self.at += 1;
                    if let Some(last) = found.last_mut() {
                        last.1 = alias;
                    }
                }
                "," | "}" | ";" => break,
                name => {
                    before.push(name.to_owned());
                    if self.text(0) != "::" {
                        let whole: Vec<String> = if name == "self" && depth > 0 {
                            before[..before.len() - 1].into()
                        } else {
                            before.clone()
                        };
                        let alias = whole.last().cloned().unwrap_or_default();
                        found.push((whole, alias, token.line));
                    }
                }
            }
        }
        before.truncate(depth);
    }

    /// Goes over `#[...]`; true if it keeps what follows for tests alone.
    fn attribute(&mut self) -> bool {
        let start = self.at;
        self.at += 1;
        while self.text(0) != "[" && self.peek().is_some() {
            self.at += 1;
        }
        self.balanced();
        let words: Vec<&str> = self.tokens[start..self.at].iter().map(|token| token.text.as_str()).collect();
        words.contains(&"cfg") && words.contains(&"test") && !words.contains(&"not") && !words.contains(&"any")
    }

    /// Goes over a bracket and all that it holds.
    fn balanced(&mut self) {
        let mut open = 0usize;
        while let Some(token) = self.peek() {
            self.at += 1;
            match token.text.as_str() {
                "(" | "[" | "{" => open += 1,
                ")" | "]" | "}" => {
                    open = open.saturating_sub(1);
                    if open == 0 {
                        return;
                    }
                }
                _ => {}
            }
        }
    }

    /// Goes over the attributes and the item behind them if that is compiled for tests alone.
    fn skip_if_only_for_tests(&mut self) -> bool {
        let start = self.at;
        let mut tests = false;
        while self.text(0) == "#" {
            tests |= self.attribute();
        }
        if !tests {
            self.at = start;
            return false;
        }
        while let Some(token) = self.peek() {
            match token.text.as_str() {
                ";" | "," => {
                    self.at += 1;
                    break;
                }
                "{" => {
                    self.balanced();
                    if self.before() == "}" && self.text(0) != ";" {
                        break;
                    }
                }
                "(" | "[" => self.balanced(),
                "}" => break,
                _ => self.at += 1,
            }
        }
        true
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A crate of files in a folder of its own.
    pub(crate) fn written(name: &str, files: &[(&str, &str)]) -> Crate {
        let folder = std::env::temp_dir().join(format!("lapwing-imports-{name}-{}", std::process::id()));
        for (file, text) in files {
            let path = folder.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let found = Crate::read(&folder.join("lib.rs")).unwrap();
        std::fs::remove_dir_all(folder).unwrap();
        found
    }

    fn arrows(all: &mut Crate) -> Vec<(String, String)> {
        let name = |path: &ModulePath| path.join("::");
        let mut found: Vec<_> = all.arrows().iter().map(|a| (name(&a.from), name(&a.to))).collect();
        found.dedup();
        found
    }

    #[test]
    fn names_that_are_passed_on_are_followed_and_tests_are_left_out() {
        let mut all = written(
            "followed",
            &[
                ("lib.rs", "pub mod a;\nmod b;\npub use b::deep::Thing;\n"),
                (
                    "a.rs",
                    "use crate::Thing;\nfn f(t: Thing) { lapwing_other::g() }\n#[cfg(test)]\nmod tests { use crate::b::X; }",
                ),
                ("b/mod.rs", "pub mod deep;\n#[cfg(test)]\nmod away;\n"),
                ("b/deep.rs", "pub struct Thing;\nimpl Thing { fn new() -> super::super::Thing { Thing } }\n"),
            ],
        );
        assert_eq!(arrows(&mut all), [("a".into(), "b::deep".into())]);
        assert_eq!(all.others.keys().collect::<Vec<_>>(), ["lapwing_other"]);
    }
}
