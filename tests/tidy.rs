//! The style guide as a test: what a reviewer would otherwise have to look for. Each finding says where it is and what
//! to do about it.

mod tidy {
    pub mod layering;
    pub mod source;
}

use std::fs;

use tidy::source::{Source, files, root, rust_files};

const MOST_FILE_LINES: usize = 400;
const MOST_FUNCTION_LINES: usize = 70;

/// Stands at the top of a test file, or above a function, that is longer and says why.
const LONGER: &str = "// Longer than ";

/// Words that mean nothing or too much, in any text of the repository, in any case, as a whole word.
const BANNED_WORDS: [(&str, &str); 9] = [
    ("manager", "name what it does: owner, keeper, reporter"),
    ("helper", "name what it gives"),
    ("helpers", "name what they give"),
    ("utils", "name what is in it"),
    ("blacklist", "denied"),
    ("whitelist", "allowed"),
    ("todo", "do it, or open an issue"),
    ("fixme", "fix it, or open an issue"),
    ("xxx", "say what is meant"),
];

/// What others have named so, and cannot be named otherwise.
const NAMES_OF_OTHERS: [&str; 3] = ["kubernetes_validate.utils", "cgroup_manager", "cert-manager"];

/// Calls and macros that the shipped crate has no place for; tests may.
const BANNED_CODE: [(&str, &str, &[&str]); 8] = [
    ("unwrap", "handle it, or `expect` with the reason why it holds", &[]),
    ("dbg!", "use tracing", &[]),
    ("todo!", "do it", &[]),
    ("unimplemented!", "do it, or make it impossible to ask for", &[]),
    ("println!", "only the command line prints", &["cli", "simulate", "main"]),
    ("print!", "only the command line prints", &["cli", "simulate", "main"]),
    ("eprintln!", "use tracing; only the command line prints", &["cli", "simulate", "main"]),
    ("unsafe", "the crate forbids it", &[]),
];

/// Starts of paths that only one machine has.
const MACHINE_PATHS: [&str; 5] = ["/work/", "/home/", "/root/", "/Users/", "C:\\"];

fn sources() -> Vec<Source> {
    rust_files(&["src", "tests", "benches", "fuzz", "build.rs"]).iter().map(|path| Source::read(path)).collect()
}

fn expect_none(findings: &[String]) {
    assert!(findings.is_empty(), "{} findings:\n  {}", findings.len(), findings.join("\n  "));
}

#[test]
fn rooms_know_only_the_rooms_below_them() {
    expect_none(&sources().iter().flat_map(tidy::layering::findings).collect::<Vec<_>>());
}

#[test]
fn files_are_short() {
    let long =
        |source: &&Source| source.lines.len() > MOST_FILE_LINES && !(source.is_test && source.text.contains(LONGER));
    let sources = sources();
    let found = sources.iter().filter(long).map(|source| {
        let (path, lines) = (&source.path, source.lines.len());
        format!("{path}: {lines} lines; split it, or a test file says `{LONGER}{MOST_FILE_LINES} lines because …`")
    });
    expect_none(&found.collect::<Vec<_>>());
}

#[test]
fn functions_are_short() {
    let mut findings = Vec::new();
    for source in sources() {
        for function in source.functions() {
            let above = &source.lines[function.line.saturating_sub(12)..function.line];
            if function.lines > MOST_FUNCTION_LINES && !above.iter().any(|line| line.contains(LONGER)) {
                let (path, line, name, lines) = (&source.path, function.line, function.name, function.lines);
                findings.push(format!("{path}:{line}: `{name}` has {lines} lines, {MOST_FUNCTION_LINES} are enough"));
            }
        }
    }
    expect_none(&findings);
}

#[test]
fn shipped_code_is_free_of_what_only_tests_may_do() {
    let mut findings = Vec::new();
    for source in sources().iter().filter(|source| source.path.starts_with("src/") && !source.is_test) {
        for (line, word) in source.shipped_words() {
            let banned = BANNED_CODE.iter().find(|(name, _, rooms)| *name == word && !rooms.contains(&source.room()));
            if let Some((name, instead, _)) = banned {
                findings.push(format!("{}:{line}: {name}: {instead}", source.path));
            }
        }
    }
    expect_none(&findings);
}

/// The text of every file that people wrote, but for this test, which has to name what it bans.
fn texts() -> Vec<(String, String)> {
    let generated =
        |path: &str| path.ends_with("package-lock.json") || path.ends_with("Cargo.lock") || path == "LICENSE";
    let others = ["tests/tidy", "supply-chain/advisories/", "fuzz/corpus/"];
    let ours = |path: &String| !generated(path) && !others.iter().any(|folder| path.starts_with(folder));
    let all = files(root()).into_iter().filter(ours);
    all.filter_map(|path| fs::read_to_string(root().join(&path)).ok().map(|text| (path, text))).collect()
}

#[test]
fn words_say_what_is_meant() {
    let mut findings = Vec::new();
    for (path, text) in texts() {
        for (number, line) in text.lines().enumerate() {
            let own = NAMES_OF_OTHERS.iter().fold(line.to_owned(), |line, name| line.replace(name, ""));
            let lower = words_of(&own);
            for (word, instead) in BANNED_WORDS.iter().filter(|(word, _)| lower.iter().any(|found| found == word)) {
                findings.push(format!("{path}:{}: {word}: {instead}", number + 1));
            }
        }
    }
    expect_none(&findings);
}

/// The words of a line in lower case, those within camelCase and snake_case names, too.
fn words_of(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for letter in line.chars() {
        if !letter.is_alphabetic() || (was_lower && letter.is_uppercase()) {
            words.push(String::new());
        }
        if let (true, Some(word)) = (letter.is_alphabetic(), words.last_mut()) {
            word.extend(letter.to_lowercase());
        }
        was_lower = letter.is_lowercase();
    }
    words
}

#[test]
fn nothing_names_a_path_of_one_machine() {
    let mut findings = Vec::new();
    for (path, text) in texts() {
        for (number, line) in text.lines().enumerate() {
            let named =
                |start: &&&str| line.split([' ', '"', '\'', '`', '=', '(', ':']).any(|word| word.starts_with(**start));
            if let Some(start) = MACHINE_PATHS.iter().find(named) {
                findings.push(format!("{path}:{}: {start}…", number + 1));
            }
        }
    }
    expect_none(&findings);
}

#[test]
fn every_dependency_has_a_reason() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut findings = Vec::new();
    let mut among_dependencies = false;
    for (number, line) in manifest.lines().enumerate() {
        if let Some(section) = line.strip_prefix('[') {
            among_dependencies = section.contains("dependencies");
            assert!(!section.contains("dependencies."), "Cargo.toml:{}: one line for each dependency", number + 1);
        } else if among_dependencies && line.contains('=') && !line.starts_with('#') {
            let reason = line.rsplit_once("# ").map_or("", |(_, reason)| reason);
            if reason.trim().is_empty() {
                findings.push(format!("Cargo.toml:{}: {line}: say why it is there, after a #", number + 1));
            }
        }
    }
    expect_none(&findings);
}

#[test]
fn every_room_tells_its_story() {
    let mut findings = Vec::new();
    for source in sources().iter().filter(|source| source.path.starts_with("src/")) {
        let folder = source.path.trim_end_matches(".rs");
        let opens_room = source.path.ends_with("/mod.rs") || root().join(folder).is_dir() || source.parent() == "src";
        if opens_room && !source.text.starts_with("//! ") && !source.is_test {
            findings.push(format!("{}: begins with `//!` and what happens there", source.path));
        }
    }
    expect_none(&findings);
}

#[test]
fn the_map_in_lib_shows_every_room_in_reading_order() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let declared = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let mut declared = declared.map(str::to_owned).collect::<Vec<_>>();
    let map = lib.lines().filter_map(|line| line.strip_prefix("//! ")).collect::<Vec<_>>().join(" ");
    let names = map.split("[`").skip(1).filter_map(|rest| Some(rest.split_once("`]")?.0.to_owned()));
    let mut shown = names.collect::<Vec<_>>();
    let mut folders = Vec::new();
    for entry in fs::read_dir(root().join("src")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if name != "lib" && name != "main" && !folders.contains(&name) {
            folders.push(name);
        }
    }
    // rustfmt sorts declarations; the map is in reading order, and begins at the contract's vocabulary.
    assert_eq!(shown.first().map(String::as_str), Some("event"), "the map in src/lib.rs begins with [`event`]");
    shown.sort();
    shown.dedup();
    declared.sort();
    folders.sort();
    assert_eq!(shown, folders, "the map in src/lib.rs (left) and what is in src/ (right)");
    assert_eq!(declared, folders, "the modules of src/lib.rs (left) and what is in src/ (right)");
}

#[test]
fn scripts_stop_at_errors_and_main_is_short() {
    let scripts = |(path, text): &(String, String)| {
        (path.starts_with("scripts/") || path.starts_with(".ci/"))
            && text.lines().next().is_some_and(|first| first.starts_with("#!") && first.contains("sh"))
    };
    for (path, text) in texts().into_iter().filter(scripts) {
        assert!(text.contains("pipefail") || text.contains("steps.sh"), "{path}: set -o pipefail");
    }
    let main = fs::read_to_string(root().join("src/main.rs")).unwrap();
    assert!(main.lines().count() < 60, "src/main.rs has {} lines, under 60 are enough", main.lines().count());
}

#[test]
fn this_test_finds_what_it_looks_for() {
    let source = Source::parse(
        "src/engine/x.rs",
        "use crate::{event::Sid, journal};\nfn long() {\n    a.unwrap();\n}\n#[cfg(test)]\nmod tests {\n    fn f() {\n        b.unwrap();\n    }\n}\n",
    );
    assert_eq!(tidy::layering::findings(&source).len(), 1, "engine knows event and not journal");
    let functions = source.functions().iter().map(|function| (function.line, function.lines)).collect::<Vec<_>>();
    assert_eq!(functions, [(2, 3), (7, 3)]);
    let unwraps = source.shipped_words().into_iter().filter(|(_, word)| word == "unwrap").count();
    assert_eq!(unwraps, 1, "the one outside tests");
    assert_eq!(words_of("fooBar baz_QUX"), ["foo", "bar", "baz", "qux"]);
}
