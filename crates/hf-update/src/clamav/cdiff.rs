//! Scripts (`cdiff`) that bring a container's databases from one version to the next.
//!
//! `ClamAV-Diff:VERSION:SIZE:`, a gzip stream of SIZE bytes of script, and `:` with an RSASSA-PSS signature over all
//! before it. The script edits files line by line: OPEN, ADD, DEL, XCHG, CLOSE, MOVE, UNLINK.
//! Promises: files are in memory and are only handed back when every command did what it says; names cannot lead
//! elsewhere; a script has at most [`SCRIPT_MAX`] bytes and files together at most [`FILES_MAX`].
//! Sources: ClamAV's documentation of `sigtool --compare` and `--run-cdiff`; the scripts that sigtool 1.4.6 makes.

use std::collections::BTreeMap;
use std::io::Read as _;

use flate2::read::GzDecoder;
use hf_sig::cvd::RsaKey;

/// Longest script in bytes; ours.
const SCRIPT_MAX: u64 = 512 << 20;
/// Most bytes of all files together; ours, as of a container.
const FILES_MAX: usize = 4 << 30;
/// The signature's `:` is within so many bytes of the end. Source: documentation of cdiff files.
const SIGNATURE_ROOM: usize = 350;

/// Files by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// A verified script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The version that it leads to.
    pub version: u32,
    text: Vec<u8>,
}

/// A script is refused, or does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CdiffError {
    /// Not a script of this form.
    #[error("not a script for databases: {0}")]
    Malformed(&'static str),
    /// Not signed by whom it should be.
    #[error("the signature of the script is not valid")]
    Signature,
    /// A command that cannot be carried out.
    #[error("line {line} of the script: {why}")]
    Command {
        /// Line, from 1.
        line: usize,
        /// Why.
        why: String,
    },
}

impl Script {
    /// Reads a script that is signed with this key, or whose whole file was verified otherwise (no key).
    ///
    /// # Errors
    /// See [`CdiffError`].
    pub fn read(bytes: &[u8], key: Option<&RsaKey>) -> Result<Self, CdiffError> {
        let malformed = CdiffError::Malformed;
        let mut fields = bytes.splitn(4, |byte| *byte == b':');
        if fields.next() != Some(b"ClamAV-Diff") {
            return Err(malformed("it does not start with `ClamAV-Diff:`"));
        }
        let mut number = |what| {
            let text = fields.next().and_then(|field| std::str::from_utf8(field).ok());
            text.and_then(|text| text.parse::<u32>().ok()).ok_or(malformed(what))
        };
        let version = number("its version is not a number")?;
        let size = u64::from(number("its size is not a number")?);
        if size > SCRIPT_MAX {
            return Err(malformed("it is too large"));
        }
        let rest = fields.next().ok_or(malformed("it has no script"))?;
        let colon =
            rest.iter().rposition(|byte| *byte == b':').ok_or(malformed("it has no signature"))?;
        let (packed, signature) = rest.split_at(colon);
        if signature.len() > SIGNATURE_ROOM + 1 {
            return Err(malformed("its signature is too long"));
        }
        let signed_len = bytes.len().saturating_sub(signature.len());
        let signed = bytes.get(..signed_len).unwrap_or_default();
        if key.is_some_and(|key| !key.verify_pss(signed, signature.get(1..).unwrap_or_default())) {
            return Err(CdiffError::Signature);
        }
        let mut text = Vec::new();
        GzDecoder::new(packed)
            .take(size.saturating_add(1))
            .read_to_end(&mut text)
            .map_err(|_| malformed("it cannot be decompressed"))?;
        if u64::try_from(text.len()) != Ok(size) {
            return Err(malformed("it has another size than it says"));
        }
        Ok(Self { version, text })
    }

    /// Takes a plain script, as `sigtool --compare` prints it.
    #[must_use]
    pub fn plain(text: &[u8]) -> Self {
        Self { version: 0, text: text.to_vec() }
    }

    /// Applies the script; `files` changes only when all of it could be done.
    ///
    /// # Errors
    /// [`CdiffError::Command`] at the first command that does not fit.
    pub fn apply(&self, files: &mut Files) -> Result<(), CdiffError> {
        let mut run = Run { files, changed: BTreeMap::new(), open: None };
        for (idx, line) in self.text.split(|byte| *byte == b'\n').enumerate() {
            if line.is_empty() || line[0] == b'#' {
                continue;
            }
            let line_number = idx.saturating_add(1);
            run.command(line).map_err(|why| CdiffError::Command { line: line_number, why })?;
        }
        if let Some(open) = &run.open {
            let why = format!("{} is still open at the end", open.name);
            return Err(CdiffError::Command { line: 0, why });
        }
        let changed = run.changed;
        for (name, data) in changed {
            match data {
                Some(data) => drop(files.insert(name, data)),
                None => drop(files.remove(&name)),
            }
        }
        let total = files.values().map(Vec::len).fold(0usize, usize::saturating_add);
        match total > FILES_MAX {
            true => Err(CdiffError::Malformed("the files become too large")),
            false => Ok(()),
        }
    }
}

/// A script that is being carried out.
struct Run<'a> {
    files: &'a Files,
    /// What became of files so far; none for one that is gone.
    changed: BTreeMap<String, Option<Vec<u8>>>,
    open: Option<Open>,
}

/// The file that is edited.
struct Open {
    name: String,
    /// By line, from 1.
    edits: BTreeMap<usize, Edit>,
    added: Vec<u8>,
}

enum Edit {
    /// The line begins so.
    Delete(Vec<u8>),
    /// The line begins so, and becomes this.
    Exchange(Vec<u8>, Vec<u8>),
}

impl Run<'_> {
    fn command(&mut self, line: &[u8]) -> Result<(), String> {
        let (word, rest) = cut(line);
        match word {
            b"OPEN" => self.open(rest),
            b"ADD" => {
                let open = self.opened()?;
                open.added.extend_from_slice(rest);
                open.added.push(b'\n');
                Ok(())
            }
            b"DEL" => {
                let (number, prefix) = cut(rest);
                self.edit(number, Edit::Delete(prefix.to_vec()))
            }
            b"XCHG" => {
                let (number, rest) = cut(rest);
                let (old, new) = cut(rest);
                self.edit(number, Edit::Exchange(old.to_vec(), new.to_vec()))
            }
            b"CLOSE" => self.close(),
            b"MOVE" => self.move_lines(rest),
            b"UNLINK" => {
                self.closed()?;
                let name = name_of(rest)?;
                self.current(&name).ok_or_else(|| format!("there is no {name}"))?;
                self.changed.insert(name, None);
                Ok(())
            }
            _ => Err(format!("unknown command {}", String::from_utf8_lossy(word))),
        }
    }

    fn current(&self, name: &str) -> Option<&[u8]> {
        match self.changed.get(name) {
            Some(changed) => changed.as_deref(),
            None => self.files.get(name).map(Vec::as_slice),
        }
    }

    fn opened(&mut self) -> Result<&mut Open, String> {
        self.open.as_mut().ok_or_else(|| "no file is open".to_owned())
    }

    fn closed(&self) -> Result<(), String> {
        match &self.open {
            Some(open) => Err(format!("{} is open", open.name)),
            None => Ok(()),
        }
    }

    fn open(&mut self, rest: &[u8]) -> Result<(), String> {
        self.closed()?;
        let name = name_of(rest)?;
        self.open = Some(Open { name, edits: BTreeMap::new(), added: Vec::new() });
        Ok(())
    }

    fn edit(&mut self, number: &[u8], edit: Edit) -> Result<(), String> {
        let number = number_of(number)?;
        match self.opened()?.edits.insert(number, edit) {
            Some(_) => Err(format!("line {number} is changed twice")),
            None => Ok(()),
        }
    }

    fn close(&mut self) -> Result<(), String> {
        let Open { name, edits, added } = self.open.take().ok_or("no file is open")?;
        let old = self.current(&name);
        if old.is_none() && !edits.is_empty() {
            return Err(format!("there is no {name}"));
        }
        let old = old.unwrap_or_default();
        let mut new = Vec::with_capacity(old.len().saturating_add(added.len()));
        let mut edits = edits.into_iter().peekable();
        for (idx, line) in old.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let number = idx.saturating_add(1);
            let Some((_, edit)) = edits.next_if(|(at, _)| *at == number) else {
                new.extend_from_slice(line);
                continue;
            };
            let (Edit::Delete(prefix) | Edit::Exchange(prefix, _)) = &edit;
            if !line.starts_with(prefix) {
                return Err(format!("line {number} of {name} does not begin as the script says"));
            }
            if let Edit::Exchange(_, text) = edit {
                new.extend_from_slice(&text);
                new.push(b'\n');
            }
        }
        if let Some((number, _)) = edits.next() {
            return Err(format!("{name} has no line {number}"));
        }
        if !added.is_empty() && new.last().is_some_and(|byte| *byte != b'\n') {
            new.push(b'\n');
        }
        new.extend_from_slice(&added);
        self.changed.insert(name, Some(new));
        Ok(())
    }

    fn move_lines(&mut self, rest: &[u8]) -> Result<(), String> {
        let (from, rest) = cut(rest);
        let (to, rest) = cut(rest);
        let (start, rest) = cut(rest);
        let (start_prefix, rest) = cut(rest);
        let (end, end_prefix) = cut(rest);
        let (from, to) = (name_of(from)?, name_of(to)?);
        let (start, end) = (number_of(start)?, number_of(end)?);
        if self.open.as_ref().is_some_and(|open| open.name == from || open.name == to) {
            return Err("a file that is open cannot be moved from or to".to_owned());
        }
        if start > end || from == to {
            return Err("nothing to move".to_owned());
        }
        let source = self.current(&from).ok_or_else(|| format!("there is no {from}"))?;
        let mut kept = Vec::with_capacity(source.len());
        let mut moved = Vec::new();
        let mut ends = 0;
        for (idx, line) in source.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let number = idx.saturating_add(1);
            for (at, prefix) in [(start, start_prefix), (end, end_prefix)] {
                if number == at {
                    ends += 1;
                    if !line.starts_with(prefix) {
                        return Err(format!(
                            "line {number} of {from} does not begin as the script says"
                        ));
                    }
                }
            }
            if (start..=end).contains(&number) { &mut moved } else { &mut kept }
                .extend_from_slice(line);
        }
        if ends != 2 {
            return Err(format!("{from} has no line {end}"));
        }
        let mut target = self.current(&to).unwrap_or_default().to_vec();
        target.append(&mut moved);
        self.changed.insert(from, Some(kept));
        self.changed.insert(to, Some(target));
        Ok(())
    }
}

/// Cuts off the first word.
fn cut(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|byte| *byte == b' ') {
        Some(at) => (
            text.get(..at).unwrap_or_default(),
            text.get(at.saturating_add(1)..).unwrap_or_default(),
        ),
        None => (text, &[]),
    }
}

fn number_of(text: &[u8]) -> Result<usize, String> {
    let text = String::from_utf8_lossy(text);
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| format!("'{text}' is no line"))
}

/// Names are letters, digits, dots and underscores.
fn name_of(text: &[u8]) -> Result<String, String> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_');
    let fits = (1..=100).contains(&text.len()) && text.iter().all(plain) && text[0] != b'.';
    match fits {
        true => Ok(String::from_utf8_lossy(text).into_owned()),
        false => Err(format!("'{}' is no name of a database", String::from_utf8_lossy(text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> Files {
        list.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
    }

    #[track_caller]
    fn check(script: &str, want: Result<&[(&str, &str)], &str>) {
        let before = files(&[("a.ndb", "one\ntwo\nthree\n"), ("b.ndb", "x\n")]);
        let mut after = before.clone();
        let got = Script::plain(script.as_bytes()).apply(&mut after);
        match want {
            Ok(list) => {
                got.unwrap();
                assert_eq!(after, files(list), "{script}");
            }
            Err(why) => {
                assert_eq!(got.unwrap_err().to_string(), why, "{script}");
                assert_eq!(after, before, "nothing changes");
            }
        }
    }

    #[test]
    fn commands() {
        let b = ("b.ndb", "x\n");
        check("OPEN a.ndb\nADD four 4\nCLOSE\n", Ok(&[("a.ndb", "one\ntwo\nthree\nfour 4\n"), b]));
        check("OPEN a.ndb\nDEL 3 thr\nDEL 1 one\nCLOSE\n", Ok(&[("a.ndb", "two\n"), b]));
        check(
            "# c\n\nOPEN a.ndb\nXCHG 2 tw zwei 2\nCLOSE\n",
            Ok(&[("a.ndb", "one\nzwei 2\nthree\n"), b]),
        );
        check(
            "OPEN c.hdb\nADD new\nCLOSE\n",
            Ok(&[("a.ndb", "one\ntwo\nthree\n"), b, ("c.hdb", "new\n")]),
        );
        check("UNLINK a.ndb\n", Ok(&[b]));
        check(
            "MOVE a.ndb b.ndb 1 on 2 tw\n",
            Ok(&[("a.ndb", "three\n"), ("b.ndb", "x\none\ntwo\n")]),
        );
        check(
            "MOVE a.ndb c.ndb 3 three 3 three\n",
            Ok(&[("a.ndb", "one\ntwo\n"), b, ("c.ndb", "three\n")]),
        );
        check(
            "OPEN a.ndb\nDEL 1 o\nADD y\nCLOSE\nOPEN a.ndb\nDEL 1 two\nCLOSE\n",
            Ok(&[("a.ndb", "three\ny\n"), b]),
        );
    }

    #[test]
    fn what_does_not_fit() {
        let bad = "line 2 of the script: line 1 of a.ndb does not begin as the script says";
        check(
            "OPEN a.ndb\nDEL 1 two\nCLOSE\n",
            Err(&bad.replace("line 2 of the", "line 3 of the")),
        );
        check("OPEN a.ndb\nDEL 9 x\nCLOSE\n", Err("line 3 of the script: a.ndb has no line 9"));
        check("OPEN c.ndb\nDEL 1 x\nCLOSE\n", Err("line 3 of the script: there is no c.ndb"));
        check("OPEN a.ndb\nOPEN b.ndb\n", Err("line 2 of the script: a.ndb is open"));
        check(
            "OPEN a.ndb\nDEL 1 o\nDEL 1 o\n",
            Err("line 3 of the script: line 1 is changed twice"),
        );
        check("OPEN a.ndb\nADD x\n", Err("line 0 of the script: a.ndb is still open at the end"));
        check("ADD x\n", Err("line 1 of the script: no file is open"));
        check("CLOSE\n", Err("line 1 of the script: no file is open"));
        check("OPEN ../x\n", Err("line 1 of the script: '../x' is no name of a database"));
        check("OPEN /etc\n", Err("line 1 of the script: '/etc' is no name of a database"));
        check("UNLINK .\n", Err("line 1 of the script: '.' is no name of a database"));
        check("UNLINK c\n", Err("line 1 of the script: there is no c"));
        check("RUN x\n", Err("line 1 of the script: unknown command RUN"));
        check("OPEN a.ndb\nADD z\nCLOSE\nDEL 0 x\n", Err("line 4 of the script: '0' is no line"));
        check("MOVE a.ndb b.ndb 2 two 9 x\n", Err("line 1 of the script: a.ndb has no line 9"));
        check("MOVE a.ndb a.ndb 1 one 1 one\n", Err("line 1 of the script: nothing to move"));
    }

    #[test]
    fn containers_of_scripts() {
        let malformed = |bytes: &[u8]| Script::read(bytes, None).unwrap_err();
        for (bytes, why) in [
            (&b"x"[..], "it does not start with `ClamAV-Diff:`"),
            (b"ClamAV-Diff:x:1:", "its version is not a number"),
            (b"ClamAV-Diff:1:999999999:x:y", "it is too large"),
            (b"ClamAV-Diff:1:9:xyz", "it has no signature"),
            (b"ClamAV-Diff:1:9:xyz:sig", "it cannot be decompressed"),
        ] {
            assert_eq!(malformed(bytes), CdiffError::Malformed(why));
        }
    }
}
