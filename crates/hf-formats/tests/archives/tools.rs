//! What real tools pack, in the settings they have, comes out byte for byte.
//!
//! A tool that is not installed is passed over with a message, but not where `CI` is set.

use std::path::Path;
use std::process::{Command, Stdio};

use hf_core::FileType;

use super::{Random, open, prose, unscanned};

/// True when a program is not there and may be missing.
pub(crate) fn missing(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&folders).any(|folder| folder.join(program).is_file());
    assert!(there || std::env::var_os("CI").is_none(), "{program} must be installed");
    if !there {
        println!("skipped: {program} is not installed");
    }
    !there
}

/// A folder that goes with the value.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, name: &str, data: &[u8]) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, data).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path().join(name)).unwrap()
    }

    /// Runs a program here and returns its output.
    #[track_caller]
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Vec<u8> {
        self.feed(program, arguments, Stdio::null())
    }

    #[track_caller]
    fn feed(&self, program: &str, arguments: &[&str], input: Stdio) -> Vec<u8> {
        let mut command = Command::new(program);
        let output =
            command.args(arguments).current_dir(self.path()).stdin(input).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        // compress says 2 when the data grew.
        let grew = program == "compress" && output.status.code() == Some(2);
        assert!(output.status.success() || grew, "{program} {arguments:?}: {errors}");
        output.stdout
    }
}

/// Packs a file to the standard output with each set of arguments and compares what we make of it.
pub(crate) fn check_stream(file_type: FileType, program: &str, settings: &[&str]) {
    if missing(program) {
        return;
    }
    let folder = Folder::new();
    let mut random = Random(5);
    let samples =
        [b"x".to_vec(), prose(300_000), random.bytes(70_000), vec![0; 200_000], code_like(90_000)];
    for data in samples {
        folder.write("data", &data);
        for setting in settings {
            let input = std::fs::File::open(folder.path().join("data")).unwrap();
            let arguments: Vec<&str> = setting.split_whitespace().collect();
            let packed = folder.feed(program, &arguments, input.into());
            let recorder = open(file_type, &packed);
            let case = format!("{program} {setting}, {} bytes", data.len());
            let children = recorder.children();
            assert!(
                children.len() == 1 && children[0].1 == data,
                "{case}: {:?}",
                recorder.events.len()
            );
            assert!(recorder.events.len() == 1, "{case}: {}", recorder.render());
            check_cut(file_type, &packed, &data, &case);
        }
    }
}

/// A stream that is cut is never silently whole, and what comes out is a start of the data.
fn check_cut(file_type: FileType, packed: &[u8], data: &[u8], case: &str) {
    if packed.len() < 100 {
        return;
    }
    let recorder = open(file_type, &packed[..packed.len() / 2]);
    let children = recorder.children();
    let got = children.first().map_or(b"".as_slice(), |(_, got)| *got);
    let same = got.iter().zip(data).take_while(|(a, b)| a == b).count();
    // compress does not know its end; xz may guess the end of a chunk.
    if !matches!(file_type, FileType::Compress | FileType::Xz) {
        assert_eq!(same, got.len(), "{case}: the cut half gives other bytes");
    }
    if file_type != FileType::Compress {
        assert!(!unscanned(&recorder).is_empty(), "{case}: the cut half looks whole");
    }
    // All but the block sorters and whole-block coders give something of long streams.
    if packed.len() > 150_000 && matches!(file_type, FileType::Gz | FileType::Lzma | FileType::Lz4)
    {
        assert!(same > 10_000, "{case}: only {same} bytes of the cut half");
    }
}

/// Returns bytes with the calls and jumps that branch filters change.
fn code_like(len: usize) -> Vec<u8> {
    let mut random = Random(9);
    let mut code = Vec::new();
    while code.len() < len {
        let opcodes = [0xe8, 0xe9, 0x55, 0x89, 0xeb, 0x48, 0x94, 0x4b];
        code.push(opcodes[random.below(opcodes.len())]);
        code.extend_from_slice(&u32::try_from(random.below(5000)).unwrap().to_le_bytes());
    }
    code.truncate(len);
    code
}

#[test]
fn gzip() {
    check_stream(FileType::Gz, "gzip", &["-1 -c", "-9 -c"]);
}

#[test]
fn bzip2() {
    check_stream(FileType::Bz, "bzip2", &["-1 -c", "-9 -c"]);
}

#[test]
fn xz() {
    let settings = [
        "-0 -c",
        "-6e -c --check=crc32",
        "-3 -c --check=sha256 --block-size=50000",
        "-c --check=none --x86 --lzma2=preset=1",
        "-c --arm --lzma2=preset=1",
        "-c --powerpc --lzma2=preset=1",
        "-c --delta=dist=4 --x86 --lzma2=lc=0,lp=2,pb=0",
    ];
    check_stream(FileType::Xz, "xz", &settings);
}

#[test]
fn lzma() {
    check_stream(FileType::Lzma, "xz", &["-0 -c --format=lzma", "-9 -c --format=lzma"]);
}

#[test]
fn zstd() {
    let settings = ["-1 -c", "-19 -c", "-12 --long=27 -c", "-3 --no-check -c", "--fast=5 -c"];
    check_stream(FileType::Zstd, "zstd", &settings);
}

#[test]
fn lz4() {
    let settings = ["-1 -c", "-9 -BD -B4 -c", "-B7 -BX --content-size -c", "-l -c"];
    check_stream(FileType::Lz4, "lz4", &settings);
}

#[test]
fn compress() {
    // What it makes with 9 bits its own decoder refuses.
    check_stream(FileType::Compress, "compress", &["-c", "-b 10 -c", "-b 12 -c"]);
}

/// Files of an archive, in the order of their names.
pub(crate) fn files() -> Vec<(&'static str, Vec<u8>)> {
    let mut random = Random(21);
    vec![
        ("a.txt", prose(40_000)),
        ("b.bin", random.bytes(30_001)),
        ("c", b"short".to_vec()),
        ("d/e/f.dat", vec![b'z'; 100_000]),
        ("d/with a rather long name that needs more than sixteen bytes.txt", prose(777)),
        ("g.exe", code_like(20_000)),
    ]
}

pub(crate) fn with_files() -> Folder {
    let folder = Folder::new();
    for (name, data) in files() {
        folder.write(name, &data);
    }
    folder
}

/// Compares the children of an archive with the files, by name where names are whole.
#[track_caller]
pub(crate) fn check_archive(file_type: FileType, archive: &[u8], case: &str) {
    let recorder = open(file_type, archive);
    let mut children: Vec<(String, Vec<u8>)> = recorder
        .children()
        .iter()
        .map(|(name, data)| (String::from_utf8_lossy(name).into_owned(), data.to_vec()))
        .collect();
    children.sort();
    let want: Vec<(String, Vec<u8>)> =
        files().into_iter().map(|(name, data)| (name.to_owned(), data)).collect();
    let names = |list: &[(String, Vec<u8>)]| -> Vec<String> {
        list.iter().map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(names(&children), names(&want), "{case}: {:?}", unscanned(&recorder));
    assert!(children == want, "{case}: content differs");
    assert_eq!(unscanned(&recorder), Vec::<String>::new(), "{case}");
}

#[test]
fn zip() {
    if missing("zip") {
        return;
    }
    let folder = with_files();
    let settings = [
        "-0",
        "-1",
        "-9",
        "-Z bzip2",
        "-fd -9",
        "-fd -0",
        "-fz -6",
        "-P infected",
        "-fd -P infected",
    ];
    for setting in settings {
        let mut arguments: Vec<&str> = setting.split_whitespace().collect();
        arguments.extend(["-q", "-r", "-D", "out.zip", "a.txt", "b.bin", "c", "d", "g.exe"]);
        folder.run("zip", &arguments);
        check_archive(FileType::Zip, &folder.read("out.zip"), setting);
        std::fs::remove_file(folder.path().join("out.zip")).unwrap();
    }
    let streamed = folder.run("zip", &["-q", "-r", "-D", "-", "a.txt", "b.bin", "c", "d", "g.exe"]);
    check_archive(FileType::Zip, &streamed, "to a pipe");
}

#[test]
fn seven_zip() {
    if missing("7z") {
        return;
    }
    let folder = with_files();
    let methods = [
        "-mm=Copy",
        "-mm=Deflate -mx=9",
        "-mm=Deflate64 -mx=9",
        "-mm=BZip2",
        "-mm=LZMA -mx=9",
        "-mm=LZMA -mx=1 -meos=on",
        "-mm=PPMd -mo=2 -mmem=1m",
        "-mm=PPMd -mo=16 -mmem=16m",
    ];
    let locks = ["-mem=ZipCrypto", "-mem=AES128", "-mem=AES192", "-mem=AES256"];
    for (idx, method) in methods.iter().enumerate() {
        let lock = format!("-pinfected {}", locks[idx % locks.len()]);
        for lock in ["", &lock] {
            let mut arguments = vec!["a", "-tzip", "-bd", "-mmt=1"];
            arguments.extend(method.split_whitespace().chain(lock.split_whitespace()));
            arguments.extend(["out.zip", "a.txt", "b.bin", "c", "d/", "g.exe", "-mtc=off"]);
            folder.run("7z", &arguments);
            check_archive(FileType::Zip, &folder.read("out.zip"), &format!("{method} {lock}"));
            std::fs::remove_file(folder.path().join("out.zip")).unwrap();
        }
    }
}

#[test]
fn tar() {
    if missing("tar") {
        return;
    }
    let folder = with_files();
    for format in ["v7", "ustar", "oldgnu", "gnu", "posix"] {
        let format = format!("--format={format}");
        let archive =
            folder.run("tar", &["-c", "-f", "-", &format, "a.txt", "b.bin", "c", "d", "g.exe"]);
        check_archive(FileType::PosixTar, &archive, &format);
    }
}

#[test]
fn cpio() {
    if missing("cpio") {
        return;
    }
    let folder = with_files();
    let names: Vec<&str> = files().iter().map(|(name, _)| *name).collect();
    folder.write("list", names.join("\n").as_bytes());
    for (format, file_type) in [
        ("bin", FileType::CpioOld),
        ("odc", FileType::CpioOdc),
        ("newc", FileType::CpioNewc),
        ("crc", FileType::CpioCrc),
        ("ustar", FileType::PosixTar),
    ] {
        let list = std::fs::File::open(folder.path().join("list")).unwrap();
        let archive = folder.feed("cpio", &["-o", "--quiet", "-H", format], list.into());
        check_archive(file_type, &archive, format);
    }
}

#[test]
fn ar() {
    if missing("ar") {
        return;
    }
    let folder = Folder::new();
    let members =
        [("a.o", prose(1001)), ("a_member_with_a_long_name.o", prose(2000)), ("b", vec![1, 2, 3])];
    for (name, data) in &members {
        folder.write(name, data);
    }
    let names = members.each_ref().map(|(name, _)| *name);
    folder.run("ar", &[["rcD", "out.a"].as_slice(), &names].concat());
    let archive = folder.read("out.a");
    let recorder = open(FileType::Ar, &archive);
    let want = members.each_ref().map(|(name, data)| (name.as_bytes(), data.as_slice()));
    assert_eq!(recorder.children(), want);
}
