//! The board as it is seen: a function of the model and the moment.

mod lists;
mod over;
mod tasks;
mod windows;

#[cfg(test)]
mod tests;

use std::time::Instant;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::widgets::{Block, Widget};

use super::figures::shown;
use super::follow::Loss;
use super::model::{At, Link, Model};
use super::paint::{Paint, fade, put, put_mid, put_right, wide};
use crate::cli::text::count;

/// The smallest terminal that has room for it.
pub const LEAST: (u16, u16) = (60, 20);

/// From here on there is room for large digits and bars.
const ROOMY: (u16, u16) = (92, 26);

/// Letters of a workspace's sid where there is no room for all.
const SHORT_SID: usize = 12;

/// Columns from which on a part of an address says something.
const LEAST_ADDRESS: u16 = 12;

pub fn draw(frame: &mut Frame, model: &Model, now: Instant) {
    let (area, buf) = (frame.area(), frame.buffer_mut());
    if area.width < LEAST.0 || area.height < LEAST.1 {
        return too_small(buf, area);
    }
    let paint = Paint { has_color: model.has_color };
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(2), Constraint::Min(0), Constraint::Length(1)]).areas(area);
    header(buf, head, model, paint, now);
    footer(buf, foot, model, paint);
    match &model.realtime {
        None => waiting(buf, body, model, paint),
        Some(_) => {
            board(buf, body, model, paint, now);
            if model.is_stale() {
                fade(buf, body);
            }
        }
    }
    over::paint(buf, body, model, paint);
}

fn too_small(buf: &mut Buffer, area: Rect) {
    let lines = [
        format!("This terminal is {} by {}.", area.width, area.height),
        format!("The board needs {} by {}.", LEAST.0, LEAST.1),
        "q ends it.".to_owned(),
    ];
    let top = area.y + area.height.saturating_sub(3) / 2;
    for (y, line) in (top..area.bottom()).zip(&lines) {
        put_mid(buf, area, y, line, Style::new());
    }
}

fn header(buf: &mut Buffer, area: Rect, model: &Model, paint: Paint, now: Instant) {
    let (state, style) = match &model.link {
        Link::Connecting if model.subject.workspace.is_empty() => (String::new(), paint.quiet()),
        Link::Connecting => ("○ Connecting".to_owned(), paint.quiet()),
        Link::Live => ("● Live".to_owned(), paint.good()),
        Link::Lost { loss: Loss { is_answer, .. }, again_at } => {
            let left = again_at.saturating_duration_since(now).as_millis().div_ceil(1000);
            let again = if left == 0 { "trying again now".to_owned() } else { format!("trying again in {left} s") };
            let state = match &model.realtime {
                Some(At { told, .. }) => format!(" ▲ Stale since {}, {again} ", model.clock.time(told.as_of_ms)),
                None if *is_answer => format!(" ▲ Refused for now, {again} "),
                None => format!(" ▲ No answer, {again} "),
            };
            (state, paint.warn())
        }
    };
    let side = wide(&state).min(area.width.saturating_sub(2));
    put_right(buf, (area.x, area.y), area.width - 1, &state, style);
    let room = area.width.saturating_sub(side + 3);
    let mut x = area.x + 1;
    let title = shown(&model.board.title);
    x += put(buf, (x, area.y), room, &title, paint.figure());
    let subject = subject(model, area.width >= 110);
    put(buf, (x + 2, area.y), (area.x + 1 + room).saturating_sub(x + 2), &subject, Style::new());
    let below = match (&model.link, &model.realtime) {
        (Link::Lost { loss, .. }, _) => shown(&loss.why),
        (_, Some(At { told, .. })) if model.is_unheard => {
            format!("No event has named this channel yet, as of {}", model.clock.time(told.as_of_ms))
        }
        (_, Some(At { told, .. })) => {
            format!("As of {}, revision {}", model.clock.time(told.as_of_ms), count(told.revision))
        }
        (_, None) => shown(&model.address),
    };
    put(buf, (area.x + 1, area.y + 1), area.width - 2, &below, paint.quiet());
}

fn subject(model: &Model, is_wide: bool) -> String {
    let workspace = shown(&model.subject.workspace);
    let short = match workspace.char_indices().nth(SHORT_SID) {
        Some((at, _)) if !is_wide => format!("{}…", &workspace[..at]),
        _ => workspace,
    };
    let channel = match model.subject.channel.as_str() {
        "" => "all channels".to_owned(),
        name => format!("channel {}", shown(name)),
    };
    if short.is_empty() { String::new() } else { format!("{short} · {channel}") }
}

fn footer(buf: &mut Buffer, area: Rect, model: &Model, paint: Paint) {
    let mut x = area.x + 1;
    for (key, does) in [("q", "end"), ("?", "help"), ("c", "channel"), ("←→", "next channel"), ("w", "workspace")] {
        x += put(buf, (x, area.y), area.right().saturating_sub(x), key, paint.figure()) + 1;
        x += put(buf, (x, area.y), area.right().saturating_sub(x), does, paint.quiet()) + 2;
    }
    let room = area.right().saturating_sub(x + 1);
    if room >= LEAST_ADDRESS {
        put_right(buf, (x, area.y), room, &shown(&model.address), paint.quiet());
    }
}

fn waiting(buf: &mut Buffer, area: Rect, model: &Model, paint: Paint) {
    let text = match &model.link {
        // The list lies over it.
        _ if model.subject.workspace.is_empty() => "",
        Link::Lost { loss, .. } if loss.is_answer => "The server gives no figures yet. The board goes on trying.",
        Link::Lost { .. } => "The server does not answer yet. The board goes on trying.",
        _ => "Waiting for the first figures.",
    };
    put_mid(buf, area, area.y + area.height / 2, text, paint.quiet());
}

fn board(buf: &mut Buffer, area: Rect, model: &Model, paint: Paint, now: Instant) {
    let Some(At { told, .. }) = &model.realtime else { return };
    let parts = |shares: [u16; 3], area| Layout::horizontal(shares.map(Constraint::Fill)).areas::<3>(area);
    let rows = |height| Layout::vertical([Constraint::Length(height), Constraint::Min(0)]).areas::<2>(area);
    let priorities = |buf: &mut Buffer, area| {
        let inner = tile(buf, area, "By priority", paint);
        lists::paint(buf, inner, &told.priorities, "No active task", paint);
    };
    let workers = |buf: &mut Buffer, area| {
        let inner = tile(buf, area, &format!("Workers {}", count(told.total_workers)), paint);
        lists::paint(buf, inner, &told.activities, "No worker yet", paint);
    };
    if area.width >= ROOMY.0 && area.height + 3 >= ROOMY.1 {
        let [top, bottom] = rows((area.height * 2 / 5).clamp(9, 14));
        let [wait, tasks, by_priority] = parts([34, 38, 28], top);
        tasks::longest(buf, wait, model, paint, now);
        tasks::now(buf, tasks, told, paint);
        priorities(buf, by_priority);
        let [past, floor] = Layout::horizontal([74, 26].map(Constraint::Fill)).areas(bottom);
        windows::paint(buf, past, model, paint);
        workers(buf, floor);
    } else {
        let [top, bottom] = rows(area.height - (area.height / 2).clamp(8, 18));
        let [tasks, by_priority, floor] = parts([44, 28, 28], top);
        tasks::short(buf, tasks, model, paint, now);
        priorities(buf, by_priority);
        workers(buf, floor);
        windows::paint(buf, bottom, model, paint);
    }
}

/// A frame with its title; gives what is inside.
fn tile(buf: &mut Buffer, area: Rect, title: &str, paint: Paint) -> Rect {
    let block = Block::bordered().border_style(paint.quiet());
    let inner = block.inner(area);
    block.render(area, buf);
    put(buf, (area.x + 2, area.y), area.width.saturating_sub(4), &format!(" {title} "), paint.figure());
    inner
}
