//! Files that grow while a run goes on, and may end in a torn line: cut back to what belongs to the trials that are kept.

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

/// Cuts the file at `path` before the first line that `keep` refuses or that has no end; returns its new length in bytes.
///
/// Trials write one after the other, so nothing that is kept lies behind a line that is not.
///
/// # Errors
/// When the file cannot be read or cut; a missing one is an error too.
pub fn cut(path: &Path, mut keep: impl FnMut(&[u8]) -> bool) -> io::Result<u64> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut reader = BufReader::new(&file);
    let (mut kept, mut line) = (0, Vec::new());
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)? as u64;
        if line.pop() != Some(b'\n') || !keep(&line) {
            break;
        }
        kept += length;
    }
    file.set_len(kept)?;
    file.sync_all()?;
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_and_what_is_refused_go_with_everything_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x");
        for (text, left) in [
            ("1 a\n1 b\n2 c\n1 d\n", "1 a\n1 b\n"),
            ("1 a\n1 b", "1 a\n"),
            ("1 a\n", "1 a\n"),
            ("", ""),
            ("torn", ""),
        ] {
            std::fs::write(&path, text).expect("written");
            let length = cut(&path, |line| line.starts_with(b"1")).expect("cut");
            assert_eq!(std::fs::read_to_string(&path).expect("read"), left);
            assert_eq!(length as usize, left.len());
        }
    }
}
