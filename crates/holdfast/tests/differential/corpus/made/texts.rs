//! Mails, HTML and texts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{chunk, words};
use crate::corpus::Corpus;
use crate::rng::Rng;

pub(super) fn build(corpus: &mut Corpus, rng: &mut Rng) {
    for idx in 0..3 {
        let (text, attached) = (words(corpus, rng, 400), chunk(corpus, rng, 2500));
        let mail = mail(&text, &attached, idx == 2);
        corpus.add(&format!("made-{idx}.eml"), mail.as_bytes());
        corpus.piece(text.as_bytes(), &["CL_TYPE_MAIL"]);
        corpus.piece(&attached, &["CL_TYPE_MAIL"]);
    }
    for idx in 0..3 {
        let (one, two) = (words(corpus, rng, 600), words(corpus, rng, 300));
        let page = format!(
            "<!DOCTYPE html>\n<HTML><Head><title>{}</title></head>\n<body class='x'><!-- gone -->\n\
             <p>{one}</p><br/><a href=\"http://example.com/A\">{two}</a>\n\
             <script>var Name = 'x' + \"y\"; function go(a) {{ return a + 17; }}</script></BODY></html>\n",
            words(corpus, rng, 40)
        );
        corpus.add(&format!("made-{idx}.html"), page.as_bytes());
    }
    let wide: Vec<u8> = words(corpus, rng, 500).bytes().flat_map(|byte| [byte, 0]).collect();
    corpus.add("made-wide.txt", &[&[0xff, 0xfe][..], &wide].concat());
    let script = format!("#!/bin/sh\n# {}\nexec true 12345 0x1f\n", words(corpus, rng, 700));
    corpus.add("made.sh", script.to_uppercase().as_bytes());
}

fn mail(text: &str, attached: &[u8], quoted: bool) -> String {
    let body = STANDARD.encode(attached);
    let lines: Vec<&str> = body
        .as_bytes()
        .chunks(76)
        .map(|line| std::str::from_utf8(line).unwrap_or_default())
        .collect();
    let encoding = if quoted { "quoted-printable" } else { "7bit" };
    format!(
        "Received: from a.example by b.example; Mon, 1 Jan 2024 00:00:00 +0000\r\n\
         From: one@example.com\r\nTo: two@example.com\r\nSubject: made\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=\"edge\"\r\n\r\n--edge\r\n\
         Content-Type: text/plain\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n{text}\r\n\
         --edge\r\nContent-Type: application/octet-stream; name=\"part.bin\"\r\n\
         Content-Transfer-Encoding: base64\r\n\
         Content-Disposition: attachment; filename=\"part.bin\"\r\n\r\n{}\r\n--edge--\r\n",
        lines.join("\r\n")
    )
}
