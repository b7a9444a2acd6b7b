//! Mails with links against `pdb`, `gdb` and `wdb`.

use sha2::{Digest as _, Sha256};

use crate::run::{Group, available, differences};

fn mail(kind: &str, body: &str) -> Vec<u8> {
    format!(
        "From: a@b.c\r\nTo: d@e.f\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: {kind}\r\n\r\n{body}\r\n"
    )
    .into_bytes()
}

fn anchor(real: &str, displayed: &str) -> String {
    format!("<html><body><a href=\"{real}\">{displayed}</a></body></html>")
}

fn group(options: &[&'static str], pdb: &str, wdb: &str) -> Group {
    let lists = [("a.pdb", pdb), ("a.wdb", wdb)];
    let lists = lists.iter().filter(|(_, text)| !text.is_empty());
    let databases = lists.map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()));
    Group { options: options.to_vec(), databases: databases.collect(), files: Vec::new() }
}

impl Group {
    fn add(&mut self, file: Vec<u8>) {
        self.files.push((format!("{:03}.eml", self.files.len()), file));
    }
}

#[track_caller]
fn check(groups: &[Group]) {
    if !available() {
        return;
    }
    let lines: Vec<String> = groups.iter().flat_map(differences).collect();
    let all: usize = groups.iter().map(|group| group.files.len()).sum();
    println!("{all} mails compared");
    assert!(lines.is_empty(), "{} differ:\n{}", lines.len(), lines.join("\n"));
}

/// Where links lead.
#[rustfmt::skip]
const REAL: &[&str] = &[
    "http://evil.org/x?y#z", "http://EVIL.org:8080/x", "https://evil.org/", "ftp://evil.org/x", "evil.org/foo",
    "http://evil", "http://localhost/x", "http://evil.xyzzy/", "evil.xyzzy", "page.html", "/foo", "#x", "//evil.org/foo",
    "mailto:joe@evil.org", "javascript:alert(1)", "http:evil.org", "1.2.3.4/", "http://1.2.3.4/x", "http://0x01020304/x",
    "http://u:p@evil.org/", "http://bank.com@evil.org/x", "http://bank.com%40evil.org/", "http://ev%69l.org/x",
    "http://bank.com%01@evil.org/x", "http://bank.com%00evil.org", "http://evil.org\\x", "http://evil.org/x y",
    "gopher://evil.org/", "http://bank.com.evil.org/a", "http://bank.com/a", "http://my.bank.com/", "http://evil.org.",
    "http://evil.org?u=bank.com", "http://evil.co.uk", "evil.org?x", "http://xbank.com", "bank.com@evil.org",
];

/// What links show.
#[rustfmt::skip]
const SHOWN: &[&str] = &[
    "http://bank.com/", "HTTP://WWW.Bank.com/Foo?x=1", "bank.com", "www.bank.com", "xbank.com", "bank.com.", "(bank.com)",
    "&lt;bank.com&gt;", "<b>ba</b>nk.com", "  bank . com  ", "visit bank.com now", "joe@bank.com", "http://joe@bank.com",
    "mailto:joe@bank.com", "bank.com:80", "bank.com/foo bar", "bank.xyzzy", "asp.net", "asp.net bank.com", "b%61nk.com",
    "https://bank.com/", "https:// bank.com", "ftp://bank.com/", "http:bank.com", "bank", "bank..com", "www bank.com",
    "http://evil.org/bank.com", "\\\\bank.com", "//bank.com", "bank.com-evil.org", "other.com", "https://other.com", "",
];

#[test]
fn pairs_of_addresses() {
    let mut groups = Vec::new();
    for options in [
        &[][..],
        &["--alert-phishing-ssl", "--alert-phishing-cloak"],
        &["--phishing-scan-urls=no", "--alert-phishing-ssl"],
        &["--heuristic-alerts=no"],
    ] {
        for list in ["H:bank.com\nH:b.co.uk\n", ""] {
            let mut group = group(options, list, "");
            for shown in SHOWN {
                group.add(mail("text/html", &anchor("http://evil.org/x", shown)));
            }
            for real in REAL {
                group.add(mail("text/html", &anchor(real, "http://bank.com/")));
                group.add(mail("text/html", &anchor(real, "https://other.com/")));
            }
            group.add(mail("text/html", &anchor("http://a.co.uk", "http://b.co.uk")));
            groups.push(group);
        }
    }
    check(&groups);
}

#[test]
fn lists_of_addresses() {
    let pairs = [
        ("http://evil.org/x", "http://bank.com/y?z"),
        ("http://www.evil.org/x", "http://www.bank.com/"),
    ];
    let mut groups = Vec::new();
    #[rustfmt::skip]
    let protected = [
        r"R:.+bank\.com", r"R:.+\.com", r"R:.*bank\.com", r"R:evil\.org:bank\.com", r"R:http://evil\.org:http://bank\.com",
        r"R:http://evil\.org:http://bank\.com/", r"R:.+:bank\.com", r"R:.+:http://bank\.com", r"R:bank\.com",
        r"R:.+\.bank\.com", r"R:.+/bank\.com", "R:.bank.com", "R:http://bank.com", r"R:.+\.org(/.*)?:.+bank\.com([/?].*)?",
        "H:http://bank.com", "H:com", "H:bank.com/", "H:.bank.com", "H:BANK.com", "H1:bank.com", "H:bank.com:foo",
        "H:evil.org:bank.com", "H:bank.com:17-", "H:bank.com:200-210",
    ];
    #[rustfmt::skip]
    let allowed = [
        r"Y:.+evil\.org", r"Y:.+\.org:bank\.com", r"Y:.+bank\.com", r"Y:http://evil\.org", "Y:evil.org",
        r"Y:http://evil\.org:http://bank\.com", r"X:evil\.org:bank\.com", r"X:.*evil\.org:.*bank\.com",
        r"X:http://evil\.org:http://bank\.com", r"X:.+:bank\.com", r"X:.+\.org:.+\.com",
        r"X:.+evil\.org([/?].*)?:.+bank\.com([/?].*)?", "M:evil.org:bank.com", "M:www.evil.org:www.bank.com",
        "M:il.org:bank.com", "M:evil.org:nk.com", "M:evil.org", "M:bank.com:evil.org", "M:org:bank.com",
    ];
    let lists = protected.iter().map(|line| (*line, ""));
    for (pdb, wdb) in lists.chain(allowed.iter().map(|line| ("H:bank.com", *line))) {
        let mut group = group(&[], &format!("{pdb}\n"), &format!("{wdb}\n"));
        for (real, shown) in pairs {
            group.add(mail("text/html", &anchor(real, shown)));
        }
        groups.push(group);
    }
    check(&groups);
}

#[test]
fn places_of_links() {
    let link = anchor("http://evil.org/", "http://bank.com/");
    let mut group = group(&[], "H:bank.com\n", "");
    for body in [
        r#"<form action="http://evil.org/x"><a href="http://bank.com/">z</a></form>"#,
        r#"<a href="http://evil.org/"><form action="http://bank.com/x">z</form></a>"#,
        r#"<a href="http://evil.org/"><img src="http://bank.com/x.gif"></a>"#,
        r#"<img src="http://bank.com/x.gif">"#,
        r#"<a href="http://evil.org/"><iframe src="http://bank.com/x.gif"></iframe></a>"#,
        r#"<map><area href="http://bank.com/"></map>"#,
        r#"<a href="http://evil.org/"><area href="http://bank.com/"></a>"#,
        r#"<a href="http://evil.org/" title="http://bank.com/">click</a>"#,
        r#"<a href="http://evil.org/"><img alt="http://bank.com/" src="x.gif"></a>"#,
        r#"<a href="http://evil.org/">http://bank.com/"#,
        r#"<a href="http://evil.org/">http://bank.com/<a href="http://good.org/">x</a></a>"#,
        r#"<a href="http://evil.org/">x<a href="http://good.org/">http://bank.com/</a></a>"#,
        "<a href=http://evil.org/>http://bank.com/</a>",
        r#"<A HREF="http://evil.org/">HTTP://BANK.COM/</A>"#,
        r#"<a name="x">http://bank.com/</a>"#,
        "http://evil.org/ http://bank.com/",
        r#"<a href="http://evil.org/" href="http://bank.com/">http://bank.com/</a>"#,
    ] {
        group.add(mail("text/html", body));
    }
    group.add(link.clone().into_bytes());
    group.add(mail("text/plain", "see http://evil.org/ bank.com"));
    for kind in ["text/html", "text/html; name=x.html", "application/octet-stream"] {
        let part = format!("--B\r\nContent-Type: {kind}\r\n\r\n{link}\r\n--B--\r\n");
        for around in ["mixed", "alternative", "related", "report"] {
            group.add(mail(&format!("multipart/{around}; boundary=B"), &part));
        }
    }
    check(&[group]);
}

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn digests_of_addresses() {
    let mut groups = Vec::new();
    let url = "http://www.evil.org/a/b/c.html?q=1";
    for (kind, listed) in [
        ("S", "www.evil.org/"),
        ("S0", "www.evil.org/a/"),
        ("S1", "www.evil.org/a/b/"),
        ("S2", "www.evil.org/a/b/c.html"),
        ("S1", "www.evil.org/a/b/c.html?q=1"),
        ("S1", "evil.org/"),
        ("S1", "evil.org/a/b/c.html?q=1"),
        ("S1", "org/"),
        ("S1", "e.org/b"),
        ("S1", "e.org/a"),
        ("S1", "e.org/a%20b"),
        ("S1", "d.e.f.g.org/1"),
        ("S1", "c.d.e.f.g.org/1"),
        ("S1", "e.org/1/2/3/"),
        ("S1", "e.org/1/2/3/4/"),
    ] {
        for good in [false, true] {
            let digest = sha256(listed);
            let mut text = format!("{kind}:P:{}\n{kind}:F:{digest}\n", &digest[..8]);
            if good {
                text.push_str(&format!("S:W:{digest}\n"));
            }
            let mut group = group(&[], &text, "");
            for real in [
                url,
                "http://www.evil.org",
                "https://www.evil.org:80/",
                "ftp://u@www.evil.org/",
                "http:www.evil.org",
                "http://www%2eevil.org/",
                "www.evil.org",
                "http://e.org/a/../b",
                "http://e.org/%2561",
                "http://e.org/a b",
                "http://e.org/A",
                "http://a.b.c.d.e.f.g.org/1",
                "http://e.org/1/2/3/4/5/6/7?q",
            ] {
                group.add(mail("text/html", &anchor(real, "click")));
            }
            group.add(mail("text/plain", "see http://www.evil.org/ now"));
            group.add(mail("text/html", "see <http://www.evil.org/x> now"));
            group.add(mail("text/plain", "see www.evil.org/ now"));
            groups.push(group);
        }
    }
    check(&groups);
}
