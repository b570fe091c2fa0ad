//! Rows of names and counts: those of the largest counts where there is no room for all.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::cli::text::count;
use crate::cli::watch::figures::Row;
use crate::cli::watch::paint::{Paint, put, put_right, wide};

/// Columns from which on there is room for bars.
const WITH_BARS: u16 = 22;

pub fn paint(buf: &mut Buffer, area: Rect, all: &[Row], none: &str, paint: Paint) {
    if all.is_empty() {
        put(buf, (area.x, area.y), area.width, none, paint.quiet());
        return;
    }
    let rows = fullest(all, usize::from(area.height));
    let most = rows.iter().filter(|row| !row.is_rest).map(|row| row.count).max().unwrap_or(0);
    let counts = rows.iter().map(|row| wide(&count(row.count))).max().unwrap_or(0);
    let names = rows.iter().map(|row| wide(&row.name)).max().unwrap_or(0);
    let has_bars = area.width >= WITH_BARS;
    let most_name = if has_bars { area.width / 2 } else { area.width.saturating_sub(counts + 1) };
    let names = names.min(most_name);
    for (y, row) in (area.y..area.bottom()).zip(&rows) {
        put(buf, (area.x, y), names, &row.name, if row.is_rest { paint.quiet() } else { Default::default() });
        put_right(buf, (area.x, y), area.width, &count(row.count), paint.figure());
        if has_bars && !row.is_rest {
            let room = area.width.saturating_sub(names + counts + 2);
            put(buf, (area.x + names + 1, y), room, &bar(row.count, most, room), paint.bar());
        }
    }
}

struct Shown {
    name: String,
    count: u64,
    is_rest: bool,
}

/// Those of the largest counts in their old order, and one row for all others.
fn fullest(all: &[Row], room: usize) -> Vec<Shown> {
    let shown = |row: &Row| Shown { name: row.name.clone(), count: row.count, is_rest: false };
    if all.len() <= room {
        return all.iter().map(shown).collect();
    }
    let mut places: Vec<usize> = (0..all.len()).collect();
    places.sort_by_key(|at| std::cmp::Reverse(all[*at].count));
    let (kept, others) = places.split_at_mut(room.saturating_sub(1));
    kept.sort_unstable();
    let name = if kept.is_empty() {
        format!("{} in all", others.len())
    } else {
        format!("and {} more", count(others.len() as u64))
    };
    let rest = Shown { name, count: others.iter().map(|at| all[*at].count).sum(), is_rest: true };
    kept.iter().map(|at| shown(&all[*at])).chain([rest]).collect()
}

/// To an eighth of a column.
pub fn bar(part: u64, whole: u64, room: u16) -> String {
    const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    if whole == 0 || part == 0 {
        return String::new();
    }
    let eighths = u128::from(part) * u128::from(room) * 8 / u128::from(whole);
    // What is there is seen.
    let eighths = usize::try_from(eighths).unwrap_or(usize::MAX).clamp(1, usize::from(room).max(1) * 8);
    let mut text = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        text.push(EIGHTHS[eighths % 8]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(counts: &[u64]) -> Vec<Row> {
        counts.iter().enumerate().map(|(at, count)| Row { name: format!("a{at}"), count: *count }).collect()
    }

    #[test]
    fn what_has_no_room_is_summed() {
        let shown = fullest(&rows(&[1, 9, 3, 7, 0]), 3);
        let shown: Vec<_> = shown.iter().map(|row| (row.name.as_str(), row.count, row.is_rest)).collect();
        assert_eq!(shown, [("a1", 9, false), ("a3", 7, false), ("and 3 more", 4, true)]);
        assert_eq!(fullest(&rows(&[1, 2]), 2).len(), 2);
        assert_eq!(fullest(&rows(&[1, 2]), 1)[0].name, "2 in all");
    }

    #[test]
    fn a_bar_never_leaves_its_room() {
        assert_eq!(bar(1, 2, 10), "█████");
        assert_eq!(bar(1, 1_000_000, 10), "▏");
        assert_eq!(bar(u64::MAX, u64::MAX, 4), "████");
        assert_eq!(bar(0, 5, 10), "");
        assert_eq!(bar(0, 0, 10), "");
    }
}
