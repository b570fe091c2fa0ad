//! Styles, and the smallest things that are painted. Colours are the terminal's own palette, so that they fit a light
//! terminal as well as a dark one; what a colour says is said by a word or a mark, too.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Span;

#[derive(Clone, Copy, Debug)]
pub struct Paint {
    pub has_color: bool,
}

impl Paint {
    fn colored(self, color: Style, plain: Style) -> Style {
        if self.has_color { color } else { plain }
    }

    pub fn figure(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What stands beside figures.
    pub fn quiet(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub fn bar(self) -> Style {
        self.colored(Style::new().fg(Color::Cyan), Style::new())
    }

    pub fn good(self) -> Style {
        self.colored(self.figure().fg(Color::Green), self.figure())
    }

    pub fn bad(self) -> Style {
        self.colored(self.figure().fg(Color::Red), self.figure())
    }

    /// Both colours are given, since the terminal's own may be close to one of them.
    pub fn warn(self) -> Style {
        self.colored(Style::new().fg(Color::Black).bg(Color::Yellow), Style::new().add_modifier(Modifier::REVERSED))
    }

    pub fn alarm(self) -> Style {
        let plain = self.figure().add_modifier(Modifier::REVERSED);
        self.colored(self.figure().fg(Color::White).bg(Color::Red), plain)
    }

    pub fn chosen(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }
}

/// Writes what fits into the width, with a mark where something was cut. Gives the width that it took.
pub fn put(buf: &mut Buffer, (x, y): (u16, u16), width: u16, text: &str, style: Style) -> u16 {
    let area = buf.area;
    if width == 0 || !area.contains((x, y).into()) {
        return 0;
    }
    let width = width.min(area.right() - x);
    let whole = Span::raw(text).width();
    if whole <= usize::from(width) {
        let (end, _) = buf.set_stringn(x, y, text, usize::from(width), style);
        return end - x;
    }
    let (end, _) = buf.set_stringn(x, y, text, usize::from(width - 1), style);
    buf.set_stringn(end, y, "…", 1, style);
    end + 1 - x
}

/// What fits into the width, likewise.
pub fn cut(text: &str, width: u16) -> String {
    if wide(text) <= width {
        return text.to_owned();
    }
    let ends = text.char_indices().map(|(at, letter)| at + letter.len_utf8());
    let end = ends.take_while(|end| wide(&text[..*end]) < width).last().unwrap_or(0);
    format!("{}…", &text[..end])
}

/// Likewise, to the right end of the width.
pub fn put_right(buf: &mut Buffer, (x, y): (u16, u16), width: u16, text: &str, style: Style) {
    let wide = wide(text).min(width);
    put(buf, (x + width - wide, y), wide, text, style);
}

/// Likewise, in its middle.
pub fn put_mid(buf: &mut Buffer, area: Rect, y: u16, text: &str, style: Style) {
    let wide = wide(text).min(area.width);
    put(buf, (area.x + (area.width - wide) / 2, y), wide, text, style);
}

/// How many columns it takes.
pub fn wide(text: &str) -> u16 {
    u16::try_from(Span::raw(text).width()).unwrap_or(u16::MAX)
}

/// What is shown is old: neither colour nor weight.
pub fn fade(buf: &mut Buffer, area: Rect) {
    for position in area.intersection(buf.area).positions() {
        let cell = &mut buf[position];
        (cell.fg, cell.bg, cell.modifier) = (Color::Reset, Color::Reset, Modifier::DIM);
    }
}
