//! ARJ, LHA and ARC as their packers make them, with each method, level and in volumes.

use hf_core::{FileType, Limits, Reason};
use hf_formats::testing::{Event, Recorder};

use super::tools::{Folder, missing};
use super::{Random, open, prose, unscanned};

/// Writes the files that are packed, and returns their names.
fn write_files(folder: &Folder) -> Vec<&'static str> {
    let mut random = Random(11);
    folder.write("prose.txt", &prose(150_000));
    folder.write("small.txt", b"a small file");
    folder.write("random.bin", &random.bytes(40_000));
    folder.write("zeroes.bin", &[0; 60_000]);
    folder.write("d/other.txt", &prose(9_000));
    vec!["prose.txt", "small.txt", "random.bin", "zeroes.bin", "d/other.txt"]
}

/// Checks that all files are children.
#[track_caller]
fn check(case: &str, file_type: FileType, folder: &Folder, archive: &str, files: &[&str]) {
    let recorder = open(file_type, &folder.read(archive));
    assert_eq!(unscanned(&recorder), Vec::<String>::new(), "{case}");
    let children = recorder.children();
    for file in files {
        let data = folder.read(file);
        assert!(children.iter().any(|(_, child)| **child == *data), "{case}: {file}");
    }
    let defect = |event: &&Event| matches!(event, Event::Defect(_));
    assert_eq!(recorder.events.iter().find(defect), None, "{case}");
}

#[test]
fn arj() {
    if missing("arj") {
        return;
    }
    let folder = Folder::new();
    let files = write_files(&folder);
    for setting in ["-m0", "-m1", "-m2", "-m3", "-m4", "-ginfected"] {
        let archive = format!("x{setting}.arj");
        let mut arguments = vec!["a", "-y", setting, archive.as_str()];
        arguments.extend(&files);
        folder.run("arj", &arguments);
        assert_eq!(hf_formats::identify(&folder.read(&archive), None), FileType::Arj);
        check(setting, FileType::Arj, &folder, &archive, &files);
    }
}

#[test]
fn arj_in_volumes() {
    if missing("arj") {
        return;
    }
    let folder = Folder::new();
    write_files(&folder);
    folder.run("arj", &["a", "-y", "-m0", "-v30k", "v.arj", "random.bin"]);
    let data = folder.read("random.bin");
    let mut joined = Vec::new();
    for volume in ["v.arj", "v.a01"] {
        let recorder = open(FileType::Arj, &folder.read(volume));
        joined.extend(recorder.children().iter().flat_map(|(_, child)| child.iter().copied()));
        let told = Event::Unscanned(b"random.bin".to_vec(), Reason::OtherVolume);
        assert!(recorder.events.contains(&told), "{volume}");
    }
    assert_eq!(joined, data);
}

#[test]
fn arj_in_programs() {
    if missing("arj") {
        return;
    }
    let folder = Folder::new();
    write_files(&folder);
    folder.run("arj", &["a", "-y", "-je", "x.exe", "prose.txt", "small.txt"]);
    let program = folder.read("x.exe");
    let own = hf_formats::identify(&program, None);
    let found = hf_formats::embedded(&program, own, &Limits::holdfast());
    let found = found.iter().find(|(_, kind)| *kind == FileType::ArjSfx);
    let (off, kind) = found.expect("an archive inside");
    let recorder: Recorder = open(*kind, &program[*off..]);
    let children = recorder.children();
    assert!(children.iter().any(|(_, child)| **child == *folder.read("prose.txt")));
}

#[test]
fn lha() {
    if missing("jlha") {
        return;
    }
    let folder = Folder::new();
    let files = write_files(&folder);
    for setting in ["a0", "a1", "a2", "ao5", "ao6", "ao7", "az"] {
        let archive = format!("{setting}.lzh");
        let mut arguments = vec![setting, archive.as_str()];
        arguments.extend(&files);
        folder.run("jlha", &arguments);
        assert_eq!(hf_formats::identify(&folder.read(&archive), None), FileType::LhaLzh);
        check(setting, FileType::LhaLzh, &folder, &archive, &files);
    }
}

#[test]
fn arc() {
    if missing("arc") {
        return;
    }
    let folder = Folder::new();
    write_files(&folder);
    let squeezable: Vec<u8> = (0..5000u32).map(|at| (at * at / 7 % 53).to_le_bytes()[0]).collect();
    folder.write("waves.bin", &squeezable);
    let files = ["prose.txt", "small.txt", "random.bin", "zeroes.bin", "waves.bin"];
    let mut arguments = vec!["a", "x.arc"];
    arguments.extend(files);
    folder.run("arc", &arguments);
    assert_eq!(hf_formats::identify(&folder.read("x.arc"), None), FileType::Arc);
    check("arc", FileType::Arc, &folder, "x.arc", &files);
}
