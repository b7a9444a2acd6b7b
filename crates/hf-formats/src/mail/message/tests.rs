//! Messages that hide a text in every encoding; what is found is compared with clamscan.

use std::process::Command;

use hf_core::{ChildRole, FileType};

use super::FORMAT;
use crate::mail::binhex;
use crate::testing::{Event, Recorder};

const HIDDEN: &[u8] = b"Holdfast-hidden-text-7319";
/// What is encoded: text stands around, so that damage at the edges hides nothing.
const DATA: &[u8] = b"before Holdfast-hidden-text-7319 and a little more behind";

fn base64(data: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in data.chunks(3) {
        let bits =
            (0..3).fold(0_u32, |bits, at| (bits << 8) | u32::from(*group.get(at).unwrap_or(&0)));
        for (idx, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let digit = usize::try_from((bits >> shift) & 63).expect("small");
            out.push(if idx <= group.len() { char::from(DIGITS[digit]) } else { '=' });
        }
    }
    out
}

fn uuencode(data: &[u8]) -> String {
    let mut out = String::from("begin 644 a.bin\n");
    for line in data.chunks(45) {
        out.push(char::from(u8::try_from(line.len()).expect("short") + 0x20));
        for group in line.chunks(3) {
            let bits = (0..3)
                .fold(0_u32, |bits, at| (bits << 8) | u32::from(*group.get(at).unwrap_or(&0)));
            for shift in [18, 12, 6, 0] {
                out.push(char::from(u8::try_from((bits >> shift) & 63).expect("small") + 0x20));
            }
        }
        out.push('\n');
    }
    out.push_str("`\nend\n");
    out
}

fn quoted(data: &[u8]) -> String {
    data.iter().map(|byte| format!("={byte:02X}")).collect()
}

fn yenc(data: &[u8]) -> Vec<u8> {
    let mut out = b"=ybegin line=128 size=25 name=a.bin\r\n".to_vec();
    out.extend(data.iter().map(|byte| byte.wrapping_add(42)));
    out.extend_from_slice(b"\r\n=yend size=25\r\n");
    out
}

const TOP: &str = "From: a@example.org\nTo: b@example.org\nSubject: x\nMIME-Version: 1.0\n";

fn single(headers: &str, body: &str) -> Vec<u8> {
    format!("{TOP}{headers}\n\n{body}\n").into_bytes()
}

fn mixed(parts: &str) -> Vec<u8> {
    single("Content-Type: multipart/mixed; boundary=\"b1\"", parts)
}

/// A message, and whether clamscan finds the text in it too.
struct Case {
    name: &'static str,
    message: Vec<u8>,
    both: bool,
}

fn case(name: &'static str, message: Vec<u8>, both: bool) -> Case {
    Case { name, message, both }
}

#[rustfmt::skip]
fn cases() -> Vec<Case> {
    let b64 = base64(DATA);
    let qp = quoted(DATA);
    let uu = uuencode(DATA);
    let cut: String = b64.as_bytes().chunks(7).map(|line| format!("{}\r\n", String::from_utf8_lossy(line))).collect();
    let junk: String = b64.chars().flat_map(|c| [c, '*']).collect();
    let attachment = format!("Content-Type: application/octet-stream; name=a.bin\nContent-Transfer-Encoding: base64\n\n{b64}\n");
    let inner = String::from_utf8(mixed(&format!("--b1\n{attachment}\n--b1--"))).expect("text");
    let outer = format!("--b1\nContent-Type: message/rfc822\n\n{}\n--b1--", inner.replace("b1", "inner"));
    let nested = format!("--b1\nContent-Type: multipart/alternative; boundary=b2\n\n--b2\n{attachment}\n--b2--\n--b1--");
    let hqx = String::from_utf8(binhex::tests::encode(b"a", DATA, b"")).expect("text");
    let with_yenc = [format!("{TOP}Content-Type: text/plain\n\nhello\n").into_bytes(), yenc(DATA)].concat();
    vec![
        case("base64", single("Content-Transfer-Encoding: base64", &b64), true),
        case("base64 in short lines", single("Content-Transfer-Encoding: base64", &cut), true),
        case("base64 with junk", single("Content-Transfer-Encoding: base64", &junk), true),
        case("base64 in capitals", single("CONTENT-TRANSFER-ENCODING:BASE64", &b64), true),
        case("base64 with a comment", single("Content-Transfer-Encoding: (x) base64", &b64), true),
        case("base64 quoted", single("Content-Transfer-Encoding: \"base64\"", &b64), true),
        case("base64 misspelt", single("Content-Transfer-Encoding: base-64", &b64), true),
        case("encoding folded", single("Content-Transfer-Encoding:\n base64", &b64), true),
        case("quoted-printable", single("Content-Transfer-Encoding: quoted-printable", &qp), true),
        case("encoding unknown, base64", single("Content-Type: application/x-foo\nContent-Transfer-Encoding: zzzzzz", &b64), true),
        case("encoding unknown, quoted", single("Content-Type: application/x-foo\nContent-Transfer-Encoding: zzzzzz", &qp), true),
        case("two encodings", single("Content-Transfer-Encoding: 7bit\nContent-Transfer-Encoding: base64", &b64), true),
        case("x-uuencode", single("Content-Transfer-Encoding: x-uuencode", &uu), true),
        case("uuencoded in text", single("Content-Type: text/plain", &format!("hello\n\n{uu}")), true),
        case("uuencoded without MIME", format!("From: a\nTo: b\n\nhello\n{uu}").into_bytes(), true),
        case("yenc in text", with_yenc, false),
        case("binhex in text", single("Content-Type: text/plain", &format!("hello\n\n{hqx}\n")), false),
        case("attachment", mixed(&format!("--b1\nContent-Type: text/plain\n\nhi\n--b1\n{attachment}\n--b1--")), true),
        case("last boundary missing", mixed(&format!("--b1\n{attachment}")), true),
        case("CRLF", String::from_utf8_lossy(&mixed(&format!("--b1\n{attachment}\n--b1--"))).replace('\n', "\r\n").into_bytes(), true),
        case("CR", String::from_utf8_lossy(&mixed(&format!("--b1\n{attachment}\n--b1--"))).replace('\n', "\r").into_bytes(), false),
        case("boundary not quoted", single("Content-Type: multipart/mixed; boundary=b1", &format!("--b1\n{attachment}\n--b1--")), true),
        case("boundary folded", single("Content-Type: multipart/mixed;\n\tboundary=\"b1\"", &format!("--b1\n{attachment}\n--b1--")), true),
        case("boundary folded badly", single("Content-Type: multipart/mixed;\nboundary=\"b1\"", &format!("--b1\n{attachment}\n--b1--")), true),
        case("boundary with spaces", single("Content-Type: multipart/mixed; boundary=\"b 1\"", &format!("--b 1\n{attachment}\n--b 1--")), true),
        case("boundary of RFC 2231", single("Content-Type: multipart/mixed; boundary*0=b; boundary*1=1", &format!("--b1\n{attachment}\n--b1--")), true),
        case("boundary twice, first used", single("Content-Type: multipart/mixed; boundary=b1; boundary=b2", &format!("--b1\n{attachment}\n--b1--")), true),
        case("boundary twice, second used", single("Content-Type: multipart/mixed; boundary=b1; boundary=b2", &format!("--b2\n{attachment}\n--b2--")), true),
        case("boundary with trailing space", mixed(&format!("--b1  \n{attachment}\n--b1--")), true),
        case("boundary missing", single("Content-Type: multipart/mixed", &format!("--b1\n{attachment}\n--b1--")), true),
        case("behind the last boundary", mixed(&format!("--b1\nContent-Type: text/plain\n\nhi\n--b1--\n\n{uu}")), true),
        case("nested", mixed(&nested), true),
        case("enclosed message", mixed(&outer), true),
        case("enclosed message of another kind", mixed(&outer.replace("rfc822", "foo")), true),
        case("name without encoding", mixed(&format!("--b1\nContent-Type: application/octet-stream; name=a.bin\n\n{b64}\n--b1--")), true),
        case("blank line in headers", format!("From: a\nMIME-Version: 1.0\n\nContent-Type: text/plain\nContent-Transfer-Encoding: base64\n\n{b64}\n").into_bytes(), true),
        case("mailbox", [b"From a\n".as_slice(), &single("Content-Type: text/plain", "hi\n"), b"\nFrom b\n", &mixed(&format!("--b1\n{attachment}\n--b1--"))].concat(), true),
        case("MHTML", format!("MIME-Version: 1.0\nContent-Type: multipart/related; boundary=b1\n\n--b1\n{attachment}\n--b1--").into_bytes(), true),
        case("bounce", single("Content-Type: text/plain", &format!("The message:\n\nReceived: x\nFrom: y\nMIME-Version: 1.0\nContent-Type: application/octet-stream; name=a.bin\nContent-Transfer-Encoding: base64\n\n{b64}\n")), true),
    ]
}

/// Opens an object with everything inside, as the engine does, and says whether the text is in it.
fn finds(object: &[u8], kind: FileType, depth: u32) -> bool {
    if memchr::memmem::find(object, HIDDEN).is_some() {
        return true;
    }
    depth < 6
        && crate::format_for(kind).any(|format| {
            let mut recorder = Recorder::default();
            recorder.run(format, object).ok();
            recorder.events.iter().any(|event| match event {
                Event::Child(_, data, ChildRole::Typed(kind)) => finds(data, *kind, depth + 1),
                Event::Child(_, data, ChildRole::Member) => {
                    finds(data, crate::identify(data, None), depth + 1)
                }
                Event::Child(_, data, _) => memchr::memmem::find(data, HIDDEN).is_some(),
                _ => false,
            })
        })
}

#[test]
fn every_hidden_text_is_found() {
    for case in cases() {
        let kind = crate::identify(&case.message, None);
        assert!(finds(&case.message, kind, 0), "{} as {kind:?}", case.name);
    }
}

/// Returns the numbers of the messages in which clamscan finds the text.
fn clamscan_finds(messages: &[&[u8]]) -> Option<Vec<bool>> {
    if Command::new("clamscan").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "clamscan is missing");
        println!("skipped: clamscan is missing");
        return None;
    }
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("hf-mail-{}-{count}", std::process::id()));
    std::fs::create_dir_all(folder.join("in")).expect("a folder");
    let hex: String = HIDDEN.iter().map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(folder.join("x.ndb"), format!("X:0:*:{hex}\n")).expect("a database");
    for (idx, message) in messages.iter().enumerate() {
        std::fs::write(folder.join(format!("in/{idx}.eml")), message).expect("an input");
    }
    let output = Command::new("clamscan")
        .args(["--no-summary", "-d"])
        .arg(folder.join("x.ndb"))
        .arg(folder.join("in"))
        .output()
        .expect("clamscan runs");
    std::fs::remove_dir_all(&folder).expect("the folder goes");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = |idx: usize| said.contains(&format!("/{idx}.eml: X.UNOFFICIAL FOUND"));
    Some((0..messages.len()).map(found).collect())
}

#[test]
fn clamscan_finds_what_the_table_says() {
    let cases = cases();
    let messages: Vec<&[u8]> = cases.iter().map(|case| case.message.as_slice()).collect();
    let Some(found) = clamscan_finds(&messages) else { return };
    let wrong: Vec<&str> = cases
        .iter()
        .zip(found)
        .filter(|(case, found)| case.both != *found)
        .map(|(case, _)| case.name)
        .collect();
    assert!(wrong.is_empty(), "clamscan says otherwise of {wrong:?}");
}

/// `HF_MAILS` sets how many damaged forms there are of each message.
#[test]
fn clamscan_finds_no_more_in_damaged_messages() {
    const PIECES: &[&str] = &[
        "\n",
        "\r",
        "\r\n",
        " ",
        "\t",
        "--",
        "-",
        "\"",
        ";",
        ":",
        "=",
        "\n\n",
        "\n ",
        "(",
        ")",
        "\0",
        "--b1\n",
        "Content-Type: text/plain\n",
        "\nContent-Transfer-Encoding: base64\n",
        "From ",
        "x",
    ];
    let count = std::env::var("HF_MAILS").ok().and_then(|n| n.parse().ok()).unwrap_or(4_u32);
    let mut state = 11_u32;
    let mut next = |max: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        usize::try_from(state >> 8).unwrap_or(0) % max
    };
    let mut messages = Vec::new();
    for case in cases() {
        for _ in 0..count {
            let mut message = case.message.clone();
            for _ in 0..=next(2) {
                let at = next(message.len());
                let cut = at + next(3).min(message.len() - at);
                let piece = PIECES[next(PIECES.len())].bytes();
                message.splice(at..cut, piece);
            }
            messages.push(message);
        }
    }
    let borrowed: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    let Some(found) = clamscan_finds(&borrowed) else { return };
    let missed: Vec<String> = messages
        .iter()
        .zip(found)
        .filter(|(message, found)| *found && !finds(message, crate::identify(message, None), 0))
        .map(|(message, _)| String::from_utf8_lossy(message).into_owned())
        .collect();
    assert!(missed.is_empty(), "{}", missed.join("\n=====\n"));
}

#[test]
fn limits_are_told_when_asked() {
    let message = single(&"X-Header: y\n".repeat(1100), "body");
    for (asked, want) in [(true, 1), (false, 0)] {
        let mut recorder = Recorder::default();
        recorder.options.alert_exceeds_max = asked;
        recorder.run(&FORMAT, &message).expect("the limits are not reached");
        let name = "Heuristics.Limits.Exceeded.EmailHeaders";
        let told = Event::Heuristic(name.to_owned());
        assert_eq!(recorder.events.iter().filter(|event| **event == told).count(), want);
    }
}

#[test]
fn nesting_is_bounded() {
    let mut message = TOP.to_owned();
    for level in 0..200 {
        message.push_str(&format!(
            "Content-Type: multipart/mixed; boundary=x{level}x\n\n--x{level}x\n"
        ));
    }
    let mut recorder = Recorder::default();
    recorder.run(&FORMAT, message.as_bytes()).expect("it ends");
    assert!(recorder.events.iter().any(|event| matches!(event, Event::Unscanned(..))));
}

/// Each is repeated to half a megabyte: what looks ahead for every fragment would take minutes.
#[test]
fn hostile_messages_are_read_once() {
    for fragment in [
        "=ybegin name=a\n",
        "begin 644 a\n",
        "Content-Type: \"a\nb\n",
        "Content-Type: a;\n",
        "\nContent-Type: a/b\n",
        "--b1\n",
        "\nFrom a\n",
        "=?a?b?",
        "(",
        "\"",
        "boundary=a;",
        "Content-Type: multipart/x; boundary=b1\n",
    ] {
        for start in ["", TOP, "From: a\nContent-Type: multipart/mixed; boundary=b1\n\n"] {
            let message = format!("{start}{}", fragment.repeat(500_000 / fragment.len()));
            let mut recorder = Recorder::default();
            recorder.run(&FORMAT, message.as_bytes()).ok();
            assert!(!recorder.events.is_empty(), "{fragment}");
        }
    }
}

/// Headers that can be read in three ways, in parts in one another.
#[test]
fn readings_do_not_multiply() {
    let mut message = TOP.to_owned();
    for level in 0..30 {
        message.push_str(&format!(
            "Content-Type: multipart/mixed; boundary=x{level}x\n\nContent-Transfer-Encoding: base64\n\n\
             Content-Transfer-Encoding: quoted-printable\n\n--x{level}x\n"
        ));
    }
    let mut recorder = Recorder::default();
    recorder.run(&FORMAT, message.as_bytes()).expect("it ends");
    assert!(recorder.events.len() < 50_000);
}

#[test]
fn nothing_panics_on_damaged_messages() {
    let mut state = 3_u32;
    let mut next = |max: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        usize::try_from(state >> 8).unwrap_or(0) % max
    };
    for case in cases() {
        for _ in 0..60 {
            let mut message = case.message.clone();
            for _ in 0..3 {
                let at = next(message.len());
                message[at] = b"\n\r=-\";: \0\xff(a"[next(12)];
            }
            message.truncate(next(message.len()) + 1);
            let mut recorder = Recorder::default();
            recorder.polls_left = 5_000;
            recorder.run(&FORMAT, &message).ok();
        }
    }
}

/// What signatures for parts are written for: a line feed a line, no zero bytes; other data also stays as it is.
#[test]
fn lines_are_those_of_clamscan() {
    let children = |kind: &str, quirks: bool| -> Vec<Vec<u8>> {
        let message =
            format!("From: a\r\nTo: b\r\nContent-Type: {kind}\r\n\r\nMZ ab\r\ncd \r\n\rx");
        let mut recorder = Recorder::default();
        recorder.options.clamav_quirks = quirks;
        recorder.run(&FORMAT, message.as_bytes()).expect("it is whole");
        recorder.children().iter().map(|(_, data)| data.to_vec()).collect()
    };
    let (lines, raw) = (b"MZ ab\ncd \n\nx\n".to_vec(), b"MZ ab\r\ncd \r\n\rx".to_vec());
    for quirks in [true, false] {
        assert_eq!(children("text/plain", quirks).as_slice(), std::slice::from_ref(&lines));
    }
    let binary = children("application/octet-stream", true);
    assert!(binary.contains(&lines) && binary.contains(&raw));
    let binary = children("application/octet-stream", false);
    assert!(binary.contains(&raw));
}

/// A file in uuencoding with `=` among its digits, under a header that says something else.
#[test]
fn headers_may_lie_about_uuencoding() {
    let data = b"uDA".repeat(30);
    let text = uuencode(&data);
    assert!(text.contains("=41"), "{text}");
    let message = single("Content-Transfer-Encoding: quoted-printable", &text);
    let mut recorder = Recorder::default();
    recorder.run(&FORMAT, &message).expect("it is whole");
    assert!(recorder.children().iter().any(|(_, child)| *child == data));
}

#[test]
fn cut_messages_are_joined() {
    let part = |number: u32, total: &str, body: &str| {
        format!(
            "From x\n{TOP}Content-Type: message/partial; id=\"a@b\"; number={number}{total}\n\n{body}\n"
        )
    };
    let whole = "Subject: y\nContent-Type: text/plain\n\nHoldfast-hidden-";
    let run = |mailbox: &str, quirks: bool| {
        let mut recorder = Recorder::default();
        recorder.options.clamav_quirks = quirks;
        recorder.run(&FORMAT, mailbox.as_bytes()).expect("it is whole");
        recorder.events
    };
    let joined = |events: &[Event]| {
        events.iter().any(|event| {
            matches!(event, Event::Child(_, data, ChildRole::Typed(FileType::Mail))
                if memchr::memmem::find(data, b"\ntext-7319").is_some() && data.starts_with(b"Subject"))
        })
    };
    let told = |events: &[Event]| {
        let elsewhere = hf_core::Reason::OtherVolume;
        events.iter().any(|event| matches!(event, Event::Unscanned(_, why) if *why == elsewhere))
    };
    let both = [part(2, "; total=2", "text-7319"), part(1, "", whole)].join("\n");
    let events = run(&both, false);
    assert!(joined(&events) && !told(&events), "{events:?}");
    assert!(!joined(&run(&both, true)));
    assert!(told(&run(&part(1, "; total=2", whole), false)));
}

#[test]
fn what_only_the_receiver_can_read_is_told() {
    let body = "-----BEGIN PGP MESSAGE-----\n\nhQEM\n-----END PGP MESSAGE-----";
    for (headers, body) in [
        ("Content-Type: text/plain", body),
        ("Content-Type: message/external-body; access-type=ftp", "Content-Type: x/y\n\n"),
    ] {
        let mut recorder = Recorder::default();
        recorder.run(&FORMAT, &single(headers, body)).expect("it is whole");
        let told = recorder.events.iter().any(|event| matches!(event, Event::Unscanned(..)));
        assert!(told, "{headers}");
    }
}
