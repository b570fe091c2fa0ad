//! The longest wait, and the tasks by status.

use std::time::Instant;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};

use super::{lists, tile};
use crate::cli::text::count;
use crate::cli::watch::big;
use crate::cli::watch::figures::{Longest, Realtime, length};
use crate::cli::watch::model::{At, Model};
use crate::cli::watch::paint::{Paint, put, put_mid, put_right, wide};

const DAY_S: u64 = 24 * 60 * 60;
const STATUSES: [(&str, Color); 4] =
    [("Pending", Color::Yellow), ("Reserved", Color::Magenta), ("Assigned", Color::Blue), ("Wrapping", Color::Green)];

/// The wait as it is now, and what is said of it.
struct Wait {
    age: String,
    since: String,
    /// That it has passed a threshold.
    over: Option<(String, Style)>,
}

fn wait(model: &Model, paint: Paint, now: Instant) -> Wait {
    let longest = model.realtime.as_ref().and_then(|At { told, .. }| told.longest.as_ref());
    let (Some(age), Some(Longest { since_ms, .. })) = (model.wait(now), longest) else {
        return Wait { age: length(0), since: "Nobody waits".to_owned(), over: None };
    };
    let (seconds, board) = (age.as_secs(), &model.board);
    let since = if seconds < DAY_S { model.clock.time(*since_ms) } else { model.clock.day(*since_ms) };
    let over = if seconds >= u64::from(board.alarm) {
        Some((format!(" ALARM, over {} ", length(board.alarm.into())), paint.alarm()))
    } else if seconds >= u64::from(board.warn) {
        Some((format!(" Warning, over {} ", length(board.warn.into())), paint.warn()))
    } else {
        None
    };
    Wait { age: length(seconds), since: format!("since {since}"), over }
}

pub fn longest(buf: &mut Buffer, area: Rect, model: &Model, paint: Paint, now: Instant) {
    let inner = tile(buf, area, "Longest wait", paint);
    let Wait { age, since, over } = wait(model, paint, now);
    let style = match over {
        Some((_, style)) if style == paint.alarm() => paint.bad(),
        _ => paint.figure(),
    };
    let digits = Rect { height: inner.height.saturating_sub(2), ..inner };
    if big::paint(buf, digits, &age, style).is_none() {
        put_mid(buf, inner, inner.y + digits.height / 2, &age, style);
    }
    put_mid(buf, inner, inner.bottom().saturating_sub(2), &since, paint.quiet());
    if let Some((text, style)) = over {
        put_mid(buf, inner, inner.bottom().saturating_sub(1), &text, style);
    }
}

pub fn now(buf: &mut Buffer, area: Rect, told: &Realtime, paint: Paint) {
    let inner = tile(buf, area, "Tasks now", paint);
    let below = inner.bottom().saturating_sub(1);
    let top = inner.y + inner.height.saturating_sub(7) / 2;
    line(buf, inner, top, "Active", told.total_tasks, paint);
    let counts = told.by_status.iter().map(|tasks| wide(&count(*tasks))).max().unwrap_or(0);
    for (y, ((name, color), tasks)) in (top + 1..below).zip(STATUSES.into_iter().zip(told.by_status)) {
        let mark = if paint.has_color { Style::new().fg(color) } else { Style::new() };
        put(buf, (inner.x, y), 1, "■", mark);
        put(buf, (inner.x + 2, y), 9, name, Style::new());
        put_right(buf, (inner.x, y), inner.width, &count(tasks), paint.figure());
        let room = inner.width.saturating_sub(12 + counts + 1);
        put(buf, (inner.x + 11, y), room, &lists::bar(tasks, told.total_tasks, room), mark);
    }
    let ended = format!("In 5 min {} completed, {} canceled", count(told.completed), count(told.canceled));
    put(buf, (inner.x, below), inner.width, &ended, paint.quiet());
}

/// Both in one tile, for where there is little room.
pub fn short(buf: &mut Buffer, area: Rect, model: &Model, paint: Paint, now: Instant) {
    let Some(At { told, .. }) = &model.realtime else { return };
    let inner = tile(buf, area, "Tasks now", paint);
    let Wait { age, since, over } = wait(model, paint, now);
    let mut rows = inner.y..inner.bottom();
    let mut next = || rows.next().unwrap_or(inner.bottom());
    let y = next();
    put(buf, (inner.x, y), inner.width, "Longest wait", Style::new());
    put_right(buf, (inner.x, y), inner.width, &age, paint.figure());
    let (said, style) = over.unwrap_or((since, paint.quiet()));
    put(buf, (inner.x, next()), inner.width, &said, style);
    line(buf, inner, next(), "Active", told.total_tasks, paint);
    for ((name, _), tasks) in STATUSES.into_iter().zip(told.by_status) {
        line(buf, inner, next(), &format!("  {name}"), tasks, paint);
    }
    for (name, tasks) in [("Completed, 5 min", told.completed), ("Canceled, 5 min", told.canceled)] {
        line(buf, inner, next(), name, tasks, paint);
    }
}

fn line(buf: &mut Buffer, inner: Rect, y: u16, name: &str, tasks: u64, paint: Paint) {
    // Below the tile there is none.
    if y < inner.bottom() {
        put(buf, (inner.x, y), inner.width, name, Style::new());
        put_right(buf, (inner.x, y), inner.width, &count(tasks), paint.figure());
    }
}
