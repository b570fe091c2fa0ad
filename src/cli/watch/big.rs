//! Figures that are read from across a room: digits of blocks, as large as there is room for.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::paint::put;

/// Rows of a glyph's bits.
const HIGH: usize = 5;

/// Each row is three bits, the left one the highest.
fn glyph(sign: char) -> Option<(u16, [u8; HIGH])> {
    let rows = match sign {
        '0' => [7, 5, 5, 5, 7],
        '1' => [2, 6, 2, 2, 7],
        '2' => [7, 1, 7, 4, 7],
        '3' => [7, 1, 3, 1, 7],
        '4' => [5, 5, 7, 1, 1],
        '5' => [7, 4, 7, 1, 7],
        '6' => [7, 4, 7, 5, 7],
        '7' => [7, 1, 1, 2, 2],
        '8' => [7, 5, 7, 5, 7],
        '9' => [7, 5, 7, 1, 7],
        'd' => [1, 1, 7, 5, 7],
        'h' => [4, 4, 7, 5, 5],
        ':' => return Some((1, [0, 4, 0, 4, 0])),
        ' ' => return Some((1, [0; HIGH])),
        _ => return None,
    };
    Some((3, rows))
}

/// Paints the text in the middle of the area. Gives the row below it, or `None` where it does not fit even half as large,
/// or has a sign without a glyph.
pub fn paint(buf: &mut Buffer, area: Rect, text: &str, style: Style) -> Option<u16> {
    let glyphs: Vec<_> = text.chars().map(glyph).collect::<Option<_>>()?;
    let dots = glyphs.iter().map(|(wide, _)| wide + 1).sum::<u16>().saturating_sub(1);
    // Twice as many columns as dots make them square.
    let (scale, rows) = match (area.width / dots.max(1), area.height) {
        (2.., 5..) => (2, 5),
        (1.., 3..) => (1, 3),
        _ => return None,
    };
    let mut x = area.x + (area.width - dots * scale) / 2;
    let top = area.y + (area.height - rows) / 2;
    for (wide, bits) in glyphs {
        for row in 0..rows {
            let line: String = (0..wide).map(|column| dot(&bits, column, row, scale)).collect();
            put(buf, (x, top + row), wide * scale, &line, style);
        }
        x += (wide + 1) * scale;
    }
    Some(top + rows)
}

/// One dot of full size, or two above one another that share a column.
fn dot(bits: &[u8; HIGH], column: u16, row: u16, scale: u16) -> &'static str {
    let is_set = |row: u16| bits.get(usize::from(row)).is_some_and(|bits| bits & (4 >> column) != 0);
    if scale == 2 {
        return if is_set(row) { "██" } else { "  " };
    }
    match (is_set(row * 2), is_set(row * 2 + 1)) {
        (true, true) => "█",
        (true, false) => "▀",
        (false, true) => "▄",
        (false, false) => " ",
    }
}
