//! Columns for people.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use crate::policy::render::printable;

/// Rows under a heading, each column as wide as its widest cell. Columns of numbers are set to the right; control
/// characters in a cell do not reach the terminal.
pub fn table<const N: usize>(heading: [&str; N], numeric: [bool; N], rows: &[[String; N]]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(heading);
    table.add_rows(rows.iter().map(|row| row.each_ref().map(|cell| printable(cell))));
    for (column, right) in table.column_iter_mut().zip(numeric) {
        column.set_padding((0, 2));
        column.set_cell_alignment(if right { CellAlignment::Right } else { CellAlignment::Left });
    }
    table.trim_fmt() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [["tap0".to_owned(), "7".to_owned()], ["a\u{1b}".to_owned(), "1234".to_owned()]];
        let text = table(["NAME", "HITS"], [false, true], &rows);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..2], ["NAME     HITS", "tap0        7"]);
        assert_eq!(lines[2], "a\\u{1b}  1234");
    }
}
