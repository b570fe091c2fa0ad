//! What happened in the last 15 minutes, 4 hours and 8 hours, with how it went on.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::widgets::{Paragraph, Sparkline, SparklineBar, Widget, Wrap};

use super::tile;
use crate::cli::text::count;
use crate::cli::watch::figures::{Figure, WINDOWS, fitting, length};
use crate::cli::watch::model::{Model, Window};
use crate::cli::watch::paint::{Paint, put};

/// Columns of a figure: `1:02:05`, `100% ok`.
const FIGURE: u16 = 8;

pub fn paint(buf: &mut Buffer, area: Rect, model: &Model, paint: Paint) {
    let board = &model.board;
    let title = format!("Service level: accepted within {} s, target {}%", board.within, board.target);
    let inner = tile(buf, area, &title, paint);
    let label = if inner.width >= 64 { 15 } else { 9 };
    let wide = inner.width.saturating_sub(label) / 3;
    let high = (inner.height.saturating_sub(1) / 5).clamp(1, 4);
    for (row, figure) in (0..).zip(Figure::ALL) {
        put(buf, (inner.x, inner.y + 1 + row * high), label - 1, name(figure, label > 9), Style::new());
    }
    for (at, (window, (minutes, _))) in (0..).zip(model.windows.iter().zip(WINDOWS)) {
        let x = inner.x + label + at * wide;
        let column = Rect { x, width: wide.saturating_sub(1), ..inner };
        let is_stale = window.is_stale && !model.is_stale();
        let title = if is_stale { format!("{}, stale", short_span(minutes)) } else { span(minutes) };
        put(buf, (x, inner.y), column.width, &title, paint.figure());
        if let Some(note) = &window.note {
            let below = Rect { y: inner.y + 1, height: inner.height.saturating_sub(1), ..column };
            Paragraph::new(note.as_str()).wrap(Wrap { trim: true }).style(paint.quiet()).render(below, buf);
            continue;
        }
        for (row, figure) in (0..).zip(Figure::ALL) {
            let place = Rect { y: inner.y + 1 + row * high, height: high, ..column }.intersection(inner);
            one(buf, place, window, figure, board.target, paint);
        }
    }
}

fn span(minutes: u32) -> String {
    if minutes < 60 { format!("{minutes} minutes") } else { format!("{} hours", minutes / 60) }
}

fn short_span(minutes: u32) -> String {
    if minutes < 60 { format!("{minutes} min") } else { format!("{} h", minutes / 60) }
}

fn name(figure: Figure, is_long: bool) -> &'static str {
    match figure {
        Figure::Level if is_long => "Service level",
        Figure::Level => "Level",
        Figure::Created => "Created",
        Figure::Accepted => "Accepted",
        Figure::Canceled => "Canceled",
        Figure::Acceptance if is_long => "Avg acceptance",
        Figure::Acceptance => "Avg acc.",
    }
}

fn one(buf: &mut Buffer, place: Rect, window: &Window, figure: Figure, target: u8, paint: Paint) {
    let value = window.happened.as_ref().and_then(|happened| happened.value(figure));
    let (text, style) = match (figure, value) {
        (_, None) => ("–".to_owned(), paint.quiet()),
        // Whole percents that were reached: never the target where it was missed.
        (Figure::Level, Some(level)) if level / 100 >= u64::from(target) => {
            (format!("{}% ok", level / 100), paint.good())
        }
        (Figure::Level, Some(level)) => (format!("{}% low", level / 100), paint.bad()),
        (Figure::Acceptance, Some(ms)) => (length((ms + 500) / 1000), paint.figure()),
        (_, Some(number)) => (count(number), paint.figure()),
    };
    put(buf, (place.x, place.y), FIGURE.min(place.width), &text, style);
    // A row between two trends where there is one to spare.
    let height = place.height.saturating_sub(u16::from(place.height > 1));
    let line = Rect { x: place.x + FIGURE, width: place.width.saturating_sub(FIGURE), height, ..place };
    let most = (figure == Figure::Level).then_some(10_000);
    let fitting = fitting(&window.trend, usize::from(line.width));
    let points: Vec<_> = fitting.iter().map(|bucket| bucket.value(figure)).collect();
    let levels = heights(&points, most, u64::from(line.height) * 8);
    let is_low =
        |point: &Option<u64>| figure == Figure::Level && point.is_some_and(|level| level / 100 < u64::from(target));
    let bars = points.iter().zip(levels).map(|(point, level)| {
        let bar = SparklineBar::from(level);
        if is_low(point) { bar.style(paint.bad()) } else { bar }
    });
    Sparkline::default().data(bars).max(u64::from(line.height) * 8).style(paint.bar()).render(line, buf);
}

/// Points as eighths of a row. A zero is a line at the bottom, and not known is nothing.
fn heights(points: &[Option<u64>], most: Option<u64>, eighths: u64) -> Vec<Option<u64>> {
    let most = most.or_else(|| points.iter().flatten().max().copied()).unwrap_or(0).max(1);
    let height = |value: u64| {
        let above = u128::from(value.min(most)) * u128::from(eighths.saturating_sub(1)) / u128::from(most);
        1 + u64::try_from(above).unwrap_or(0)
    };
    points.iter().map(|point| point.map(height)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_is_seen_and_a_gap_is_not() {
        assert_eq!(heights(&[Some(0), None, Some(7), Some(14)], None, 8), [Some(1), None, Some(4), Some(8)]);
        assert_eq!(heights(&[Some(0)], None, 8), [Some(1)]);
        assert_eq!(heights(&[Some(u64::MAX)], Some(10_000), 16), [Some(16)]);
    }
}
