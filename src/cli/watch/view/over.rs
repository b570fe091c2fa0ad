//! What lies over the board: the help, or a list to choose from.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::widgets::{Clear, Widget};

use super::tile;
use crate::cli::watch::figures::shown;
use crate::cli::watch::model::{List, Model};
use crate::cli::watch::paint::{Paint, put, wide};
use crate::cli::watch::popup::{HELP, Picker, Popup};

const WIDE: u16 = 52;

pub fn paint(buf: &mut Buffer, area: Rect, model: &Model, paint: Paint) {
    match &model.popup {
        None => {}
        Some(Popup::Help) => help(buf, area, paint),
        Some(Popup::Pick(picker)) => pick(buf, area, model, picker, paint),
    }
}

/// A frame of so many rows in the middle, with nothing behind it.
fn open(buf: &mut Buffer, area: Rect, rows: usize, title: &str, paint: Paint) -> Rect {
    let (width, height) = (WIDE.min(area.width), u16::try_from(rows + 2).unwrap_or(u16::MAX).min(area.height));
    let (x, y) = (area.x + (area.width - width) / 2, area.y + (area.height - height) / 2);
    let place = Rect { x, y, width, height };
    Clear.render(place, buf);
    tile(buf, place, title, paint)
}

fn help(buf: &mut Buffer, area: Rect, paint: Paint) {
    let inner = open(buf, area, HELP.len() + 2, "Keys", paint);
    for (y, (key, does)) in (inner.y..inner.bottom()).zip(HELP) {
        put(buf, (inner.x + 1, y), 10, key, paint.figure());
        put(buf, (inner.x + 12, y), inner.width.saturating_sub(13), does, Style::new());
    }
    let last = inner.bottom().saturating_sub(1);
    put(buf, (inner.x + 1, last), inner.width.saturating_sub(2), "Any key closes this.", paint.quiet());
}

fn pick(buf: &mut Buffer, area: Rect, model: &Model, picker: &Picker, paint: Paint) {
    let list = model.list(picker);
    let title = if picker.is_of_channels { "Choose a task channel" } else { "Choose a workspace" };
    let current = if picker.is_of_channels { &model.subject.channel } else { &model.subject.workspace };
    let all = picker.is_of_channels.then(|| ("All channels".to_owned(), current.is_empty()));
    let rows: Vec<_> = all.into_iter().chain(list.names.iter().map(|name| (shown(name), name == current))).collect();
    let said = said(list, rows.is_empty());
    let inner = open(buf, area, rows.len() + 1, title, paint);
    let room = usize::from(inner.height.saturating_sub(1));
    // The chosen row is always one of those that are seen.
    let first = (picker.at + 1).saturating_sub(room);
    for (y, (at, (name, is_current))) in (inner.y..).zip(rows.iter().enumerate().skip(first).take(room)) {
        let style = if at == picker.at { paint.chosen() } else { Style::new() };
        let mark = if *is_current { "✓" } else { " " };
        let cursor = if at == picker.at { ">" } else { " " };
        let text = format!("{cursor} {mark} {name}");
        let took = put(buf, (inner.x, y), inner.width, &text, style);
        put(buf, (inner.x + took, y), inner.width - took, &" ".repeat(usize::from(inner.width - took)), style);
    }
    let last = inner.bottom().saturating_sub(1);
    let place = format!("{} of {}", (picker.at + 1).min(rows.len()), rows.len());
    put(buf, (inner.x + 1, last), inner.width.saturating_sub(2), &said, paint.quiet());
    let end = inner.right().saturating_sub(wide(&place) + 1);
    if rows.len() > room {
        put(buf, (end, last), wide(&place), &place, paint.quiet());
    }
}

fn said(list: &List, is_empty: bool) -> String {
    match &list.trouble {
        Some(trouble) => shown(trouble),
        None if !list.is_known => "Looking…".to_owned(),
        None if is_empty => "None yet.".to_owned(),
        None if list.has_more => "↑↓ Enter Esc · there are more".to_owned(),
        None => "↑↓ Enter Esc".to_owned(),
    }
}
