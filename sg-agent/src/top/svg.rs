//! A screen as a picture (SVG 1.1).

use std::fmt::Write as _;

use ratatui::{
    buffer::{Buffer, Cell},
    style::{Color, Modifier},
};

/// Size of a character, in pixels.
const CELL: (u32, u32) = (9, 17);
const MARGIN: u32 = 12;
const BACKGROUND: &str = "#16181d";
const FOREGROUND: &str = "#d7dae0";

/// The picture of what is drawn in `buffer`.
pub fn svg(buffer: &Buffer) -> String {
    let (columns, lines) = (u32::from(buffer.area.width), u32::from(buffer.area.height));
    let (width, height) = (columns * CELL.0 + 2 * MARGIN, lines * CELL.1 + 2 * MARGIN);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\">\n<rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{BACKGROUND}\"/>\n\
         <g font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"15\" xml:space=\"preserve\">\n"
    );
    for y in 0..buffer.area.height {
        let cells: Vec<&Cell> = (0..buffer.area.width).filter_map(|x| buffer.cell((x, y))).collect();
        let mut at = 0;
        while at < cells.len() {
            let alike = cells[at..].iter().take_while(|cell| cell.style() == cells[at].style()).count();
            run(&mut out, (at as u32, y.into()), &cells[at..at + alike]);
            at += alike;
        }
    }
    out.push_str("</g>\n</svg>\n");
    out
}

/// Cells that look alike, side by side from (column, line) `at` on.
fn run(out: &mut String, at: (u32, u32), cells: &[&Cell]) {
    let Some(first) = cells.first() else { return };
    let text: String = cells.iter().map(|cell| cell.symbol()).collect();
    let (x, y) = (MARGIN + at.0 * CELL.0, MARGIN + at.1 * CELL.1);
    let width = cells.len() as u32 * CELL.0;
    let (foreground, background) = colours(first);
    if let Some(background) = background {
        let _ = writeln!(
            out,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{}\" fill=\"{background}\"/>",
            CELL.1
        );
    }
    if text.trim().is_empty() {
        return;
    }
    let weight = if first.modifier.contains(Modifier::BOLD) { " font-weight=\"bold\"" } else { "" };
    let opacity = if first.modifier.contains(Modifier::DIM) { " opacity=\"0.6\"" } else { "" };
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(
        out,
        "<text x=\"{x}\" y=\"{}\" textLength=\"{width}\" lengthAdjust=\"spacingAndGlyphs\" fill=\"{foreground}\"{weight}{opacity}>{text}</text>",
        y + 13
    );
}

/// Of the text, and of what is behind it.
fn colours(cell: &Cell) -> (&'static str, Option<&'static str>) {
    if cell.modifier.contains(Modifier::REVERSED) {
        return (BACKGROUND, Some(FOREGROUND));
    }
    (colour(cell.fg).unwrap_or(FOREGROUND), colour(cell.bg))
}

fn colour(colour: Color) -> Option<&'static str> {
    Some(match colour {
        Color::Black => BACKGROUND,
        Color::Red => "#f0716b",
        Color::Green => "#8ccf7e",
        Color::Yellow => "#e5c76b",
        Color::Blue => "#67b0e8",
        Color::Cyan => "#6cbfbf",
        Color::DarkGray => "#6b7280",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use ratatui::{layout::Rect, style::Style};

    use super::*;

    #[test]
    fn text_is_drawn_where_it_stands() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 8, 2));
        buffer.set_string(2, 1, "a<b", Style::new().red().bold());
        let picture = svg(&buffer);
        let text = "<text x=\"30\" y=\"42\" textLength=\"27\" lengthAdjust=\"spacingAndGlyphs\" fill=\"#f0716b\" \
                    font-weight=\"bold\">a&lt;b</text>";
        assert!(picture.contains(text), "{picture}");
        assert_eq!(picture.matches("<text").count(), 1);
    }

    #[test]
    fn what_is_chosen_has_a_background() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 2, 1));
        buffer.set_string(0, 0, "ab", Style::new().reversed());
        assert!(svg(&buffer).contains("width=\"18\" height=\"17\" fill=\"#d7dae0\""));
    }
}
