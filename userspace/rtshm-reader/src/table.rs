// SPDX-License-Identifier: MIT OR GPL-2.0

//! Text for people.

/// Aligns the columns of `rows` to the left, with two spaces between them.
pub(crate) fn align<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            line.push_str(&format!("{cell:width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A number of channels.
pub(crate) fn channels(count: u32) -> String {
    match count {
        1 => "1 channel".into(),
        _ => format!("{count} channels"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_channel_is_singular() {
        assert_eq!([1, 2].map(channels), ["1 channel", "2 channels"]);
    }

    #[test]
    fn columns_line_up() {
        let rows = [["a", "bb", ""], ["ccc", "d", "e"]].map(|row| row.map(String::from));
        assert_eq!(align(&rows), "a    bb\nccc  d   e\n");
    }
}
