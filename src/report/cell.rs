//! Cells of CSV files: absent values are empty, and text of others cannot become a formula in a spreadsheet.

/// One cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Text, perhaps of others.
    Text(String),
    /// A count.
    Count(u64),
    /// A measure.
    Number(f64),
    /// Yes or no.
    Flag(bool),
    /// Nothing is known: the cell stays empty, never zero.
    Absent,
}

impl Cell {
    /// The cell as it stands in the file, before quoting.
    pub fn written(&self) -> String {
        match self {
            Cell::Text(text) => harmless(text),
            Cell::Count(n) => n.to_string(),
            Cell::Number(value) if value.is_finite() => value.to_string(),
            Cell::Flag(flag) => flag.to_string(),
            Cell::Number(_) | Cell::Absent => String::new(),
        }
    }
}

/// Spreadsheets take a cell that starts with one of these for a formula.
fn harmless(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }
}

impl From<u64> for Cell {
    fn from(n: u64) -> Cell {
        Cell::Count(n)
    }
}

impl From<u32> for Cell {
    fn from(n: u32) -> Cell {
        Cell::Count(u64::from(n))
    }
}

impl From<f64> for Cell {
    fn from(value: f64) -> Cell {
        Cell::Number(value)
    }
}

impl From<bool> for Cell {
    fn from(flag: bool) -> Cell {
        Cell::Flag(flag)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Cell {
        value.map_or(Cell::Absent, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_disarmed_and_numbers_are_not_touched() {
        for text in ["=cmd()", "+1", "-1", "@a", "\tx", "\rx"] {
            assert_eq!(Cell::from(text).written(), format!("'{text}"));
        }
        assert_eq!(Cell::from(-1.5).written(), "-1.5");
        assert_eq!(Cell::from("a=b").written(), "a=b");
    }

    #[test]
    fn what_is_absent_is_empty_and_not_zero() {
        assert_eq!(Cell::from(None::<u64>).written(), "");
        assert_eq!(Cell::from(f64::NAN).written(), "");
        assert_eq!(Cell::from(Some(0_u64)).written(), "0");
    }
}
