//! Installers that `makensis` makes give the files that went in.

use hf_core::{FileType, Limits};

use super::tools::{Folder, missing};
use super::{Random, open, prose, unscanned};

#[test]
fn nsis() {
    if missing("makensis") {
        return;
    }
    let mut random = Random(8);
    let files = [
        ("a.txt", prose(120_000)),
        ("b.bin", random.bytes(30_001)),
        ("zeros", vec![0; 100_000]),
        ("short", b"x".to_vec()),
    ];
    let folder = Folder::new();
    for (name, data) in &files {
        folder.write(name, data);
    }
    for compressor in ["zlib", "/SOLID zlib", "bzip2", "/SOLID bzip2", "lzma", "/SOLID lzma"] {
        let unicode = compressor.contains("SOLID");
        let script = format!(
            "Unicode {unicode}\nSetCompressor {compressor}\nName t\nOutFile out.exe\nXPStyle off\n\
             Section\nSetOutPath $TEMP\nFile a.txt\nFile b.bin\nFile zeros\nFile short\n\
             WriteUninstaller $TEMP\\u.exe\nSectionEnd\nSection Uninstall\nDelete a\nSectionEnd\n"
        );
        folder.write("t.nsi", script.as_bytes());
        folder.run("makensis", &["-V1", "t.nsi"]);
        let program = folder.read("out.exe");
        let found = hf_formats::embedded(&program, FileType::Msexe, &Limits::holdfast());
        let at = found.iter().find(|(_, kind)| *kind == FileType::Nulsft).expect("an installer").0;
        let recorder = open(FileType::Nulsft, &program[at..]);
        let children = recorder.children();
        for (name, data) in &files {
            let same = |child: &&(&[u8], &[u8])| child.0 == name.as_bytes() && child.1 == data;
            assert!(children.iter().any(|child| same(&child)), "{compressor}: {name}");
        }
        assert_eq!(unscanned(&recorder), Vec::<String>::new(), "{compressor}");
    }
}
