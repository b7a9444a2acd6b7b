//! Documents that real programs write are opened: PDF as qpdf encrypts and packs it.

use std::path::Path;
use std::process::Command;

use hf_formats::testing::Recorder;
use hf_formats::testing_docs::{PdfBuilder, zlib_stored};
use hf_formats::{FORMATS, Format};

const STREAM: &[u8] = b"needle in a stream";
const SCRIPT: &str = "app.alert\\(needle_of_a_script\\)";

/// True when the program is missing, which only a developer's machine may be.
fn missing(program: &str) -> bool {
    let missing = Command::new(program).arg("--version").output().is_err();
    assert!(!missing || std::env::var_os("CI").is_none(), "{program} is not installed");
    if missing {
        println!("skipped: {program} is not installed");
    }
    missing
}

fn format(name: &str) -> &'static Format {
    FORMATS.iter().copied().flatten().find(|format| format.name == name).expect("a format")
}

fn document() -> Vec<u8> {
    PdfBuilder::new()
        .object(1, "<< /Type /Catalog /Pages 2 0 R /OpenAction 4 0 R /Names << /EmbeddedFiles << /Names [(a) 6 0 R] >> >> >>")
        .object(2, "<< /Type /Pages /Kids [3 0 R] /Count 1 >>")
        .object(3, "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 5 0 R >>")
        .object(4, &format!("<< /S /JavaScript /JS ({SCRIPT}) >>"))
        .stream(5, "/Filter /FlateDecode", &zlib_stored(b"BT (page) Tj ET"))
        .object(6, "<< /Type /Filespec /F (a.bin) /UF (a.bin) /EF << /F 7 0 R >> >>")
        .stream(7, "/Type /EmbeddedFile", STREAM)
        .trailer("/Root 1 0 R")
        .build()
}

/// Writes the document with qpdf and returns what comes out of it.
fn children(folder: &Path, options: &[&str]) -> Vec<Vec<u8>> {
    let (from, to) = (folder.join("in.pdf"), folder.join("out.pdf"));
    std::fs::write(&from, document()).expect("a file is writable");
    // Codes 0 and 3: done, perhaps with warnings about our missing table.
    let output = Command::new("qpdf")
        .arg("--allow-weak-crypto")
        .args(options)
        .args(["--static-id".as_ref(), from.as_os_str(), to.as_os_str()])
        .output()
        .expect("qpdf runs");
    assert!(
        matches!(output.status.code(), Some(0 | 3)),
        "{options:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let bytes = std::fs::read(&to).expect("qpdf wrote it");
    let mut recorder = Recorder::default();
    recorder.passwords = vec![b"infected".to_vec()];
    let _ = recorder.run(format("pdf"), &bytes);
    recorder.children().into_iter().map(|(_, data)| data.to_vec()).collect()
}

#[test]
fn what_qpdf_encrypts_is_opened() {
    if missing("qpdf") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let methods: [&[&str]; 6] = [
        &["40"],
        &["128", "--use-aes=n"],
        &["128", "--use-aes=y"],
        &["128", "--use-aes=y", "--cleartext-metadata"],
        &["256"],
        &["256", "--force-R5"],
    ];
    // As the user, as the owner, and without asking.
    for (user, owner) in [("", "secret"), ("infected", "secret"), ("secret", "infected")] {
        for method in methods {
            for packing in ["--object-streams=generate", "--object-streams=disable"] {
                let mut options = vec!["--encrypt", user, owner];
                options.extend(method);
                options.extend(["--", packing]);
                let all = children(folder.path(), &options);
                let has = |needle: &[u8]| {
                    all.iter()
                        .any(|child| child.windows(needle.len()).any(|window| window == needle))
                };
                assert!(has(STREAM) && has(b"needle_of_a_script"), "{options:?}");
            }
        }
    }
}
