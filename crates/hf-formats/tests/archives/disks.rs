//! Disks: what real tools make comes out byte for byte, through whatever is around it.

use hf_core::FileType;

use hf_formats::testing::{Event, bytes_of_hex};

use super::tools::{Folder, missing};
use super::{Random, open, prose, unscanned};

/// Files of a tree, with short names that every file system keeps.
fn tree() -> Vec<(&'static str, Vec<u8>)> {
    let mut random = Random(77);
    vec![
        ("a.txt", prose(5000)),
        ("b.bin", random.bytes(70_001)),
        ("d/c.txt", b"short".to_vec()),
        ("d/e/f.dat", vec![b'z'; 40_000]),
        ("d/e/one file with a long name.text", prose(2049)),
    ]
}

fn with_tree() -> Folder {
    let folder = Folder::new();
    for (name, data) in tree() {
        folder.write(&format!("tree/{name}"), &data);
    }
    folder
}

/// Every file of the tree is a child, under its own name where names are whole.
#[track_caller]
fn check_tree(file_type: FileType, image: &[u8], names: bool, case: &str) {
    let recorder = open(file_type, image);
    let children = recorder.children();
    for (name, data) in tree() {
        let found = children
            .iter()
            .any(|(own, child)| *child == data && (!names || String::from_utf8_lossy(own) == name));
        let all: Vec<_> = children.iter().map(|(own, _)| String::from_utf8_lossy(own)).collect();
        assert!(found, "{case}: {name} in {all:?}, {:?}", unscanned(&recorder));
    }
    assert_eq!(unscanned(&recorder), Vec::<String>::new(), "{case}");
}

/// Wraps sectors of 2048 bytes as a raw image has them.
fn raw_sectors(image: &[u8], mode: u8, sector_len: usize) -> Vec<u8> {
    let mut raw = Vec::new();
    for sector in image.chunks(2048) {
        let mut out = vec![0u8];
        out.extend([0xff; 10]);
        out.extend([0, 0, 2, 0, mode]);
        out.extend(vec![0; if mode == 2 { 8 } else { 0 }]);
        out.extend_from_slice(sector);
        out.resize(sector_len, 0x55);
        raw.extend(out);
    }
    raw
}

#[test]
fn genisoimage() {
    if missing("genisoimage") {
        return;
    }
    let folder = with_tree();
    let settings = ["-R", "-J", "-R -J", "-U", "-iso-level 2", "-iso-level 4", "-hfs -R", "-R -D"];
    for setting in settings {
        let mut arguments: Vec<&str> = setting.split_whitespace().collect();
        arguments.extend(["-quiet", "-o", "out.iso", "tree"]);
        folder.run("genisoimage", &arguments);
        let image = folder.read("out.iso");
        let whole = setting.contains("-R") || setting.contains("-J") || setting.contains('4');
        check_tree(FileType::Iso9660, &image, whole, setting);
        if setting == "-R -J" {
            for (mode, len) in [(1, 2352), (2, 2352), (1, 2448)] {
                let raw = raw_sectors(&image, mode, len);
                assert!(
                    hf_formats::disk_forms(&raw, FileType::BinaryData).contains(&FileType::Iso9660)
                );
                check_tree(FileType::Iso9660, &raw, true, &format!("mode {mode}, {len}"));
            }
        }
    }
    folder.run("genisoimage", &["-quiet", "-udf", "-R", "-J", "-o", "bridge.iso", "tree"]);
    let image = folder.read("bridge.iso");
    let forms = hf_formats::disk_forms(&image, FileType::BinaryData);
    assert_eq!(forms, [FileType::Iso9660, FileType::Udf]);
    check_tree(FileType::Iso9660, &image, true, "bridge as ISO 9660");
    check_tree(FileType::Udf, &image, true, "bridge as UDF");
}

#[test]
fn xorriso() {
    if missing("xorriso") {
        return;
    }
    let folder = with_tree();
    folder.run("xorriso", &["-as", "mkisofs", "-quiet", "-R", "-J", "-o", "out.iso", "tree"]);
    check_tree(FileType::Iso9660, &folder.read("out.iso"), true, "xorriso");
    let zisofs = [
        "-outdev",
        "z.iso",
        "-map",
        "tree",
        "/",
        "-set_filter_r",
        "--zisofs",
        "/",
        "--",
        "-commit",
    ];
    folder.run("xorriso", &zisofs);
    check_tree(FileType::Iso9660, &folder.read("z.iso"), true, "zisofs");
    // A second session replaces a file; both are there.
    folder.write("more/a.txt", b"of the second session");
    folder.run("xorriso", &["-outdev", "two.iso", "-map", "tree", "/", "-commit"]);
    folder.run("xorriso", &["-dev", "two.iso", "-map", "more/a.txt", "/a.txt", "-commit"]);
    let image = folder.read("two.iso");
    let recorder = open(FileType::Iso9660, &image);
    let has = |data: &[u8]| recorder.children().iter().any(|(_, child)| *child == data);
    assert!(has(b"of the second session") && has(&prose(5000)));
}

#[test]
fn mkudffs() {
    if missing("mkudffs") {
        return;
    }
    let folder = Folder::new();
    let settings = [
        "--media-type=hd --blocksize=512",
        "--media-type=hd --blocksize=4096",
        "--media-type=dvd",
        "--media-type=cdrw --udfrev=1.50",
        "--media-type=cdr --udfrev=2.01",
        "--media-type=bdr",
    ];
    for setting in settings {
        folder.write("out.udf", &vec![0; 8 << 20]);
        let mut arguments: Vec<&str> = setting.split_whitespace().collect();
        arguments.push("out.udf");
        folder.run("mkudffs", &arguments);
        let image = folder.read("out.udf");
        let forms = hf_formats::disk_forms(&image, FileType::BinaryData);
        assert!(forms.contains(&FileType::Udf), "{setting}");
        let recorder = open(FileType::Udf, &image);
        // Tables of the file system may be files of no length.
        let quiet = |event: &Event| matches!(event, Event::Member(..));
        assert!(recorder.events.iter().all(quiet), "{setting}: {}", recorder.render());
    }
}

#[test]
fn partitions_of_real_tools() {
    if missing("sfdisk") || missing("sgdisk") {
        return;
    }
    let folder = Folder::new();
    let first = prose(512 * 100);
    let mut disk = vec![0u8; 4 << 20];
    for (label, file_type) in [("dos", FileType::Mbr), ("gpt", FileType::Gpt)] {
        folder.write("disk", &disk);
        let script = format!("label: {label}\nstart=2048, size=1000\nstart=4096, size=2000\n");
        folder.write("script", script.as_bytes());
        folder.run("sh", &["-c", "sfdisk -q disk < script"]);
        let mut image = folder.read("disk");
        image[2048 * 512..][..first.len()].copy_from_slice(&first);
        let recorder = open(file_type, &image);
        let children = recorder.children();
        assert_eq!(children.len(), 2, "{label}: {}", recorder.events.len());
        assert!(children[0].1.starts_with(&first) && children[0].1.len() == 512_000, "{label}");
        assert_eq!(unscanned(&recorder), Vec::<String>::new(), "{label}");
    }
    disk.truncate(0);
}

/// Returns a fixture.
fn fixture(name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    bytes_of_hex(&std::fs::read_to_string(path).unwrap())
}

#[test]
fn the_same_volume_comes_out_of_every_kind_of_disk_image() {
    let volume = |name: &str| {
        let recorder = open(FileType::Dmg, &fixture(&format!("dmg/{name}.in.hex")));
        let [(_, data)] = recorder.children()[..] else { panic!("{name}") };
        data.to_vec()
    };
    let want = volume("no-table");
    let recorder = open(FileType::PartHfsPlus, &want);
    let names: Vec<_> = recorder.children().iter().map(|(name, _)| name.to_vec()).collect();
    assert_eq!(names, [b"hello.txt".to_vec(), b"more".to_vec()]);
    let kinds = [
        "adc",
        "bzip2",
        "lzfse",
        "lzma",
        "raw",
        "zlib",
        "resource-fork",
        "no-trailer",
        "list-damaged",
    ];
    for name in kinds {
        // Zeros at the end may be left out.
        let got = volume(name);
        let (same, rest) = want.split_at(got.len());
        assert!(got == same && rest.iter().all(|byte| *byte == 0), "{name}");
    }
}

/// A disk with one partition, of which some blocks are used.
fn guest_disk() -> Vec<u8> {
    let mut disk = vec![0u8; 6 << 20];
    disk[446..462].copy_from_slice(&[0, 0, 0, 0, 0x83, 0, 0, 0, 64, 0, 0, 0, 0, 0x20, 0, 0]);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    let mut random = Random(3);
    for (off, data) in
        [(64 * 512, prose(70_000)), (3 << 20, random.bytes(150_000)), (4_000_000, prose(99))]
    {
        disk[off..off + data.len()].copy_from_slice(&data);
    }
    disk
}

#[test]
fn virtual_disks_of_qemu() {
    if missing("qemu-img") {
        return;
    }
    let folder = Folder::new();
    let want = guest_disk();
    folder.write("disk.raw", &want);
    let settings = [
        (FileType::Vhd, "-O vpc -o subformat=dynamic,force_size"),
        (FileType::Vhdx, "-O vhdx -o block_size=1M,log_size=1M"),
        (FileType::Vhdx, "-O vhdx -o subformat=fixed,log_size=1M"),
        (FileType::Vmdk, "-O vmdk"),
        (FileType::Vmdk, "-O vmdk -o subformat=streamOptimized"),
        (FileType::Vmdk, "-O vmdk -o compat6=on"),
        (FileType::Qcow, "-O qcow"),
        (FileType::Qcow, "-O qcow2"),
        (FileType::Qcow, "-O qcow2 -o compat=0.10,cluster_size=512"),
        (FileType::Qcow, "-c -O qcow2 -o cluster_size=2M"),
        (FileType::Qcow, "-c -O qcow2 -o compression_type=zstd"),
        (FileType::Qcow, "-O qcow2 -o extended_l2=on"),
        (FileType::Vdi, "-O vdi"),
        (FileType::Vdi, "-O vdi -o static=on"),
    ];
    for (file_type, setting) in settings {
        let mut arguments = vec!["convert"];
        arguments.extend(setting.split_whitespace());
        arguments.extend(["disk.raw", "out"]);
        folder.run("qemu-img", &arguments);
        let image = folder.read("out");
        assert_eq!(hf_formats::identify(&image, None), file_type, "{setting}");
        let recorder = open(file_type, &image);
        assert_eq!(unscanned(&recorder), Vec::<String>::new(), "{setting}");
        let [(_, got)] = recorder.children()[..] else {
            panic!("{setting}: {:?}", recorder.events.len())
        };
        // Zeros at the end may be left out.
        let (same, rest) = want.split_at(got.len().min(want.len()));
        assert!(got == same && rest.iter().all(|byte| *byte == 0), "{setting}: {}", got.len());
    }
    folder.run(
        "qemu-img",
        &["convert", "-O", "vpc", "-o", "subformat=fixed,force_size", "disk.raw", "out"],
    );
    let image = folder.read("out");
    assert!(hf_formats::disk_forms(&image, FileType::Mbr).contains(&FileType::Vhd));
    assert_eq!(open(FileType::Mbr, &image).children()[0].1, &want[64 * 512..][..0x2000 * 512]);
}

#[test]
fn a_virtual_disk_larger_than_a_child_may_be() {
    if missing("qemu-img") {
        return;
    }
    let folder = Folder::new();
    let mut want = vec![0u8; 96 << 20];
    want[..5000].copy_from_slice(&prose(5000));
    let far = Random(4).bytes(100_000);
    want[90 << 20..][..far.len()].copy_from_slice(&far);
    folder.write("disk.raw", &want);
    folder.run("qemu-img", &["convert", "-O", "qcow2", "disk.raw", "out"]);
    let image = folder.read("out");
    let format = hf_formats::format_for(FileType::Qcow).next().unwrap();
    let mut recorder = hf_formats::testing::Recorder::default();
    recorder.cap = 80 << 20;
    recorder.run(format, &image).unwrap();
    let children = recorder.children();
    let has = |part: &[u8]| {
        children.iter().any(|(_, data)| data.windows(part.len()).any(|window| window == part))
    };
    assert!(has(&prose(5000)[..200]) && has(&far[..200]));
    assert_eq!(unscanned(&recorder), ["larger than the object size limit"]);
}

#[test]
fn wimlib() {
    if missing("wimlib-imagex") {
        return;
    }
    let folder = with_tree();
    for method in ["none", "XPRESS", "LZX"] {
        folder.run(
            "wimlib-imagex",
            &["capture", "tree", "out.wim", "--no-acls", &format!("--compress={method}")],
        );
        let image = folder.read("out.wim");
        assert_eq!(hf_formats::identify(&image, None), FileType::Wim);
        check_tree(FileType::Wim, &image, true, method);
        std::fs::remove_file(folder.path().join("out.wim")).unwrap();
    }
}
