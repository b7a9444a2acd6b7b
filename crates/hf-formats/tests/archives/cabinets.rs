//! Cabinets that `gcab` packs, and what Windows' own packers make by rules that it has not.

use hf_core::FileType;

use super::tools::{Folder, missing};
use super::{Random, open, prose, unscanned};

#[test]
fn gcab() {
    if missing("gcab") {
        return;
    }
    let mut random = Random(3);
    let files = [
        ("a.txt", prose(100_000)),
        ("b.bin", random.bytes(70_001)),
        ("c", b"short".to_vec()),
        ("zeros", vec![0; 200_000]),
    ];
    let folder = Folder::new();
    for (name, data) in &files {
        folder.write(name, data);
    }
    let names = files.each_ref().map(|(name, _)| *name);
    for setting in [["-c", "-n"].as_slice(), &["-c", "-n", "-z"]] {
        folder.run("gcab", &[setting, &["out.cab"], &names].concat());
        let recorder = open(FileType::Mscab, &folder.read("out.cab"));
        let want = files.each_ref().map(|(name, data)| (name.as_bytes(), data.as_slice()));
        assert_eq!(names_and_lens(&recorder.children()), names_and_lens(&want), "{setting:?}");
        assert!(recorder.children() == want, "{setting:?}: content differs");
        assert_eq!(unscanned(&recorder), Vec::<String>::new(), "{setting:?}");
    }
}

fn names_and_lens(children: &[(&[u8], &[u8])]) -> Vec<(String, usize)> {
    let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    children.iter().map(|(name, data)| (text(name), data.len())).collect()
}
