//! `--gen-json`: the same metadata, where both know it; and signatures of target 13, which meet it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hf_formats::testing_exe::tiny_pe;
use serde_json::Value;

use crate::run::{Group, available, differences};

fn files() -> Vec<(String, Vec<u8>)> {
    let text = b"A text that is long enough to be one.\n".to_vec();
    let page = br#"<html><a href="http://example.org/x">t</a><img src="a.gif"></html>"#.to_vec();
    vec![
        ("a.exe".to_owned(), tiny_pe(&[&[0x90; 512], b"data"], 0x1000)),
        ("a.txt".to_owned(), text),
        ("a.html".to_owned(), page),
    ]
}

/// Returns what a program leaves in `metadata.json`.
fn left(program: &Path, outer: &Path, name: &str) -> Value {
    let temps = outer.join("temps");
    let _ = fs::remove_dir_all(&temps);
    fs::create_dir(&temps).expect("a folder can be made");
    let output = Command::new(program)
        .args(["-d", "nothing.hdb", "--gen-json", "--leave-temps", "--tempdir=temps"])
        .arg(name)
        .current_dir(outer)
        .env("HOLDFAST_CACHE", outer.join("cache"))
        .env("TZ", "UTC")
        .output()
        .expect("both programs can be started");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let folders: Vec<_> = fs::read_dir(&temps).expect("it is there").flatten().collect();
    assert_eq!(folders.len(), 1, "{folders:?}");
    let folder = folders[0].file_name().to_string_lossy().into_owned();
    assert!(folder.contains(&format!("-{name}.")), "{folder}");
    let text = fs::read_to_string(folders[0].path().join("metadata.json")).expect("a text");
    serde_json::from_str(&text).expect("it is JSON")
}

/// Makes a folder with content that finds nothing, and ours under clamscan's name in it.
fn lab() -> (tempfile::TempDir, PathBuf) {
    let outer = tempfile::tempdir().expect("a folder can be made");
    let ours = outer.path().join("clamscan");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_holdfast"), &ours).expect("a link can be made");
    let nothing = "d41d8cd98f00b204e9800998ecf8427e:77:Nothing\n";
    fs::write(outer.path().join("nothing.hdb"), nothing).expect("a file can be written");
    (outer, ours)
}

#[test]
fn the_same_metadata() {
    if !available() {
        return;
    }
    let (outer, ours) = lab();
    for (name, bytes) in files() {
        fs::write(outer.path().join(&name), bytes).expect("a file can be written");
        let theirs = left(Path::new("clamscan"), outer.path(), &name);
        let mut ours = left(&ours, outer.path(), &name);
        // What only we know.
        let members = ours.as_object_mut().expect("it is an object");
        members.remove("Facts");
        members.remove("URIs");
        assert_eq!(ours, theirs, "{name}");
    }
}

#[test]
fn signatures_for_metadata() {
    if !available() {
        return;
    }
    let mut groups = Vec::new();
    for pattern in [
        r#""FileSize":38"#,
        "{\n  \"Magic\":\"CLAMJSONv0\",\n  \"RootFileType\":\"CL_TYPE_HTML\"",
        r#""EntryPointOffset":512"#,
        "nothing of it",
    ] {
        let hex: String = pattern.bytes().map(|byte| format!("{byte:02x}")).collect();
        let database = format!("Json.Found;Engine:51-255,Target:13;0;{hex}\n").into_bytes();
        for options in [vec!["--gen-json"], vec![]] {
            let databases = vec![("a.ldb".to_owned(), database.clone())];
            groups.push(Group { options, databases, files: files() });
        }
    }
    let lines: Vec<String> = groups.iter().flat_map(differences).collect();
    assert!(lines.is_empty(), "{} differ:\n{}", lines.len(), lines.join("\n"));
}

/// A document with most of what is counted, and one that is encrypted with a password that nobody has.
fn documents() -> Vec<(&'static str, Vec<u8>)> {
    let object = |(number, text): (usize, &&str)| format!("{} 0 obj\n{text}\nendobj\n", number + 1);
    let document = |version: &str, objects: &[&str], trailer: &str| {
        let body: String = objects.iter().enumerate().map(object).collect();
        let front = format!("%PDF-{version}\n{body}");
        let off = front.len();
        let table = "xref\n0 1\n0000000000 65535 f \n";
        format!("{front}{table}trailer\n<<{trailer}>>\nstartxref\n{off}\n%%EOF\n").into_bytes()
    };
    let pages = "<</Type/Pages/Kids[3 0 R]/Count 1>>";
    let page = "<</Type/Page/Parent 2 0 R>>";
    let objects = [
        "<</Type/Catalog/Pages 2 0 R/OpenAction 4 0 R/AcroForm<</Fields[]/XFA 6 0 R>>>>",
        pages,
        page,
        "<</S/JavaScript/JS(app.alert\\(1\\);)>>",
        "<</S/Launch/F(calc.exe)>>",
        "<</Length 10>>\nstream\n<xdp></xdp\nendstream",
        "<</Filter/ASCIIHexDecode/Length 11>>\nstream\n68656c6c6f>\nendstream",
        "<</Type/EmbeddedFile/Length 9>>\nstream\na content\nendstream",
        "<</Subtype/Image/Filter/DCTDecode/Length 4>>\nstream\nabcd\nendstream",
        "<</Subtype/Image/Filter/JBIG2Decode/Length 4>>\nstream\nabcd\nendstream",
        "<</Subtype/Image/Filter/CCITTFaxDecode/Length 4>>\nstream\nabcd\nendstream",
        "<</Type/Sig>>",
        "<</Producer(prod)/Creator(creat)/Title(t)/Author(a)/Subject(s)/Keywords(k)>>",
        "<</Subtype/RichMedia>>",
    ];
    let locked = ["<</Type/Catalog/Pages 2 0 R>>", pages, page, LOCK];
    vec![
        ("counts.pdf", document("1.7", &objects, "/Root 1 0 R/Info 13 0 R")),
        ("locked.pdf", document("9.9", &locked, "/Root 1 0 R/Encrypt 4 0 R/ID[(a)(a)]")),
        ("parts.eml", PARTS.as_bytes().to_vec()),
        ("plain.eml", b"From: a@example.com\nSubject: s\nMessage-ID: <1@a>\n\nbody\n".to_vec()),
    ]
}

const LOCK: &str = "<</Filter/Standard/V 2/R 3/Length 128/P -44\
                    /O(12345678901234567890123456789012)/U(12345678901234567890123456789012)>>";
const PARTS: &str = "From: a@example.com
Subject: s
Content-Type: multipart/mixed; boundary=A

--A
Content-Type: multipart/alternative; boundary=B

--B
Content-Type: text/plain

text
--B
Content-Type: text/html
Content-Transfer-Encoding: quoted-printable

<html>x</html>
--B--
--A
Content-Type: application/pdf; name=x.pdf
Content-Disposition: attachment; filename=y.pdf
Content-Transfer-Encoding: base64

JVBERi0xLjQK
--A--
";

/// Takes away what is not told here: numbers of objects, and the part behind the last boundary.
fn without_places(value: &mut Value) {
    match value {
        Value::Array(parts) => {
            parts.retain(|part| part["MimeType"] != "NOMIME");
            parts.iter_mut().for_each(without_places);
        }
        Value::Object(members) => {
            members.remove("ContainedObjectsIndex");
            members.remove("ClamAVFileType");
            members.values_mut().for_each(without_places);
        }
        _ => {}
    }
}

#[test]
fn statistics_and_bodies() {
    if !available() {
        return;
    }
    let (outer, ours) = lab();
    for (name, bytes) in documents() {
        fs::write(outer.path().join(name), bytes).expect("a file can be written");
        let theirs = left(Path::new("clamscan"), outer.path(), name);
        let ours = left(&ours, outer.path(), name);
        for key in ["PDFStats", "Body"] {
            let mut theirs = theirs[key].clone();
            without_places(&mut theirs);
            assert_eq!(ours[key], theirs, "{name}: {key}");
        }
    }
}
