//! Splitting a body at its boundaries.
//!
//! Promises: one search for each boundary; parts do not overlap.
//! Leaves out: which parts matter: every one is given, what stands before the first and behind the last too.
//! Sources: RFC 2046 §5.1.

use memchr::memmem;

use super::lines::{Lines, is_blank, starts_with_word};

/// A piece of a multipart body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Text before the first boundary or behind the last.
    Outside(&'a [u8]),
    /// A part with its headers.
    Part(&'a [u8]),
}

const PIECES_MAX: usize = 10_000;

/// Splits a body; none when no boundary is in it. The second value is true when there were too many pieces.
pub(super) fn split<'a>(body: &'a [u8], boundaries: &[Vec<u8>]) -> Option<(Vec<Piece<'a>>, bool)> {
    let mut marks: Vec<Mark> =
        boundaries.iter().flat_map(|boundary| find(body, boundary)).collect();
    if marks.is_empty() {
        return None;
    }
    marks.sort_by_key(|mark| mark.off);
    marks.dedup_by_key(|mark| mark.off);
    let truncated = marks.len() > PIECES_MAX;
    marks.truncate(PIECES_MAX);
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut inside = false;
    for mark in &marks {
        push(body.get(start..mark.off).unwrap_or_default(), inside, &mut pieces);
        start = mark.next;
        inside = !mark.closes;
    }
    push(body.get(start..).unwrap_or_default(), inside, &mut pieces);
    Some((pieces, truncated))
}

fn push<'a>(bytes: &'a [u8], inside: bool, pieces: &mut Vec<Piece<'a>>) {
    if inside {
        pieces.push(Piece::Part(bytes));
    } else if !bytes.iter().all(|byte| byte.is_ascii_whitespace() || *byte == 0) {
        pieces.push(Piece::Outside(bytes));
    }
}

/// A boundary line.
#[derive(Debug, Clone, Copy)]
struct Mark {
    off: usize,
    next: usize,
    closes: bool,
}

/// Returns the lines that are this boundary; leading hyphens are not counted.
fn find(body: &[u8], boundary: &[u8]) -> Vec<Mark> {
    let hyphens = boundary.iter().take_while(|byte| **byte == b'-').count();
    let core = boundary.get(hyphens..).unwrap_or_default().trim_ascii();
    if core.is_empty() {
        return if hyphens == 0 { Vec::new() } else { find_hyphens(body, hyphens) };
    }
    memmem::find_iter(body, core)
        .filter_map(|at| {
            // Some programs let white space pass in front.
            let gap = body.get(..at)?.iter().rev().take(GAP_MAX);
            let gap = gap.take_while(|byte| matches!(byte, b' ' | b'\t')).count();
            let at = at.checked_sub(gap)?;
            let before = body.get(..at)?;
            let dashes = before.iter().rev().take_while(|byte| **byte == b'-').count();
            let off = at.checked_sub(dashes)?;
            let line_start = off.checked_sub(1).and_then(|before| body.get(before));
            if dashes < 2 || !matches!(line_start, None | Some(b'\n' | b'\r' | 0)) {
                return None;
            }
            let behind = Lines::from(body, at.checked_add(gap)?.checked_add(core.len())?).next();
            let (rest, next) = behind.map_or((b"".as_slice(), body.len()), |l| (l.text, l.next));
            // `find` starts the line behind the boundary, which may end right there.
            let closes = rest.starts_with(b"--");
            let rest = rest.get(rest.iter().take_while(|byte| **byte == b'-').count()..)?;
            (is_blank(rest) || rest.trim_ascii_start().starts_with(b"(")).then_some(Mark {
                off,
                next,
                closes,
            })
        })
        .collect()
}

/// Returns the boundary of a body whose header does not say it: a line of two hyphens and more, with a header of
/// a part behind it.
pub(super) fn guess(body: &[u8]) -> Option<Vec<u8>> {
    let mut lines = Lines::new(body);
    for _ in 0..GUESS_LINES_MAX {
        let line = lines.next()?;
        if let Some(rest) = line.text.strip_prefix(b"--")
            && !is_blank(rest)
            && lines.clone().next().is_some_and(|next| starts_with_word(next.text, b"content-"))
        {
            return Some(rest.trim_ascii().to_vec());
        }
    }
    None
}

/// Returns the lines that are a boundary of nothing but hyphens.
fn find_hyphens(body: &[u8], len: usize) -> Vec<Mark> {
    let is_hyphen = |byte: &&u8| **byte == b'-';
    Lines::new(body)
        .filter_map(|line| {
            let dashes = line.text.iter().take_while(is_hyphen).count();
            let rest = line.text.get(dashes..)?.trim_ascii_start();
            let is_mark =
                dashes >= len.saturating_add(2) && (rest.is_empty() || rest.starts_with(b"("));
            let closes = dashes >= len.saturating_add(4);
            is_mark.then_some(Mark { off: line.off, next: line.next, closes })
        })
        .collect()
}

/// White space in front of a boundary.
const GAP_MAX: usize = 16;
const GUESS_LINES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &[u8], boundaries: &[&str], want: Option<&[Piece<'_>]>) {
        let boundaries: Vec<Vec<u8>> = boundaries.iter().map(|b| b.as_bytes().to_vec()).collect();
        let got = split(body, &boundaries).map(|(pieces, _)| pieces);
        assert_eq!(got.as_deref(), want, "{}", body.escape_ascii());
    }

    #[test]
    fn bodies_are_split() {
        use Piece::{Outside, Part};
        check(b"x", &["b"], None);
        check(
            b"pre\n--b\nA\n--b\nB\n--b--\npost",
            &["b"],
            Some(&[Outside(b"pre\n"), Part(b"A\n"), Part(b"B\n"), Outside(b"post")]),
        );
        check(b"--b\r\nA", &["b"], Some(&[Part(b"A")]));
        check(b"--b", &["b"], Some(&[Part(b"")]));
        check(b"---b  \nA\n--bc\nB", &["b"], Some(&[Part(b"A\n--bc\nB")]));
        check(b"----b (comment)\nA", &["--b"], Some(&[Part(b"A")]));
        check(b"--a\nA\n--b\nB", &["a", "b"], Some(&[Part(b"A\n"), Part(b"B")]));
        check(b"x--b\nA", &["b"], None);
        check(b"----\nA\n--\n------\n", &["--"], Some(&[Part(b"A\n--\n")]));
        check(b"-- b\nA", &["b"], Some(&[Part(b"A")]));
        assert_eq!(guess(b"x\n--zz\nContent-Type: a/b\n\nc"), Some(b"zz".to_vec()));
        assert_eq!(guess(b"x\n--zz\nfoo"), None);
    }
}
