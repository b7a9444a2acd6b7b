//! Lists as tables: every cell that is a hash of a file or an address of the web counts.
//!
//! Fields are separated by commas, semicolons or tabs, whichever the first line has most of, and may stand in quotes. The
//! header may be a comment. Names come from a named column, else from one that is called as such columns usually are.
//! Source: RFC 4180; the lists of well-known publishers.

use super::list::{Indicator, Indicators};

/// What columns of names are usually called.
const NAMES: &[&str] =
    &["signature", "malware", "threat", "name", "family", "malware_printable", "tag"];
/// Longest line in bytes; ours.
const LINE_MAX: usize = 1 << 20;

/// Reads a table.
///
/// # Errors
/// A column that is named is not there.
pub fn indicators(bytes: &[u8], name_column: Option<&str>) -> Result<Indicators, String> {
    let mut list = Indicators::default();
    let mut names = name_column
        .and_then(|text| text.parse::<usize>().ok())
        .and_then(|number| number.checked_sub(1));
    let mut header_seen = false;
    let mut separator = None;
    for line in bytes.split(|byte| *byte == b'\n') {
        if line.len() > LINE_MAX {
            list.leave_out("lines that are too long");
            continue;
        }
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end_matches('\r').trim_start_matches('\u{feff}');
        let comment = line.starts_with('#');
        let text = line.trim_start_matches(['#', ' ']);
        if text.trim().is_empty() {
            continue;
        }
        let by = *separator.get_or_insert_with(|| separator_of(text));
        let cells = cells(text, by);
        let found: Vec<Indicator> = cells
            .iter()
            .filter_map(|cell| Indicator::hash(cell).or_else(|| Indicator::url(cell)))
            .collect();
        if found.is_empty() || comment {
            if names.is_none() && !header_seen {
                names = cells.iter().position(|cell| {
                    let cell = cell.trim().to_ascii_lowercase();
                    match name_column {
                        Some(wanted) => cell == wanted.to_ascii_lowercase(),
                        None => NAMES.contains(&cell.as_str()),
                    }
                });
                header_seen |= names.is_some();
                // A comment of one field says nothing of how fields are separated.
                separator = (cells.len() > 1).then_some(by);
            } else if !comment {
                list.leave_out("lines without a hash or an address");
            }
            continue;
        }
        let name = names.and_then(|at| cells.get(at)).map_or("", |cell| cell.trim());
        let name = if Indicator::hash(name).is_some() { "" } else { name };
        // Several hashes on a line are of one file: the strongest says it all.
        let strongest = found.iter().filter(|one| !matches!(one, Indicator::Url(_))).max().cloned();
        let urls = found.into_iter().filter(|one| matches!(one, Indicator::Url(_)));
        for indicator in strongest.into_iter().chain(urls) {
            list.push(indicator, name);
        }
    }
    match name_column {
        Some(wanted) if names.is_none() => Err(format!("there is no column '{wanted}'")),
        _ => Ok(list),
    }
}

fn separator_of(line: &str) -> char {
    let count = |c: char| line.matches(c).count();
    [',', ';', '\t'].into_iter().max_by_key(|c| (count(*c), u8::from(*c == ','))).unwrap_or(',')
}

fn cells(line: &str, separator: char) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut quoted = false;
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        let cell = cells.last_mut().expect("there is always a cell");
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                cell.push('"');
            }
            '"' => quoted = !quoted,
            ' ' if cell.is_empty() && !quoted => {}
            letter if letter == separator && !quoted => cells.push(String::new()),
            letter => cell.push(letter),
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables() {
        let sha = "c".repeat(64);
        let text = format!(
            "# published by nobody\n# \"first_seen\",\"sha256_hash\",\"signature\"\n\"2026\",\"{sha}\",\"Bad, \"\"very\"\"\"\n"
        );
        let list = indicators(text.as_bytes(), None).unwrap();
        assert_eq!(list.found, [(Indicator::Sha256(sha.clone()), "Bad, \"very\"".to_owned())]);
        let text = format!("name;x\nA;{}\nB;none\n", "d".repeat(32));
        let list = indicators(text.as_bytes(), None).unwrap();
        assert_eq!((list.found.len(), list.found[0].1.as_str(), list.left_out.len()), (1, "A", 1));
        let list = indicators(format!("{sha}\nhttp://evil.example/a\n").as_bytes(), None).unwrap();
        assert_eq!(list.found.len(), 2);
        assert!(indicators(b"a,b\n", Some("c")).is_err());
        let text = format!("{},{},{sha}\n", "a".repeat(32), "b".repeat(40));
        assert_eq!(indicators(text.as_bytes(), None).unwrap().found.len(), 1);
    }
}
