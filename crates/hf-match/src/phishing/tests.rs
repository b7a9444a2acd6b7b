//! Links against lists; `crates/holdfast/tests/phishing` compares the same with clamscan.

use super::*;

fn phishing(lines: &[&str]) -> Phishing {
    let sig = |line: &&str| {
        let (list, line) = match line.strip_prefix("wdb ") {
            Some(line) => (PhishingList::Allowed, line),
            None => (PhishingList::Protected, *line),
        };
        let mut fields = line.split(':').map(str::to_owned);
        let kind = fields.next().unwrap();
        PhishingSig { list, kind, fields: fields.collect() }
    };
    Phishing { sigs: lines.iter().map(sig).collect(), lists: OnceLock::new() }
}

#[track_caller]
fn check(lines: &[&str], real: &str, displayed: &str, want: Option<&str>) {
    let checks = LinkChecks { clamav_names: true, ..LinkChecks::default() };
    let found = phishing(lines).check(real.as_bytes(), displayed.as_bytes(), checks);
    let short = found.map(|name| name.strip_prefix("Heuristics.Phishing.").unwrap_or(name));
    assert_eq!(short, want, "{lines:?} {real} {displayed}");
}

const SPOOFED: Option<&str> = Some("Email.SpoofedDomain");
const SSL: Option<&str> = Some("Email.SSL-Spoof");

#[test]
fn what_is_shown_is_protected() {
    let list = &["H:bank.com"];
    for displayed in [
        "http://bank.com/",
        "bank.com",
        "www.bank.com",
        "HTTP://WWW.Bank.com/Foo?x",
        " bank . com ",
        "bank.com.",
        "(bank.com)",
        "bank.com/x y",
        "b%61nk.com",
        "http://joe@bank.com",
        "www bank.com",
        "mailto:joe@bank.com",
        "bank.com\\x",
        "...bank.com",
    ] {
        check(list, "http://evil.org/x", displayed, SPOOFED);
    }
    for displayed in [
        "",
        "xbank.com",
        "bank.com.org",
        "joe@bank.com",
        "visit bank.com now",
        "bank",
        "asp.net",
        "http://evil.org/bank.com",
        "bank.com:80",
        "http:bank.com",
        "bank..com",
    ] {
        check(list, "http://evil.org/x", displayed, None);
    }
    for real in
        ["/x", "#x", "mailto:x@evil.org", "javascript:x()", "page.html", "//evil.org", "1.2.3.4"]
    {
        check(list, real, "bank.com", None);
    }
    check(list, "evil.org", "bank.com", SPOOFED);
    check(list, "http://bank.com.evil.org", "bank.com", SPOOFED);
    check(list, "http://my.bank.com/x", "bank.com", None);
    check(list, "http://bank.com/", "https://bank.com/", SSL);
    check(list, "https://evil.org/", "https://bank.com/", SPOOFED);
    check(list, "http://bank.com%01@evil.org", "bank.com", Some("Email.Cloaked.Null"));
    check(&["H:b.co.uk"], "http://a.co.uk", "b.co.uk", SPOOFED);
    check(&["H:c.b.fr"], "http://a.b.fr", "c.b.fr", None);
}

#[test]
fn names_that_only_we_tell() {
    let name =
        |real: &[u8]| phishing(&["H:bank.com"]).check(real, b"bank.com", LinkChecks::default());
    assert_eq!(name(b"http://1.2.3.4/"), Some(CLOAKED_NUMERIC_IP));
    assert_eq!(name(b"http://0x1020304/"), Some(CLOAKED_NUMERIC_IP));
    assert_eq!(name(b"http://bank.com@evil.org/"), Some(CLOAKED_USERNAME));
    assert_eq!(name(b"http://evil.org/"), Some(SPOOFED_DOMAIN));
}

#[test]
fn checks_on_what_is_not_listed() {
    let (ssl, cloak) = (
        LinkChecks { ssl: true, ..LinkChecks::default() },
        LinkChecks { cloak: true, ..LinkChecks::default() },
    );
    let name = |real: &[u8], checks| phishing(&[]).check(real, b"https://other.com", checks);
    assert_eq!(name(b"http://evil.org", ssl), Some(SSL_SPOOF));
    assert_eq!(name(b"http://evil.org", cloak), None);
    assert_eq!(name(b"http://other.com%00.evil.org", cloak), Some(CLOAKED_NULL));
    assert_eq!(name(b"https://evil.org", ssl), None);
}

#[test]
fn expressions() {
    for (pdb, real, displayed, want) in [
        (r"R:.+bank\.com", "http://evil.org/x", "http://bank.com/y?z", SPOOFED),
        (r"R:.+\.bank\.com", "http://evil.org/x", "http://bank.com/", None),
        (r"R:.+\.bank\.com", "http://evil.org/x", "http://www.bank.com/", SPOOFED),
        (r"R:bank\.com", "http://evil.org/x", "http://www.bank.com/", SPOOFED),
        (r"R:http://bank.com", "http://evil.org/x", "http://bank.com/", SPOOFED),
        (r"R:http://evil\.org:http://bank\.com", "http://evil.org/x", "http://bank.com/", SPOOFED),
        (r"R:evil\.org:bank\.com", "http://evil.org/x", "http://bank.com/", None),
        (r"R:.+\.org(/.*)?:.+bank\.com([/?].*)?", "http://evil.org/x", "http://bank.com/", SPOOFED),
        ("H:com", "http://evil.org/x", "http://bank.com/", SPOOFED),
        ("H:.bank.com", "http://evil.org/x", "http://bank.com/", None),
    ] {
        check(&[pdb], real, displayed, want);
    }
    for (wdb, is_allowed) in [
        ("M:evil.org:bank.com", true),
        ("M:org:bank.com", true),
        ("M:evil.org", false),
        (r"X:.+evil\.org([/?].*)?:.+bank\.com([/?].*)?", true),
        (r"X:http://evil\.org/x:http://bank\.com", false),
        (r"X:.+:bank\.com", true),
        (r"Y:evil\.org", false),
        (r"Y:.+\.org:bank\.com", true),
    ] {
        let want = if is_allowed { None } else { SPOOFED };
        check(
            &["H:bank.com", &format!("wdb {wdb}")],
            "http://evil.org/x",
            "http://bank.com/",
            want,
        );
    }
}

fn sha256(text: &str) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn digests_of_targets() {
    let blocked = Some("URL.Blocked");
    let url = "http://www.evil.org/a/b/c.html?q=1";
    for listed in [
        "www.evil.org/",
        "www.evil.org/a/",
        "www.evil.org/a/b/",
        "www.evil.org/a/b/c.html",
        "www.evil.org/a/b/c.html?q=1",
        "evil.org/",
        "evil.org/a/b/c.html?q=1",
    ] {
        check(&[&format!("S1:F:{}", sha256(listed))], url, "", blocked);
    }
    check(&[&format!("S1:F:{}", sha256("org/"))], url, "", None);
    let good = format!("S:W:{}", sha256("evil.org/"));
    check(&[&format!("S1:F:{}", sha256("evil.org/")), &good], url, "", None);
    for (url, listed, want) in [
        ("http://www.evil.org:80", "www.evil.org/", true),
        ("http:www.evil.org", "www.evil.org/", true),
        ("http://u@www%2eevil.org/#x", "www.evil.org/", true),
        ("www.evil.org", "www.evil.org/", false),
        ("http://e.org/a/../b", "e.org/b", true),
        ("http://e.org/a/./b", "e.org/a/b", true),
        ("http://e.org/%2561", "e.org/a", true),
        ("http://e.org/A", "e.org/a", false),
        ("http://e.org/a b", "e.org/a%20b", true),
        ("http://e.org/%e9", "e.org/%E9", true),
        ("http://e.org/a?b=../c", "e.org/a?b=../c", true),
        ("http://a.b.c.d.e.f.g.org/1", "c.d.e.f.g.org/1", false),
        ("http://a.b.c.d.e.f.g.org/1", "d.e.f.g.org/1", true),
        ("http://e.org/1/2/3/4/5/6/7?q", "e.org/1/2/3/", true),
        ("http://e.org/1/2/3/4/5/6/7?q", "e.org/1/2/3/4/", false),
        ("javascript:x", "x/", false),
    ] {
        let want = if want { blocked } else { None };
        check(&[&format!("S1:F:{}", sha256(listed))], url, "", want);
    }
    let names = ["S", "S0", "S2"].map(|kind| {
        let list = [format!("{kind}:F:{}", sha256("e.org/"))];
        let lines: Vec<&str> = list.iter().map(String::as_str).collect();
        phishing(&lines).check(b"http://e.org", b"", LinkChecks::default())
    });
    let malware = Some(SAFE_BROWSING_MALWARE);
    assert_eq!(names, [malware, malware, Some(SAFE_BROWSING_PHISHING)]);
}

#[test]
fn hostile_addresses_cost_little() {
    let phishing = phishing(&["H:bank.com", r"R:(.+\.)*(.+)*bank\.com"]);
    let long = [b"http://".as_slice(), &b"a.".repeat(1 << 20)].concat();
    let checks = LinkChecks { ssl: true, cloak: true, clamav_names: false };
    for _ in 0..100 {
        assert_eq!(phishing.check(&long, &long, checks), None);
        assert_eq!(phishing.check(b"http://%", b"http://%%%25", checks), None);
    }
}
