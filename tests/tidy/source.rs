//! Rust files as tokens: comments and strings do not count as code, macros do.

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Folders that nobody wrote.
const BUILT: [&str; 6] = ["target", ".git", ".tools", "node_modules", "tasktally-data", "__pycache__"];

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file under the folder, as paths relative to it with `/`, in order.
pub fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name();
            // A work tree's .git is a file.
            if BUILT.iter().any(|built| name == *built) {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
            } else {
                found.push(relative(&entry.path(), folder));
            }
        }
    }
    found.sort();
    found
}

fn relative(path: &Path, folder: &Path) -> String {
    path.strip_prefix(folder).unwrap().to_str().unwrap().replace('\\', "/")
}

/// The Rust files that are these, or under them.
pub fn rust_files(places: &[&str]) -> Vec<PathBuf> {
    let under = |path: &String| places.iter().any(|place| path == place || path.starts_with(&format!("{place}/")));
    let rust = files(root()).into_iter().filter(|path| path.ends_with(".rs") && under(path));
    rust.map(|path| root().join(path)).collect()
}

pub struct Source {
    /// Relative to the repository, with `/`.
    pub path: String,
    pub text: String,
    pub lines: Vec<String>,
    /// Whether the whole file is compiled for tests only.
    pub is_test: bool,
    pub tokens: TokenStream,
}

/// One function with a body. Lines count from 1.
pub struct Function {
    pub name: String,
    pub line: usize,
    pub lines: usize,
}

impl Source {
    pub fn read(path: &Path) -> Source {
        Source::parse(&relative(path, root()), &fs::read_to_string(path).unwrap())
    }

    pub fn parse(path: &str, text: &str) -> Source {
        let tokens = text.parse().unwrap_or_else(|error| panic!("{path}: {error}"));
        let is_test = !path.starts_with("src/") || path.contains("/tests/") || path.ends_with("tests.rs");
        let lines = text.lines().map(str::to_owned).collect();
        Source { path: path.to_owned(), text: text.to_owned(), lines, is_test, tokens }
    }

    pub fn parent(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(parent, _)| parent)
    }

    /// The folder or file right under `src/`.
    pub fn room(&self) -> &str {
        let inside = self.path.strip_prefix("src/").unwrap_or("");
        inside.split('/').next().unwrap_or("").trim_end_matches(".rs")
    }

    pub fn functions(&self) -> Vec<Function> {
        let mut found = Vec::new();
        functions(self.tokens.clone(), &mut found);
        found
    }

    /// Every identifier outside `#[cfg(test)]`, with its line; a macro's with its `!`.
    pub fn shipped_words(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        words(self.tokens.clone(), &mut found);
        found
    }
}

fn functions(tokens: TokenStream, found: &mut Vec<Function>) {
    let mut open: Option<(String, usize)> = None;
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(word) if word == "fn" => {
                // A pointer type `fn(…)` has no name.
                if let Some(TokenTree::Ident(name)) = tokens.peek() {
                    open = Some((name.to_string(), word.span().start().line));
                }
            }
            TokenTree::Punct(mark) if mark.as_char() == ';' => open = None,
            TokenTree::Group(group) => {
                let body = group.delimiter() == Delimiter::Brace;
                if let Some((name, line)) = open.take_if(|_| body) {
                    found.push(Function { name, line, lines: group.span_close().end().line - line + 1 });
                }
                functions(group.stream(), found);
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

fn words(tokens: TokenStream, found: &mut Vec<(usize, String)>) {
    // What follows `#[cfg(test)]`, up to its body or semicolon, is not shipped.
    let mut for_tests = false;
    let mut after_hash = false;
    let mut is_word = false;
    for token in tokens {
        let after_word = is_word && !for_tests;
        is_word = matches!(&token, TokenTree::Ident(_));
        let hash = after_hash;
        after_hash = matches!(&token, TokenTree::Punct(mark) if mark.as_char() == '#');
        match token {
            TokenTree::Group(group) if hash && group.delimiter() == Delimiter::Bracket => {
                for_tests |= group.stream().to_string().replace(' ', "").starts_with("cfg(test");
            }
            TokenTree::Group(group) => {
                if !for_tests {
                    words(group.stream(), found);
                }
                for_tests &= group.delimiter() != Delimiter::Brace;
            }
            TokenTree::Punct(mark) if mark.as_char() == '!' && after_word => {
                if let Some((_, word)) = found.last_mut() {
                    word.push('!');
                }
            }
            TokenTree::Punct(mark) => for_tests &= mark.as_char() != ';',
            TokenTree::Ident(word) if !for_tests => found.push((word.span().start().line, word.to_string())),
            TokenTree::Ident(_) | TokenTree::Literal(_) => {}
        }
    }
}
