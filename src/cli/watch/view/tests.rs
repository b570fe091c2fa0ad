use std::collections::BTreeMap;
use std::time::Duration;

use prost_types::Timestamp;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::{Color, Modifier};

use super::*;
use crate::api::proto::v1::{
    ActivityStatistics, TasksByStatus, WaitTimeCounts, WaitTimeSplit, WorkspaceCumulativeStatistics,
    WorkspaceRealtimeStatistics,
};
use crate::cli::text::Clock;
use crate::cli::watch::args::BoardArgs;
use crate::cli::watch::feed::News;
use crate::cli::watch::figures::{Happened, Realtime};
use crate::cli::watch::follow::Loss;
use crate::cli::watch::keys::{Ask, press};
use crate::cli::watch::model::{List, Subject};

const NOW_S: i64 = 1_790_000_000; // 14:13:20

fn model() -> Model {
    let board = BoardArgs { title: "Customer care".to_owned(), within: 20, target: 80, warn: 60, alarm: 180 };
    let workspace = format!("WS{}", "0".repeat(32));
    let subject = Subject { workspace, channel: String::new() };
    Model::new(board, Clock::Utc, true, "http://127.0.0.1:50051".to_owned(), subject)
}

fn realtime(waits_s: Option<i64>, names: &[&str]) -> WorkspaceRealtimeStatistics {
    let activity = |(at, name): (usize, &&str)| ActivityStatistics {
        sid: format!("WA{at}"),
        friendly_name: (*name).to_owned(),
        workers: at as i64 + 1,
    };
    let at = |seconds| Timestamp { seconds, nanos: 0 };
    WorkspaceRealtimeStatistics {
        activity_statistics: names.iter().enumerate().map(activity).collect(),
        longest_task_waiting_age: waits_s.map(|seconds| prost_types::Duration { seconds, nanos: 0 }),
        longest_task_waiting_since: waits_s.map(|seconds| at(NOW_S - seconds)),
        tasks_by_priority: BTreeMap::from([(10, 1), (0, 19)]),
        tasks_by_status: Some(TasksByStatus {
            pending: 6,
            reserved: 0,
            assigned: 13,
            wrapping: 1,
            completed: 107,
            canceled: 9,
        }),
        total_tasks: 20,
        total_workers: 24,
        revision: 4321,
        as_of: Some(at(NOW_S)),
        ..Default::default()
    }
}

fn happened(created: i64, accepted: i64, within: i64) -> Happened {
    let below = WaitTimeCounts { reservations_accepted: within, tasks_canceled: 0 };
    let told = WorkspaceCumulativeStatistics {
        tasks_created: created,
        reservations_accepted: accepted,
        tasks_canceled: 3,
        avg_task_acceptance_time: Some(prost_types::Duration { seconds: 6, nanos: 0 }),
        split_by_wait_time: BTreeMap::from([(20, WaitTimeSplit { below: Some(below), above: None })]),
        ..Default::default()
    };
    Happened::new(&told, 20)
}

/// A board with figures, and the moment they came.
fn board(waits_s: Option<i64>, names: &[&str]) -> (Model, Instant) {
    let (mut model, now) = (model(), Instant::now());
    model.take(News::Realtime(Realtime::new(realtime(waits_s, names))), now).unwrap();
    for at in 0..3 {
        model.take(News::Window(at, happened(415, 383, 372)), now).unwrap();
        model.take(News::Trend(at, (0..15).map(|bucket| happened(bucket, 10, bucket.min(10))).collect()), now).unwrap();
    }
    (model, now)
}

fn painted(model: &Model, now: Instant, (width, height): (u16, u16)) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, model, now)).unwrap();
    terminal.backend().buffer().clone()
}

fn lines(buf: &Buffer) -> Vec<String> {
    let row = |y| (0..buf.area.width).map(|x| buf[(x, y)].symbol()).collect::<String>();
    (0..buf.area.height).map(row).collect()
}

fn text(model: &Model, now: Instant, size: (u16, u16)) -> String {
    lines(&painted(model, now, size)).join("\n")
}

fn key(code: KeyCode) -> KeyEvent {
    KeyEvent::new(code, KeyModifiers::NONE)
}

#[test]
fn everything_stands_on_a_small_terminal_and_on_a_large_one() {
    let (model, now) = board(Some(41), &["Available", "Break"]);
    for size in [(60, 20), (80, 24), (92, 26), (100, 32), (240, 70)] {
        let text = text(&model, now, size);
        for wanted in [
            "Customer care",
            "● Live",
            "As of 14:13:20, revision 4,321",
            "Longest wait",
            "since 14:12:39",
            "Active",
            "Pending",
            "Reserved",
            "Assigned",
            "Wrapping",
            "Priority 10",
            "Available",
            "Break",
            "Workers 24",
            "15 minutes",
            "4 hours",
            "8 hours",
            "97% ok",
            "415",
            "383",
            "0:06",
            "q end",
            "? help",
            "Service level: accepted within 20 s",
        ] {
            assert!(text.contains(wanted), "{size:?}: {wanted}\n{text}");
        }
        assert!(text.contains('▁') && text.contains('█'), "trends\n{text}");
    }
}

#[test]
fn no_size_panics_and_a_small_one_says_what_it_takes() {
    let names: Vec<String> = (0..40).map(|at| format!("activity {at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (mut full, now) = board(Some(400_000), &names);
    full.channels.names = (0..30).map(|at| format!("channel {at}")).collect();
    for popup in [None, Some('?'), Some('c')] {
        full.popup = None;
        popup.map(|letter| press(&mut full, key(KeyCode::Char(letter))));
        for width in (0..130).step_by(3) {
            for height in 0..50 {
                painted(&full, now, (width, height));
            }
        }
    }
    assert!(text(&model(), now, (59, 30)).contains("This terminal is 59 by 30."));
    assert!(text(&model(), now, (59, 30)).contains("The board needs 60 by 20."));
    assert!(!text(&model(), now, (60, 20)).contains("needs"));
}

#[test]
fn a_wait_counts_up_and_passes_its_thresholds_in_words_and_colour() {
    let (model, came) = board(Some(58), &[]);
    for (later_s, age, said, background) in [
        (0, "0:58", "since 14:12:22", Color::Reset),
        (2, "1:00", "Warning, over 1:00", Color::Yellow),
        (121, "2:59", "Warning, over 1:00", Color::Yellow),
        (122, "3:00", "ALARM, over 3:00", Color::Red),
    ] {
        let buf = painted(&model, came + Duration::from_secs(later_s), (60, 20));
        let shown = lines(&buf).join("\n");
        assert!(shown.contains(age) && shown.contains(said), "{later_s} s\n{shown}");
        let row = lines(&buf).iter().position(|line| line.contains(said)).unwrap();
        let column = lines(&buf)[row].chars().position(|letter| letter == said.chars().next().unwrap()).unwrap();
        assert_eq!(buf[(column as u16, row as u16)].bg, background, "{shown}");
    }
    let (nobody, now) = board(None, &[]);
    assert!(text(&nobody, now, (60, 20)).contains("Nobody waits"));
}

#[test]
fn a_lost_connection_fades_the_figures_and_says_since_when() {
    let (mut model, came) = board(Some(41), &[]);
    let lost = came + Duration::from_secs(5);
    let loss = Loss { why: "UNAVAILABLE: gone".to_owned(), is_answer: false };
    model.take(News::Lost { loss, pause: Duration::from_millis(1500) }, lost).unwrap();
    let buf = painted(&model, lost, (100, 32));
    let shown = lines(&buf).join("\n");
    assert!(shown.contains("▲ Stale since 14:13:20, trying again in 2 s"), "{shown}");
    assert!(shown.contains("UNAVAILABLE: gone") && shown.contains("415"), "{shown}");
    for position in Rect::new(0, 2, 100, 29).positions() {
        let cell = &buf[position];
        assert_eq!((cell.fg, cell.bg, cell.modifier), (Color::Reset, Color::Reset, Modifier::DIM), "{position}");
    }
    let later = text(&model, lost + Duration::from_secs(60), (60, 20));
    assert!(later.contains("trying again now") && later.contains("0:41"), "the wait stands still\n{later}");
    model.take(News::Realtime(Realtime::new(realtime(Some(101), &[]))), lost).unwrap();
    let back = text(&model, lost, (60, 20));
    assert!(back.contains("● Live") && back.contains("1:41") && !back.contains("Stale"), "{back}");
}

#[test]
fn before_the_first_figures_it_says_what_it_waits_for() {
    let (mut model, now) = (model(), Instant::now());
    assert!(text(&model, now, (60, 20)).contains("○ Connecting"));
    for (is_answer, state, said) in [
        (false, "▲ No answer, trying again in 1 s", "The server does not answer yet."),
        (true, "▲ Refused for now, trying again in 1 s", "The server gives no figures yet."),
    ] {
        let loss = Loss { why: "UNAVAILABLE: why".to_owned(), is_answer };
        model.take(News::Lost { loss, pause: Duration::from_secs(1) }, now).unwrap();
        let shown = text(&model, now, (60, 20));
        for wanted in [state, said, "UNAVAILABLE: why", "goes on trying"] {
            assert!(shown.contains(wanted), "{wanted}\n{shown}");
        }
    }
}

#[test]
fn a_channel_that_no_event_has_named_is_told_from_a_quiet_one() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let known = |has_more| List { names: names(&["chat", "voice"]), has_more, is_known: true, ..List::default() };
    let quiet =
        || WorkspaceRealtimeStatistics { as_of: Some(Timestamp { seconds: NOW_S, nanos: 0 }), ..Default::default() };
    let now = Instant::now();
    let says =
        |model: &Model| text(model, now, (60, 20)).contains("No event has named this channel yet, as of 14:13:20");
    for (channel, list, expected) in [
        ("voic", known(false), true),
        ("voic", known(true), false),
        ("voic", List { trouble: Some("UNAVAILABLE".to_owned()), ..List::default() }, false),
        ("voice", known(false), false),
        ("", known(false), false),
        // The list has no sids.
        ("TC00000000000000000000000000000001", known(false), false),
    ] {
        let mut model = model();
        model.subject.channel = channel.to_owned();
        model.take(News::Realtime(Realtime::new(quiet())), now).unwrap();
        assert!(!says(&model), "nobody knows yet");
        model.take(News::Channels(list), now).unwrap();
        assert_eq!(says(&model), expected, "{channel:?}");
        model.take(News::Realtime(Realtime::new(quiet())), now).unwrap();
        assert_eq!(says(&model), expected, "{channel:?}");
        model.take(News::Realtime(Realtime::new(realtime(None, &[]))), now).unwrap();
        model.take(News::Realtime(Realtime::new(quiet())), now).unwrap();
        assert!(!says(&model), "there was a task of it");
    }
}

#[test]
fn an_address_is_cut_where_there_is_no_room_for_all() {
    let (mut model, now) = board(None, &[]);
    model.address = "https://statistics.contact-centre.example:50051".to_owned();
    let footer = |width| lines(&painted(&model, now, (width, 24))).pop().unwrap();
    assert!(footer(80).contains("w workspace  https://statistics.co…"), "{}", footer(80));
    assert!(footer(120).ends_with("https://statistics.contact-centre.example:50051 "), "{}", footer(120));
    assert!(footer(60).trim_end().ends_with("w workspace"), "{}", footer(60));
}

#[test]
fn a_window_that_the_server_does_not_have_says_why() {
    let (mut model, now) = (model(), Instant::now());
    model.take(News::Realtime(Realtime::new(realtime(None, &[]))), now).unwrap();
    model.take(News::NoWindow(2, "The server keeps less than that (--retention).".to_owned()), now).unwrap();
    model.take(News::WindowLost(1), now).unwrap();
    let shown = text(&model, now, (60, 20));
    assert!(shown.contains("keeps less") && shown.contains("--retention") && shown.contains("4 h, stale"), "{shown}");
}

#[test]
fn hostile_names_neither_steer_the_terminal_nor_leave_their_column() {
    let long = "x".repeat(3_000);
    let names =
        ["\u{1b}[2J\u{1b}]0;title\u{7}", "two\nlines\r", "\u{202e}evil", "休憩時間休憩時間休憩時間休憩時間", &long];
    let (mut model, now) = board(Some(1), &names);
    model.subject.channel = "\u{9b}31m\u{1b}c".to_owned();
    model.board.title = "\u{1b}[H".to_owned();
    model.channels = List { names: vec!["\u{1b}[3J".to_owned()], is_known: true, ..List::default() };
    for size in [(60, 20), (100, 32)] {
        for popup in [None, Some('c')] {
            model.popup = None;
            popup.map(|letter| press(&mut model, key(KeyCode::Char(letter))));
            let buf = painted(&model, now, size);
            let shown = lines(&buf);
            for cell in &buf.content {
                assert!(
                    !cell.symbol().contains(|letter: char| letter.is_control() || letter == '\u{202e}'),
                    "{cell:?}"
                );
            }
            if popup.is_none() {
                let frames = shown.iter().filter(|line| line.trim_end().ends_with(['│', '┐', '┘'])).count();
                assert_eq!(
                    frames,
                    usize::from(size.1) - 3,
                    "each row of a tile ends with its frame\n{}",
                    shown.join("\n")
                );
                assert!(shown.iter().any(|line| line.contains("…")), "cut with a mark\n{}", shown.join("\n"));
            }
        }
    }
}

#[test]
fn many_rows_are_summed() {
    let names: Vec<String> = (0..1_000).map(|at| format!("activity {at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (model, now) = board(None, &names);
    let shown = text(&model, now, (100, 32));
    assert!(shown.contains("activity 999") && shown.contains("more") && !shown.contains("activity 5 "), "{shown}");
}

#[test]
fn without_colour_nothing_is_lost() {
    let (mut model, came) = board(Some(500), &["Available"]);
    let colored = painted(&model, came, (100, 32));
    model.has_color = false;
    let plain = painted(&model, came, (100, 32));
    assert_eq!(lines(&plain), lines(&colored));
    assert!(plain.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    assert!(colored.content.iter().any(|cell| cell.bg == Color::Red));
    let fixed = |color: Color| matches!(color, Color::Rgb(..) | Color::Indexed(_));
    assert!(!colored.content.iter().any(|cell| fixed(cell.fg) || fixed(cell.bg)), "the terminal's own palette");
}

#[test]
fn keys_choose_a_channel() {
    let (mut model, now) = board(None, &[]);
    assert_eq!(press(&mut model, key(KeyCode::Right)), Some(Ask::LookForChannels), "none is known yet");
    let list = List { names: vec!["chat".to_owned(), "voice".to_owned()], is_known: true, ..List::default() };
    model.take(News::Channels(list), now).unwrap();
    for (code, channel) in
        [(KeyCode::Right, "chat"), (KeyCode::Right, "voice"), (KeyCode::Right, ""), (KeyCode::Left, "voice")]
    {
        assert_eq!(press(&mut model, key(code)), Some(Ask::Follow));
        assert_eq!(model.subject.channel, channel);
        assert!(model.realtime.is_none(), "figures of another channel are gone");
    }
    assert_eq!(press(&mut model, key(KeyCode::Char('c'))), Some(Ask::LookForChannels));
    let shown = text(&model, now, (60, 20));
    assert!(shown.contains(">  ✓ voice") || shown.contains("> ✓ voice"), "{shown}");
    press(&mut model, key(KeyCode::Up));
    assert_eq!(press(&mut model, key(KeyCode::Enter)), Some(Ask::Follow));
    assert_eq!((model.subject.channel.as_str(), model.popup.is_none()), ("chat", true));
    press(&mut model, key(KeyCode::Char('c')));
    assert_eq!(press(&mut model, key(KeyCode::Enter)), None, "the same one again");
    assert_eq!(press(&mut model, key(KeyCode::Esc)), Some(Ask::End));
}

#[test]
fn where_nobody_chose_a_workspace_the_board_offers_them() {
    let mut model = Model::new(model().board, Clock::Utc, true, String::new(), Subject::default());
    let now = Instant::now();
    assert!(text(&model, now, (60, 20)).contains("Looking…"));
    assert_eq!(press(&mut model, key(KeyCode::Enter)), None, "there is none yet");
    let list = List { names: vec!["WS1".to_owned(), "WS2".to_owned()], is_known: true, ..List::default() };
    model.take(News::Workspaces(list), now).unwrap();
    press(&mut model, key(KeyCode::Down));
    assert!(text(&model, now, (60, 20)).contains(">   WS2"));
    let mut other = Model::new(model.board.clone(), Clock::Utc, true, String::new(), Subject::default());
    assert_eq!(press(&mut other, key(KeyCode::Esc)), Some(Ask::End));
    assert_eq!(press(&mut model, key(KeyCode::Enter)), Some(Ask::Follow));
    assert_eq!(model.subject.workspace, "WS2");
}

#[test]
fn keys_end_help_and_suspend() {
    let (mut model, now) = board(None, &[]);
    let control = |letter| KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL);
    for (key, asks) in [
        (key(KeyCode::Char('q')), Some(Ask::End)),
        (key(KeyCode::Esc), Some(Ask::End)),
        (control('c'), Some(Ask::End)),
        (control('z'), Some(Ask::Suspend)),
        (control('l'), Some(Ask::Repaint)),
        (key(KeyCode::Char('x')), None),
    ] {
        assert_eq!(press(&mut model, key), asks, "{key:?}");
    }
    press(&mut model, key(KeyCode::Char('?')));
    assert!(text(&model, now, (60, 20)).contains("choose a task channel"));
    assert_eq!(press(&mut model, control('c')), Some(Ask::End), "whatever is open");
    assert_eq!(press(&mut model, key(KeyCode::Esc)), None, "closes the help");
    assert!(model.popup.is_none());
}
