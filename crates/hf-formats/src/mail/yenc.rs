//! Files in yEnc, anywhere in a text.
//!
//! Promises: linear; the output is at most as long as the input.
//! Leaves out: checksums and the joining of parts.
//! Sources: yEnc draft 1.3.

use super::uuencode::File;

const FILES_MAX: usize = 1024;

/// Returns every file in a text.
pub(super) fn find(text: &[u8]) -> Vec<File> {
    let mut files = Vec::new();
    let mut from = 0;
    for at in memchr::memmem::find_iter(text, b"=ybegin ") {
        let before = at.checked_sub(1).and_then(|at| text.get(at));
        if at < from || !matches!(before, None | Some(b'\n' | b'\r')) || files.len() >= FILES_MAX {
            continue;
        }
        let rest = text.get(at..).unwrap_or_default();
        if let Some((file, len)) = one(rest) {
            from = at.saturating_add(len);
            files.push(file);
        }
    }
    files
}

/// Reads the file at the start; also returns where its data ends.
fn one(text: &[u8]) -> Option<(File, usize)> {
    let line_len = memchr::memchr(b'\n', text)?;
    let (head, mut body) = text.split_at_checked(line_len)?;
    let name = memchr::memmem::find(head, b"name=").and_then(|at| head.get(at.checked_add(5)?..));
    body = body.get(1..)?;
    if body.starts_with(b"=ypart ") {
        body = body.get(memchr::memchr(b'\n', body)?.checked_add(1)?..)?;
    }
    let body_off = text.len().saturating_sub(body.len());
    let end = memchr::memmem::find(body, b"\n=yend").unwrap_or(body.len());
    let mut data = Vec::with_capacity(end);
    let mut bytes = body.get(..end)?.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\r' | b'\n' => {}
            b'=' => {
                if let Some(next) = bytes.next() {
                    data.push(next.wrapping_sub(64).wrapping_sub(42));
                }
            }
            _ => data.push(byte.wrapping_sub(42)),
        }
    }
    let name = name.unwrap_or_default().trim_ascii().to_vec();
    Some((File { name, data }, body_off.saturating_add(end)))
}

#[cfg(test)]
mod tests {
    #[test]
    fn files_are_found_anywhere() {
        let encoded: Vec<u8> = b"a\xd6\x13".iter().map(|byte| byte.wrapping_add(42)).collect();
        assert_eq!(encoded[1..], [0, b'=']);
        let text = [
            b"x\r\n=ybegin line=128 size=3 name=a b.bin\r\n=ypart begin=1 end=3\r\n".as_slice(),
            &[encoded[0], b'=', 64, b'=', b'=' + 64],
            b"\r\n=yend size=3\r\n",
        ]
        .concat();
        let files = super::find(&text);
        assert_eq!(files.len(), 1);
        assert_eq!(
            (files[0].name.as_slice(), files[0].data.as_slice()),
            (b"a b.bin".as_slice(), b"a\xd6\x13".as_slice())
        );
        assert!(super::find(b"x =ybegin name=a\nabc").is_empty());
    }
}
