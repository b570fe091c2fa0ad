//! Which room may name which: the rows of the code map, as data.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::source::Source;

/// A room, the rooms that it may name, and the crates of [`OUTSIDE`] that it may.
struct Room {
    name: &'static str,
    rooms: &'static [&'static str],
    crates: &'static [&'static str],
}

/// Crates that belong to few rooms: the wire, the runtime, the disk, the terminal.
const OUTSIDE: [&str; 17] = [
    "tonic",
    "prost",
    "http",
    "hyper",
    "hyper_util",
    "tower",
    "axum",
    "tokio",
    "rusqlite",
    "zstd",
    "clap",
    "ratatui",
    "indicatif",
    "chrono",
    "prometheus_client",
    "procfs",
    "opentelemetry",
];

const fn room(name: &'static str, rooms: &'static [&'static str], crates: &'static [&'static str]) -> Room {
    Room { name, rooms, crates }
}

/// In reading order; a room knows nothing that its row does not name.
const ROOMS: [Room; 24] = [
    room("event", &[], &[]),
    room("engine", &["event"], &[]),
    room("journal", &["event"], &["rusqlite", "zstd", "chrono"]),
    room("pipeline", &["event", "engine", "journal", "limits", "measure", "trace"], &["tokio"]),
    room("access", &["event", "pipeline", "limits", "measure"], &["http", "tokio"]),
    room("letters", &["event", "pipeline", "limits"], &["rusqlite", "tokio"]),
    room(
        "api",
        &["event", "engine", "pipeline", "letters", "limits", "measure", "trace"],
        &["tonic", "prost", "http", "tokio"],
    ),
    room("taskrouter", &["event", "api", "limits"], &["prost", "chrono"]),
    room(
        "server",
        &["access", "limits", "measure", "trace"],
        &["tonic", "http", "hyper", "hyper_util", "tower", "axum", "tokio"],
    ),
    room(
        "http",
        &["event", "engine", "pipeline", "access", "letters", "api", "taskrouter", "server", "limits", "trace"],
        &["axum", "http", "tokio", "tower", "chrono"],
    ),
    room(
        "wallboard",
        &["event", "engine", "pipeline", "access", "api", "server", "http", "limits"],
        &["axum", "http", "tokio"],
    ),
    room("tls", &["server", "limits"], &["tokio"]),
    room("upkeep", &["event", "journal", "pipeline"], &[]),
    room(
        "metrics",
        &["api", "journal", "letters", "limits", "measure", "pipeline", "server", "tls", "trace"],
        &["axum", "http", "tokio", "prometheus_client", "procfs"],
    ),
    room("measure", &[], &[]),
    room("trace", &["limits"], &["http", "opentelemetry"]),
    room("limits", &[], &[]),
    room("config", &["access", "limits", "cli"], &["clap", "http"]),
    room("logging", &["config", "trace"], &[]),
    room(
        "run",
        &[
            "access",
            "api",
            "config",
            "http",
            "journal",
            "letters",
            "limits",
            "metrics",
            "pipeline",
            "server",
            "simulate",
            "tls",
            "trace",
            "wallboard",
        ],
        &["tokio", "tonic", "axum"],
    ),
    room("simulate", &["event", "api", "taskrouter", "limits", "config", "cli"], CLIENT),
    room("bench", &["event", "api", "limits", "config", "simulate", "cli"], CLIENT),
    room("cli", &["access", "event", "api", "limits", "config", "bench", "simulate", "taskrouter", "upkeep"], CLIENT),
    room("main", &["config", "cli", "logging", "run"], &[]),
];

const CLIENT: &[&str] =
    &["tonic", "prost", "http", "hyper_util", "tower", "tokio", "clap", "ratatui", "indicatif", "chrono"];

/// What this file names and may not.
pub fn findings(source: &Source) -> Vec<String> {
    if !source.path.starts_with("src/") || source.path == "src/lib.rs" {
        return Vec::new();
    }
    let Some(room) = ROOMS.iter().find(|room| room.name == source.room()) else {
        return vec![format!("{}: no row in tests/tidy/layering.rs says what {} may know", source.path, source.room())];
    };
    let mut named = Vec::new();
    paths(source.tokens.clone(), depth(&source.path), &mut named);
    let mut findings = Vec::new();
    for Named { line, name, inside } in named {
        let may = if inside {
            name == room.name || room.rooms.contains(&name.as_str()) || !ROOMS.iter().any(|other| other.name == name)
        } else {
            // Tests bring their own clients, clocks and threads.
            source.is_test || room.crates.contains(&family(&name)) || !OUTSIDE.contains(&family(&name))
        };
        if !may {
            findings.push(format!("{}:{line}: {} may not know {name}", source.path, room.name));
        }
    }
    findings
}

/// tonic_types and prost_reflect are as tonic and prost, opentelemetry_sdk is as opentelemetry.
fn family(name: &str) -> &str {
    let first = name.split('_').next().unwrap_or(name);
    if matches!(first, "tonic" | "prost" | "http" | "tokio" | "opentelemetry") { first } else { name }
}

struct Named {
    line: usize,
    name: String,
    /// Whether it is a room of this crate.
    inside: bool,
}

/// How many modules lie between the file and the crate's root.
fn depth(path: &str) -> usize {
    let parts = path.trim_start_matches("src/").trim_end_matches(".rs").split('/');
    parts.filter(|part| !matches!(*part, "mod" | "lib" | "main")).count()
}

/// The first names of all paths that begin at the crate's root or outside the crate.
fn paths(tokens: TokenStream, depth: usize, found: &mut Vec<Named>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    let mut inline = false;
    while at < tokens.len() {
        let within_path = at >= 2 && is_mark(&tokens[at - 1], ':') && is_mark(&tokens[at - 2], ':');
        match &tokens[at] {
            TokenTree::Ident(word) if word == "mod" => inline = true,
            TokenTree::Ident(word) if !within_path && is_path(&tokens, at + 1) => {
                at = follow(&tokens, at, &word.to_string(), depth, found);
                continue;
            }
            TokenTree::Group(group) => {
                let brace = group.delimiter() == Delimiter::Brace;
                paths(group.stream(), depth + usize::from(inline && brace), found);
                inline &= !brace;
            }
            TokenTree::Punct(mark) => inline &= mark.as_char() != ';',
            TokenTree::Ident(_) | TokenTree::Literal(_) => {}
        }
        at += 1;
    }
}

/// The path that begins at `at`. Gives the place to go on from.
fn follow(tokens: &[TokenTree], at: usize, first: &str, depth: usize, found: &mut Vec<Named>) -> usize {
    let mut next = at + 3;
    if first == "super" {
        let mut up = 1;
        while matches!(tokens.get(next), Some(TokenTree::Ident(word)) if word == "super") && is_path(tokens, next + 1) {
            up += 1;
            next += 3;
        }
        if up < depth {
            return next;
        }
    } else if first != "crate" && first != "tasktally" {
        let line = tokens[at].span().start().line;
        found.push(Named { line, name: first.to_owned(), inside: false });
        return at + 1;
    }
    match tokens.get(next) {
        Some(TokenTree::Ident(word)) => {
            found.push(Named { line: word.span().start().line, name: word.to_string(), inside: true });
        }
        Some(TokenTree::Group(group)) => heads(group.stream(), found),
        Some(TokenTree::Punct(_) | TokenTree::Literal(_)) | None => {}
    }
    next + 1
}

/// The first names within `crate::{…}`.
fn heads(tokens: TokenStream, found: &mut Vec<Named>) {
    let mut begins = true;
    for token in tokens {
        if let (true, TokenTree::Ident(word)) = (begins, &token) {
            found.push(Named { line: word.span().start().line, name: word.to_string(), inside: true });
        }
        begins = is_mark(&token, ',');
    }
}

fn is_path(tokens: &[TokenTree], at: usize) -> bool {
    tokens.get(at).is_some_and(|token| is_mark(token, ':'))
        && tokens.get(at + 1).is_some_and(|token| is_mark(token, ':'))
}

fn is_mark(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}
