use std::path::PathBuf;

use super::serve::cores;
use super::*;
use crate::limits;

fn parse_line(line: &str) -> Result<Arguments, clap::Error> {
    try_parse(line.split_whitespace().map(OsString::from), None)
}

fn serve(line: &str) -> ServeConfig {
    match parse_line(line) {
        Ok(Arguments { command: Command::Serve(config), .. }) => config,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
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
fn defaults_are_those_of_the_limits() {
    let config = serve("tasktally");
    assert_eq!(config.listen, "127.0.0.1:50051".parse().unwrap());
    assert_eq!(config.data_dir, PathBuf::from("tasktally-data"));
    assert_eq!(config.retention, limits::RETENTION_MAX);
    assert_eq!(config.shutdown_timeout, limits::SHUTDOWN_TIMEOUT_DEFAULT);
    assert_eq!(config.checkpoint_interval, limits::CHECKPOINT_INTERVAL_DEFAULT);
    assert_eq!(config.partitions, cores());
    assert!(!config.ephemeral);
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
