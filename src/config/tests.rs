use std::path::PathBuf;

use super::serve::cores;
use super::*;
use crate::limits;

fn parse_line(line: &str) -> Result<Arguments, clap::Error> {
    try_parse(line.split_whitespace().map(OsString::from), None)
}

fn serve(line: &str) -> ServeConfig {
    match parse_line(line) {
        Ok(Arguments { command: Command::Serve(config), .. }) => *config,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn examples_and_exit_codes_fit_into_a_terminal() {
    assert!(super::EXAMPLES.lines().all(|line| line.chars().count() < 80));
}

#[test]
fn serve_is_what_no_command_means() {
    assert_eq!(serve("tasktally"), serve("tasktally serve"));
    let config = serve("tasktally --listen 127.0.0.1:0 --ephemeral");
    assert_eq!(config, serve("tasktally serve --listen 127.0.0.1:0 --ephemeral"));
    assert!(config.ephemeral);
    assert_eq!(config.listen.port(), 0);
    // Flags of the whole program may come before a command, too.
    let get = parse_line("tasktally --log-format json get").unwrap();
    assert!(matches!(get.command, Command::Client(_)));
    assert_eq!(get.log.format, LogFormat::Json);
    for line in ["tasktally --help", "tasktally -V", "tasktally help serve"] {
        assert!(!parse_line(line).unwrap_err().use_stderr(), "{line} is an answer, not a complaint");
    }
}

#[test]
fn a_demo_keeps_nothing_unless_a_directory_is_named_and_asks_nobody_who_they_are() {
    assert_eq!(serve("tasktally --demo"), serve("tasktally serve --demo"));
    let config = serve("tasktally --demo");
    assert!(config.demo && config.ephemeral);
    let config = serve("tasktally --demo --data-dir new");
    assert!(config.demo && !config.ephemeral);
    assert!(!serve("tasktally").demo);
    for (flags, named) in [("--credentials f", "--credentials"), ("--tls-cert c --tls-key k", "--tls-cert")] {
        let refused = parse_line(&format!("tasktally serve --demo {flags}")).unwrap_err();
        assert!(refused.to_string().contains(&format!("leave {named}")), "{refused}");
    }
}

#[test]
fn defaults_are_those_of_the_limits() {
    let config = serve("tasktally");
    assert_eq!(config.listen, "127.0.0.1:50051".parse().unwrap());
    assert_eq!(config.data_dir, PathBuf::from("tasktally-data"));
    assert_eq!(config.retention, limits::RETENTION_MAX);
    assert_eq!(config.shutdown_timeout, limits::SHUTDOWN_TIMEOUT_DEFAULT);
    assert_eq!(config.checkpoint_interval, limits::CHECKPOINT_INTERVAL_DEFAULT);
    assert_eq!(config.partitions, cores());
    assert!(!config.ephemeral);
    assert_eq!(config.bounds.max_message_bytes, limits::MESSAGE_BYTES);
    assert_eq!(config.bounds.max_ingest_bytes, limits::INGEST_BYTES);
    assert_eq!(config.bounds.min_free_disk, limits::MIN_FREE_DISK_BYTES);
}

#[test]
fn complaints_name_the_flag_and_what_is_allowed() {
    for (line, flag, why) in [
        ("tasktally --retention 59m", "--retention", "must be 1h to 30days"),
        ("tasktally --retention 31d", "--retention", "must be 1h to 30days"),
        ("tasktally --retention soon", "--retention", "expected number"),
        ("tasktally --listen nowhere", "--listen", "not an ADDRESS:PORT"),
        ("tasktally --partitions 0", "--partitions", "from 1 to 256"),
        ("tasktally --public-url ftp://x", "--public-url", "http:// or https://"),
        ("tasktally --shutdown-timeout 2h", "--shutdown-timeout", "must be 100ms to 1h"),
        ("tasktally --trace-endpoint localhost:4317", "--trace-endpoint", "must be http:// or https://"),
        ("tasktally --trace-endpoint http://a:4317/v1/traces", "--trace-endpoint", "a host and a port"),
        ("tasktally --trace-endpoint http://me@a:4317", "--trace-endpoint", "a host and a port"),
        ("tasktally --trace-endpoint http://a", "--trace-endpoint", "a host and a port"),
        ("tasktally --trace-endpoint http://a:99999", "--trace-endpoint", "a host and a port"),
        ("tasktally --trace-endpoint http://", "--trace-endpoint", "must be http:// or https://"),
        ("tasktally --trace-sample 1.5", "--trace-sample", "from 0 to 1"),
        ("tasktally --trace-sample NaN", "--trace-sample", "from 0 to 1"),
        ("tasktally --log-level =,=", "--log-level", "invalid"),
        ("tasktally get --address ftp://x", "--address", "http://"),
        ("tasktally get --timeout 0s", "--timeout", "must be"),
        ("tasktally cumulative --minutes 0", "--minutes", "1..=43200"),
        ("tasktally cumulative --split 0", "--split", "1..=2592000"),
        ("tasktally cumulative --minutes 5 --start 2h", "--minutes", "cannot be used with"),
        ("tasktally simulate --duplicates 1.5", "--duplicates", "from 0 to 1"),
        ("tasktally simulate --backfill 31d", "--backfill", "must be"),
        ("tasktally simulate --rate 0", "--rate", "must be"),
    ] {
        let complaint = parse_line(line).map(|_| ()).unwrap_err().to_string();
        assert!(complaint.contains(flag) && complaint.contains(why), "{line}:\n{complaint}");
    }
    let error = try_parse(["tasktally".into()], Some("=,=".to_owned())).unwrap_err();
    assert!(error.to_string().contains("RUST_LOG"), "{error}");
}

#[test]
fn levels_come_from_the_flag_then_rust_log_then_the_command() {
    let level = |line: &str, rust_log: Option<&str>| {
        let arguments = line.split_whitespace().map(OsString::from);
        try_parse(arguments, rust_log.map(str::to_owned)).unwrap().log.level
    };
    assert_eq!(level("tasktally --log-level debug", Some("trace")), "debug");
    assert_eq!(level("tasktally", Some("tasktally=trace")), "tasktally=trace");
    assert_eq!(level("tasktally", None), "info");
    assert_eq!(level("tasktally get", None), "warn");
}

#[test]
fn the_public_base_is_as_given_or_where_the_server_listens() {
    let bound = "127.0.0.1:4711".parse().unwrap();
    assert_eq!(serve("tasktally").public_base(bound), "http://127.0.0.1:4711");
    assert_eq!(serve("tasktally").public_base("0.0.0.0:80".parse().unwrap()), "http://localhost:80");
    assert_eq!(serve("tasktally --public-url https://a.example/b/").public_base(bound), "https://a.example/b");
}

/// The cells of README's table of bounds: setting and default.
fn documented() -> Vec<(String, String)> {
    let readme = include_str!("../../README.md");
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| `--"));
    let cells = rows.filter_map(|row| row.split_once("` | ").map(|(flag, rest)| (flag, rest.split(" |").next())));
    cells.filter_map(|(flag, default)| Some((flag.to_owned(), default?.trim().to_owned()))).collect()
}

#[test]
fn the_table_of_bounds_in_the_readme_is_that_of_the_program() {
    let mut cli = Cli::command();
    let serve = cli.find_subcommand_mut("serve").unwrap();
    let bounds = serve.get_arguments().filter(|flag| flag.get_help_heading() == Some(super::bounds::BOUNDS));
    let told: Vec<(String, String)> = bounds
        .map(|flag| {
            let defaults = flag.get_default_values().iter().map(|value| value.to_string_lossy().into_owned());
            let variable = flag.get_env().unwrap_or_else(|| panic!("{flag} has no variable")).to_string_lossy();
            let name = flag.get_long().unwrap();
            assert_eq!(variable, format!("TASKTALLY_{}", name.replace('-', "_").to_uppercase()));
            (name.to_owned(), defaults.collect())
        })
        .collect();
    assert!(told.len() >= 22, "{told:?}");
    assert_eq!(documented(), told, "README.md's table of bounds (left) and the flags of serve (right)");
}

#[test]
fn bounds_that_contradict_each_other_are_refused_in_a_sentence() {
    for (line, sentence) in [
        (
            "--max-queued-events 9999 --max-events-per-call 10000",
            "--max-events-per-call 10000 is more than --max-queued-events 9999: set",
        ),
        (
            "--max-ingest-bytes 1MiB --max-message-bytes 4MiB",
            "--max-message-bytes 4194304 is more than --max-ingest-bytes 1048576: set",
        ),
        (
            "--max-watchers 9 --max-watchers-per-account 10",
            "--max-watchers-per-account 10 is more than --max-watchers 9: set",
        ),
        ("--max-tasks-per-account 4 --max-tasks-per-workspace 5", "or raise --max-tasks-per-account"),
        ("--max-events-per-call 20001", "is more than a group commit can take: at most 20000"),
        ("--max-name-bytes 4067", "would not fit into the 4194304 bytes that clients take"),
        ("--max-page-size 1001", "must be from 1 to 1000"),
        ("--max-watchers 0", "must be at least 1"),
        ("--max-message-bytes 4MB", "must be a number of bytes, or of KiB"),
        ("--max-message-bytes 0", "must be from 1KiB to 1TiB"),
        ("--min-free-disk MiB", "must begin with a number"),
    ] {
        let complaint = parse_line(&format!("tasktally {line}")).map(|_| ()).unwrap_err().to_string();
        assert!(complaint.contains(sentence), "{line}:\n{complaint}");
    }
    let refused = parse_line("tasktally --max-watchers 9 --max-watchers-per-account 10").map(|_| ()).unwrap_err();
    assert!(refused.to_string().contains("Usage: tasktally serve"), "{refused}");
    // Of two, the one that was not given follows the one that was.
    let config =
        serve("tasktally --max-watchers 9 --max-connections 100 --max-ingest-bytes 1KiB --max-name-bytes 1024");
    assert_eq!((config.bounds.max_watchers_per_account, config.connections.max_connections_per_peer), (9, 100));
    assert_eq!((config.bounds.max_message_bytes, config.bounds.max_name_bytes), (1024, 1024));
    let config = serve("tasktally --max-queued-events 10000 --max-ingest-bytes 4MiB --min-free-disk 0");
    assert_eq!((config.bounds.max_queued_events, config.bounds.max_ingest_bytes), (10_000, 4 << 20));
    assert_eq!(config.bounds.min_free_disk, 0);
}

/// A file of settings, and a command line that names it.
fn with_settings(text: &str, line: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tasktally.toml");
    std::fs::write(&path, text).unwrap();
    let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
    let command = format!("{first} {rest} --config {}", path.display());
    (dir, command)
}

#[test]
fn a_file_sets_what_no_flag_does() {
    let text = "listen = '127.0.0.1:7000'\nmax_watchers = 1_00\nephemeral = true\nretention = \"2h\"\n\
                http-cors-origin = [\"https://a.example\", \"https://b.example\"]\n";
    let (_dir, line) = with_settings(text, "tasktally --listen=127.0.0.1:8000");
    let config = serve(&line);
    assert_eq!(config.listen.port(), 8000, "the flag wins");
    assert_eq!((config.bounds.max_watchers, config.bounds.max_watchers_per_account), (100, 100));
    assert!(config.ephemeral && config.retention.as_secs() == 7200);
    assert_eq!(config.http.http_cors_origin.len(), 2);
    let (_dir, line) = with_settings("ephemeral = false", "tasktally");
    assert!(!serve(&line).ephemeral);
    let (_dir, line) = with_settings("trace-sample = 0.25", "tasktally");
    assert!((serve(&line).trace.trace_sample - 0.25).abs() < 1e-9);
    let (_dir, line) = with_settings("log-format = 'json'", "tasktally --log-level debug");
    assert_eq!(parse_line(&line).unwrap().log.format, LogFormat::Json);
}

#[test]
fn what_is_wrong_in_a_file_is_told_with_its_line() {
    for (text, complaint) in [
        ("\n\nlisten", "tasktally.toml, line 3: not TOML"),
        ("listen = ''\nlissen = 'x'", "tasktally.toml, line 2: there is no setting `lissen`"),
        ("config = 'other.toml'", "there is no setting `config`"),
        ("help = true", "there is no setting `help`"),
        ("ephemeral = 'yes'", "`ephemeral` is true or false"),
        ("max-watchers = [1]", "`max-watchers` is a text or a number"),
        ("http-cors-origin = [true]", "`http-cors-origin` is a text, or a list of texts"),
        // As of the flags.
        ("max-watchers = 0", "'--max-watchers <N>': must be at least 1"),
        ("max-watchers = 1.5", "'--max-watchers <N>': must be a number"),
        ("trace-sample = 1.5", "'--trace-sample <RATIO>': must be a number from 0 to 1"),
        ("max-watchers = 0", "note: `max-watchers` comes from "),
        ("tls-cert = 'a.pem'", "--tls-key <FILE>"),
        ("tls-cert = 'a.pem'", "note: `tls-cert` comes from "),
        ("max-watchers = 9\nmax-watchers-per-account = 10", "is more than --max-watchers 9"),
    ] {
        let (_dir, line) = with_settings(text, "tasktally");
        let told = parse_line(&line).map(|_| ()).unwrap_err().to_string();
        assert!(told.contains(complaint), "{text}:\n{told}");
    }
    let missing = parse_line("tasktally --config /nowhere/at/all.toml").map(|_| ()).unwrap_err().to_string();
    assert!(missing.contains("cannot read /nowhere/at/all.toml"), "{missing}");
    let endless = parse_line("tasktally --config /dev/zero").map(|_| ()).unwrap_err().to_string();
    assert!(endless.contains("it is no file"), "{endless}");
    let (dir, _) = with_settings("", "tasktally");
    let large = dir.path().join("large.toml");
    std::fs::File::create(&large).unwrap().set_len(1 << 30).unwrap();
    let told = parse_line(&format!("tasktally --config {}", large.display())).map(|_| ()).unwrap_err().to_string();
    assert!(told.contains("more than 1048576 bytes"), "{told}");
    // A flag that was given is nobody else's.
    let (_dir, line) = with_settings("max-watchers = 9", "tasktally --max-workers-per-workspace=0");
    let told = parse_line(&line).map(|_| ()).unwrap_err().to_string();
    assert!(!told.contains("note:"), "{told}");
}

fn shown(line: &str) -> String {
    let Command::Config(shown) = parse_line(line).unwrap_or_else(|error| panic!("{error}")).command else {
        panic!("{line} is not config")
    };
    let mut out = Vec::new();
    shown.write(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn config_says_what_is_in_force_and_where_it_comes_from() {
    let (_dir, line) = with_settings("max-watchers = 100\nretention = '2h'", "tasktally config --retention 3h");
    let rows: serde_json::Value = serde_json::from_str(&shown(&format!("{line} --output json"))).unwrap();
    let row = |name: &str| {
        let found = rows.as_array().unwrap().iter().find(|row| row["setting"] == name);
        let row = found.unwrap_or_else(|| panic!("no {name} in {rows}"));
        (row["value"].as_str().map(str::to_owned), row["from"].as_str().unwrap().to_owned())
    };
    assert_eq!(row("max-watchers"), (Some("100".into()), "file".into()));
    assert_eq!(row("retention"), (Some("3h".into()), "flag".into()));
    assert_eq!(row("max-watchers-per-account"), (Some("100".into()), "follows".into()));
    assert_eq!(row("listen"), (Some("127.0.0.1:50051".into()), "default".into()));
    assert_eq!(row("ephemeral"), (Some("false".into()), "default".into()));
    assert_eq!(row("public-url"), (None, "default".into()));
    assert!(shown("tasktally config --demo").lines().any(|line| line.ends_with("follows --demo")));
    let table = shown(&line);
    assert!(table.lines().any(|line| line.starts_with("max-watchers ") && line.contains("tasktally.toml")), "{table}");
    assert!(table.lines().any(|line| line.ends_with("follows --max-watchers")), "{table}");
    // Every flag of serve is there once.
    let mut cli = Cli::command();
    cli.build();
    let flags = cli.find_subcommand("serve").unwrap().get_arguments().filter(|flag| super::file::is_setting(flag));
    assert_eq!(rows.as_array().unwrap().len(), flags.count());
}

#[test]
fn a_file_that_config_wrote_sets_the_same() {
    let line = "tasktally config --retention 3h --max-watchers 100 --ephemeral --output toml";
    let (_dir, again) = with_settings(&shown(line), "tasktally");
    let expected = serve("tasktally --retention 3h --max-watchers 100 --ephemeral");
    assert_eq!(ServeConfig { config: None, ..serve(&again) }, expected);
}
