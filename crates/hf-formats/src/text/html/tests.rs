//! Copies of HTML compared with `sigtool --html-normalise`.

use std::path::Path;
use std::process::{Command, Stdio};

use super::normalise::{clean, normalise};

/// What sigtool wrote: without comments, without tags.
struct Golden {
    no_comment: Vec<u8>,
    no_tags: Vec<u8>,
}

fn sigtool(folder: &Path, html: &[u8]) -> Golden {
    let path = |name: &str| folder.join(name);
    for name in ["nocomment.html", "notags.html"] {
        let _ = std::fs::remove_file(path(name));
    }
    std::fs::write(path("in"), html).expect("an input");
    // It aborts after it wrote its files.
    let _ = Command::new("sigtool")
        .args(["--html-normalise", "in"])
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let read = |name: &str| std::fs::read(path(name)).unwrap_or_default();
    Golden { no_comment: read("nocomment.html"), no_tags: read("notags.html") }
}

fn with_folder(run: impl FnOnce(&Path)) {
    if Command::new("sigtool").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "sigtool is missing");
        println!("skipped: sigtool is missing");
        return;
    }
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("hf-html-{}-{count}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    run(&folder);
    std::fs::remove_dir_all(&folder).expect("the folder goes");
}

fn show(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// Pages in which every rule of the normaliser occurs.
#[rustfmt::skip]
const PAGES: &[&[u8]] = &[
    br#"<HTML><a HREF="Http://X.com">T&amp;t</a><script>var x=1+2;alert("A"+"b")</script>z"#,
    b"Hello   World <B>Bold</B>\ttab  <i >x</ i>z",
    br#"<a x="s t"y="1"z='3'w=">q"v><a x="s>t"Y&amp;=U  p="b"c>z<a href="s&#32;t"y>z<a x="b= "c/>z<a x='"a 'b"#,
    br#"<script src="<script type="text/javascript" src="../a.js"></script>"></script>z<a x=s t"y="u v"w x>z"#,
    b"<a href='ab cd ef'>q</a><a href=\"ab>cd\">q</a><img src=' ab'/>q<a href='ab &amp;d'e>q<a href='ab '>q<a b='x y'href=c>q",
    b"<a x='s t u>v'y   z>  w<a href='s t u>v'y>z<a x='s>t u' v='w>q' r>z<a href='u v\" w'>x",
    b"a<!-- comment > rest --> b<!DOCTYPE html> c",
    b"<a href='x y' title=foo>t</a><A  HREF = \"q\"  b=c d>z</A>z",
    br#"<p class="A>B">x</p><p class='it"s'>y</p>z"#,
    b"a &lt;b&gt; &#65;&#x42;&#67 &#300; &#x20ac; &copy; &nbsp; &eacute; &foo; &AMP; & x &; &#; &#x; &amp x",
    b"<style> p { color : 'Red' } <!-- x --> </style> after",
    b"<script><!--\n alert( 1 ) //-->\n</script> b",
    br#"<img src="http://A/b.gif" alt=X><iframe src=Foo></iframe>z"#,
    br#"<a href="data:text/html;base64,SGVsbG8gV29ybGQ=">z</a> b"#,
    b"<style>p{background:url(data:image/png;base64,SGVsbG8gV29ybGQ=)}</style>z",
    b"a < b <  c> <3> <> d",
    b"<td nowrap x = y z= w>hi<br/><br />z",
    b"x<script src=\"a.js\"></script>y<script language=vbscript>MsgBox \"Hi\"</script>z",
    b"<b\nattr\n=\n\"v\n w\">x",
    b"tail <b unfinished attr=\"va",
    b"tail <!-- unfinished ",
    br#"<a href="a\"b">c</a><a href="a\\">d</a>z"#,
    b"x\x00y\rz\r\nw",
    b"   lead",
    b"<b>  x  </b>  y",
    b"<b>\x01x a\x01 \x02b",
    b"a\x7fc\xe3\x80\x82e\xef\xbc\x8ef\xef\xb9\x92g\xa1\x43h\xc3\xa9i\xe4\xb8\xadj\xa1\x44\xa1\x4fk",
    b"1\xa1\x41x 2\x80\x81\x82\x83x 3\xc3\xa9\xc3\xa9x 4\xe3\x80\x81x 5\xf0\x9f\x98\x80x 6\xa1 y 7\xffx",
    b"1\xe3\x80\x82\xe3\x80\x82x\xa1\xa1\x43x\xe3\xe3\x80\x82x\xc3\xc9\xd1x\xefa\xbcx",
    b"<script>a&amp;b</script>&amp;<b x=a&amp;b y=\"&#65;&quot;\">z",
    b"<script>x='a\"b'+\"c'd\"</script>z",
    b"<SCRIPT>A</SCRIPT >b",
    b"<script>x</scriptfoo>y</script>z",
    b"<script>if(a<b)x=\"</b>\";</script>z",
    b"<script>a</style>b</script>c<style>a</script>b</style>c",
    b"<script/>x</script>y",
    b"<!-->x<!>y<! x y>z",
    b"<?xml version=\"1\"?>x<%@ language=jscript %>y<% foo > bar %>z",
    b"<textarea>x</textarea><title>T</title>z",
    b"<a href=x>A</a><a href=>B</a><a href>C</a><a href=\"\">D</a>z",
    b"<img src=x y><img dynsrc=z><area href=q><form action=r><iframe src=s><link href=t><body background=v>z",
    b"<a href=\"http://a b/c?d=e&f=g&amp;h\">A<a href=\"java&#115;cript:x\">A<a href=&quot;x&quot;>A<a href='x\"y'>A",
    b"<b a=\"x\"b=\"y\"c>z<b a=x\"y\"z>w<b =x>y<b a==x>y<b a= >y<b a = >y<b a=\"x\" / >y<b/x>y<b/ x>y< / b>y",
    b"&lt;script&gt;x&ltx&lt x&#60;b>x",
    b"&#0;x&#1;x&#9;x&#10;x&#32;x&#128;x&#255;x&#256;x&#65535;x&#65536;x&#x3002;x&#xff0e;x&#xfe52;x&#xD800;x&#99999999999;x",
    b"&#x41 x&#x41g&#65a&abcdefghijklmnopqrstuvwxyz;x&a b;&<b>&&amp;x&#-1;x",
    b"&Eacute;&EACUTE;&euro;&Alpha;&quot;&apos;&amp;amp;x",
    b"</b >x</b  y=z>x</style >x</script  foo>x",
    b"<b x=\"a  b\" y=\"a\nb\" z=\"  a  \" v=a  >w",
    b"<b x='>' >y<b x=\"a>  b\">y<a href=\"a>  b\">y",
    b"<b x=\"a\\\">y\">z<b x='a\\'>y'>z<b x=\\\"a>y\">z<b \"x\"=y>z<b 'x'>z",
    b"<b x=\"a\"/>z<b x=a/>z<a href=a/>z<b X=\"A\" Y=B><b x y><b x  =  \"y\"  z>w",
    b"<b x=&#65;&#66;><b &#65;=x><&#65;>x<b x=\"&amp\" y><b x=\"&foo bar\" y><b x=\"&#65 b\"><b x=&lt>y",
    b"<a href=\"&#256;&euro;\">x<a href=\"&copy;&#200;\">y<a href=\"Xy&eacute;Z\">z",
    b"x <b> <i> y </i> </b> z<br>\n<br>\n\ny</p>\n \n<p>y a  &amp;  b a &nbsp; b",
    b"<!-- x -->  y <!-- y --> z<b> <!-- x --> y<b>y<!--z-->w",
    b"<script>a = \"x  y\" + 'z';  b\n</script>  c<script>&lt;\"&quot;\"</script>z",
    b"<script>x<!-- y > z --></script><script><!--x--></script>z",
    b"<style>a  >  b { c : \"d\" }  </style><style><b>x</b></style>z",
    b"<script>1<2</script><script>1</2></script><script>\"</b>\" </i></script><script></script>x",
    b"<b x=\"it's\" y='a\"b'>a<b<c>d<b<c>d",
    b"<a href=x href=y>z<a href=x title=q href=\"\">z<a title=x src=y>z<img href=y>z<a  href = x>z",
    b"<A HREF=\"Xy>Z\">z<a href=\"x\x01y\">z<a href=\"  x\">z<a href=\" x\">z<a href=\"x \">z",
    b"<script></a href=\"q\">z</script><script></b x=\"y  z\" >  w</script>v",
    b"<script></script x>y<style></style x>y<script></ script>y</script>z<script>< /script>y</script>z",
    b"<script>a  <  b</script>z<script>x<!y></script><script>x<! y></script><script>x< !y></script><  !-- x>y",
    b"<b a=\"data:text/plain,x y>z\">w<b a='data:text/plain,x\"y'>w<b a=\"data:TEXT/HTML;base64,QUJD\" c=d>w",
    b"<b a=\"data:\">w<b a=\"data:foo\">w<b a=\" data:text/plain,x\">w<b a=\"dataX\">w<b data:text/plain,x>w",
];

#[test]
fn copies_are_sigtools() {
    with_folder(|folder| {
        let mut bad = Vec::new();
        for page in PAGES {
            let golden = sigtool(folder, page);
            let ours = normalise(&clean(page), true);
            for (what, want, got) in [
                ("nocomment", &golden.no_comment, &ours.no_comment),
                ("notags", &golden.no_tags, &ours.no_tags),
            ] {
                if want != got {
                    bad.push(format!(
                        "{} {what}\n want {}\n got  {}",
                        show(page),
                        show(want),
                        show(got)
                    ));
                }
            }
        }
        assert!(bad.is_empty(), "{}", bad.join("\n"));
    });
}

/// Pages made of fragments, the same at every run.
fn random_page(seed: u32) -> Vec<u8> {
    const FRAGMENTS: &[&[u8]] = &[
        b"<",
        b">",
        b"a",
        b"B",
        b" ",
        b"  ",
        b"\n",
        b"\t",
        b"=",
        b"\"",
        b"'",
        b"&",
        b";",
        b"/",
        b"!",
        b"#",
        b"<b",
        b"<a href=",
        b"<img src=\"x\">",
        b"<script>",
        b"</script>",
        b"<style>",
        b"</style>",
        b"&amp;",
        b"&#65;",
        b"&lt",
        b"<!--",
        b"-->",
        b"\xc3\xa9",
        b"\x01",
        b"foo",
        b"</",
        b"X=",
        b"&nbsp;",
        b"\\",
    ];
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12345);
    let mut next = |max: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        usize::try_from(state >> 8).unwrap_or(0) % max
    };
    let count = next(24) + 2;
    let mut page: Vec<u8> =
        (0..count).flat_map(|_| FRAGMENTS[next(FRAGMENTS.len())].to_vec()).collect();
    page.extend_from_slice(b"> end");
    page
}

/// `HF_PAGES` sets how many pages; what differs is printed.
#[test]
fn copies_of_random_pages_are_sigtools() {
    let count = std::env::var("HF_PAGES").ok().and_then(|n| n.parse().ok()).unwrap_or(60_u32);
    with_folder(|folder| {
        let mut bad = 0;
        for seed in 0..count {
            let page = random_page(seed);
            let golden = sigtool(folder, &page);
            let ours = normalise(&clean(&page), true);
            for (what, want, got) in
                [("N", &golden.no_comment, &ours.no_comment), ("T", &golden.no_tags, &ours.no_tags)]
            {
                if want != got {
                    bad += 1;
                    println!("{} {what}\n want {}\n got  {}", show(&page), show(want), show(got));
                }
            }
        }
        // Tags that never end, and zero-length corners of scripts.
        assert!(bad * 20 <= count, "{bad} of {count} pages differ");
    });
}

#[test]
fn nothing_panics_on_random_pages() {
    for seed in 0..20_000 {
        let _ = normalise(&clean(&random_page(seed)), true);
    }
}
/// Each is repeated to half a megabyte: what looks ahead for every fragment would take minutes.
#[test]
fn hostile_pages_are_read_once() {
    for fragment in [
        "<style></script>",
        "<script>",
        "<style>url(data:",
        "<a href=\"data:",
        "<a x='",
        "&#1",
        "&a",
        "<!",
        "<a ",
        "<",
        "eval(",
        "function(",
        "/*",
        "\"+\"",
        "\\",
    ] {
        for start in ["", "<script>", "<style>"] {
            let page = format!("{start}{}", fragment.repeat(500_000 / fragment.len()));
            let mut recorder = crate::testing::Recorder::default();
            recorder.run(&super::FORMAT, page.as_bytes()).expect("pages are never broken");
            assert!(recorder.events.len() >= 2, "{fragment}");
        }
    }
}

#[test]
fn documents_in_urls_are_messages_for_clamscan() {
    use hf_core::{ChildRole, FileType};

    use crate::testing::{Event, Recorder};

    for (quirks, role, want) in [
        (
            true,
            ChildRole::Typed(FileType::Mail),
            "From html-normalise\nContent-type: text/html;base64\nContent-transfer-encoding: base64\n\nSGVsbG8=",
        ),
        (false, ChildRole::Member, "Hello"),
    ] {
        let mut recorder = Recorder::default();
        recorder.options.clamav_quirks = quirks;
        let page = b"<html><b a=\"data:text/html;base64,SGVsbG8=\">x";
        recorder.run(&super::FORMAT, page).expect("pages are never broken");
        let name = b"data:text/html;base64".to_vec();
        let event = Event::Child(name, want.as_bytes().to_vec(), role);
        assert!(recorder.events.contains(&event), "{:?}", recorder.events);
    }
}
