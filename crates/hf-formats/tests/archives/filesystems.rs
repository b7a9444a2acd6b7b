//! File systems that real tools make: each file comes out byte for byte, by its name.

use std::collections::BTreeMap;

use hf_core::FileType;

use super::tools::{Folder, missing};
use super::{Random, open, prose, unscanned};

type Tree = BTreeMap<String, Vec<u8>>;

/// Files of many sizes in folders, without empty ones.
fn tree() -> Tree {
    let mut random = Random(77);
    let mut tree = Tree::new();
    tree.insert("one".into(), b"x".to_vec());
    tree.insert("block".into(), prose(4096));
    tree.insert("blocks.txt".into(), prose(150_000));
    tree.insert("random.bin".into(), random.bytes(70_001));
    tree.insert("large.dat".into(), [prose(1_500_000), random.bytes(1_500_000)].concat());
    tree.insert("a/b/c/d/e/f/deep".into(), b"deep down\n".to_vec());
    tree.insert(
        "a/A name that is rather long, with spaces, and much longer than eight and three.text"
            .into(),
        prose(300),
    );
    tree.insert("a/gr\u{fc}n.txt".into(), prose(77));
    for idx in 0..300usize {
        tree.insert(format!("many/file number {idx}.txt"), format!("this is {idx}\n").into_bytes());
    }
    tree
}

fn write(tree: &Tree) -> Folder {
    let folder = Folder::new();
    for (name, data) in tree {
        folder.write(&format!("t/{name}"), data);
    }
    folder.write("t/empty", b"");
    folder
}

fn link(folder: &Folder) {
    folder.run("ln", &["-s", "one", "t/symbolic"]);
    folder.run("ln", &["t/block", "t/many/hard link"]);
}

#[track_caller]
fn check(kind: FileType, image: &[u8], tree: &Tree, case: &str) {
    let recorder = open(kind, image);
    let mut got: Vec<(String, &[u8])> = recorder
        .children()
        .iter()
        .map(|(name, data)| (String::from_utf8_lossy(name).into_owned(), *data))
        .collect();
    got.sort();
    // What is linked comes once, by either name.
    for (name, _) in &mut got {
        if name == "many/hard link" {
            *name = "block".to_owned();
        }
    }
    got.sort();
    got.dedup();
    let names: Vec<&String> = got.iter().map(|(name, _)| name).collect();
    let want: Vec<&String> = tree.keys().collect();
    assert_eq!(names, want, "{case}: {:?}", unscanned(&recorder));
    let same = got.iter().zip(tree.values()).all(|((_, got), want)| got == want);
    assert!(same, "{case}: content differs");
    assert_eq!(unscanned(&recorder), Vec::<String>::new(), "{case}");
}

/// The object is known as this file system.
#[track_caller]
fn known(kind: FileType, image: &[u8], case: &str) {
    let own = hf_formats::identify(image, None);
    let found = hf_formats::embedded(image, own, &hf_core::Limits::holdfast());
    assert!(own == kind || found.contains(&(0, kind)), "{case}: {own:?} {found:?}");
}

#[test]
fn squashfs() {
    if missing("mksquashfs") {
        return;
    }
    let tree = tree();
    let folder = write(&tree);
    link(&folder);
    for setting in [
        "-comp gzip",
        "-comp xz -b 4096",
        "-comp xz -Xbcj x86 -b 1M",
        "-comp lzma",
        "-comp lzo",
        "-comp lz4 -Xhc",
        "-comp zstd -no-xattrs",
        "-comp gzip -no-fragments",
        "-comp gzip -always-use-fragments -nopad",
        "-noI -noD -noF -noX",
    ] {
        let mut arguments = vec!["t", "t.img", "-noappend", "-no-progress", "-quiet"];
        arguments.extend(setting.split_whitespace());
        folder.run("mksquashfs", &arguments);
        let image = folder.read("t.img");
        known(FileType::Squashfs, &image, setting);
        check(FileType::Squashfs, &image, &tree, setting);
        // As AppImages have it.
        let program = [b"\x7fELF\x02\x01\x01".as_slice(), &[0; 5000], &image].concat();
        let found = hf_formats::embedded(&program, FileType::Elf, &hf_core::Limits::holdfast());
        assert!(found.contains(&(5007, FileType::Squashfs)), "{setting}: {found:?}");
    }
}

#[test]
fn cramfs() {
    if missing("mkfs.cramfs") {
        return;
    }
    let tree = tree();
    let folder = write(&tree);
    link(&folder);
    folder.run("mkfs.cramfs", &["t", "t.img"]);
    let image = folder.read("t.img");
    known(FileType::Cramfs, &image, "cramfs");
    check(FileType::Cramfs, &image, &tree, "cramfs");
}

#[test]
fn romfs() {
    if missing("genromfs") {
        return;
    }
    let tree = tree();
    let folder = write(&tree);
    folder.run("genromfs", &["-f", "t.img", "-d", "t"]);
    let image = folder.read("t.img");
    known(FileType::Romfs, &image, "romfs");
    check(FileType::Romfs, &image, &tree, "romfs");
}

#[test]
fn ext() {
    if missing("mke2fs") {
        return;
    }
    let tree = tree();
    let folder = write(&tree);
    link(&folder);
    for setting in [
        "-t ext2 -b 1024",
        "-t ext2 -b 4096 -I 128",
        "-t ext3 -b 2048",
        "-t ext4 -b 1024",
        "-t ext4 -b 4096 -O inline_data,64bit",
        "-t ext4 -b 1024 -O meta_bg,^resize_inode -g 1024",
        "-t ext4 -b 4096 -O ^metadata_csum,^extent,^64bit",
    ] {
        let mut arguments = vec!["-q", "-F", "-d", "t"];
        arguments.extend(setting.split_whitespace());
        arguments.extend(["t.img", "24M"]);
        folder.run("mke2fs", &arguments);
        let image = folder.read("t.img");
        known(FileType::Ext, &image, setting);
        check(FileType::Ext, &image, &tree, setting);
        folder.run("rm", &["t.img"]);
    }
}

#[test]
fn fat() {
    if missing("mkfs.vfat") || missing("mcopy") {
        return;
    }
    // mtools does not keep letters of other alphabets.
    let mut tree = tree();
    tree.retain(|name, _| name.is_ascii());
    let folder = write(&tree);
    for (setting, len) in [
        ("-F 12 -s 8", "12000"),
        ("-F 16 -s 1", "30000"),
        ("-F 16 -s 4 -r 64", "30000"),
        ("-F 32 -s 1", "40000"),
        ("-F 32 -s 2 -S 1024", "140000"),
    ] {
        let mut arguments = vec!["-C"];
        arguments.extend(setting.split_whitespace());
        arguments.extend(["t.img", len]);
        folder.run("mkfs.vfat", &arguments);
        let script = "cd t && mcopy -s -i ../t.img * ::";
        folder.run("sh", &["-c", script]);
        let image = folder.read("t.img");
        known(FileType::Fat, &image, setting);
        check(FileType::Fat, &image, &tree, setting);
        folder.run("rm", &["t.img"]);
    }
}

/// mkfs.exfat cannot copy files, so that these are put into its root by hand.
#[test]
fn exfat() {
    if missing("mkfs.exfat") {
        return;
    }
    let folder = Folder::new();
    folder.run("truncate", &["-s", "8M", "t.img"]);
    folder.run("mkfs.exfat", &["-c", "4096", "t.img"]);
    let mut image = folder.read("t.img");
    let word = |image: &[u8], off: usize| {
        u32::from_le_bytes(image[off..off + 4].try_into().unwrap()) as usize
    };
    let sector = 1usize << image[108];
    let (table, heap, root) =
        (word(&image, 80) * sector, word(&image, 88) * sector, word(&image, 96));
    let cluster = |number: usize| heap + (number - 2) * 4096;
    let mut at = cluster(root);
    while image[at] != 0 {
        at += 32;
    }
    let contents = [prose(10_000), prose(4096), prose(9000)];
    let names = ["contiguous.txt", "A second name, longer than fifteen letters", "chained"];
    let starts = [100usize, 200, 300];
    for (idx, ((data, name), start)) in contents.iter().zip(names).zip(starts).enumerate() {
        let chained = idx == 2;
        for (piece, part) in data.chunks(4096).enumerate() {
            // Every other cluster, when there is a chain.
            let number = if chained { start + piece * 2 } else { start + piece };
            image[cluster(number)..][..part.len()].copy_from_slice(part);
            let last = piece == data.len().div_ceil(4096) - 1;
            let next = if last { u32::MAX } else { u32::try_from(number + 2).unwrap() };
            if chained {
                image[table + number * 4..][..4].copy_from_slice(&next.to_le_bytes());
            }
        }
        let units: Vec<u16> = name.encode_utf16().collect();
        let parts = units.len().div_ceil(15);
        image[at] = 0x85;
        image[at + 1] = u8::try_from(1 + parts).unwrap();
        image[at + 4] = 0x20;
        let stream = at + 32;
        image[stream] = 0xc0;
        image[stream + 1] = if chained { 1 } else { 3 };
        image[stream + 3] = u8::try_from(units.len()).unwrap();
        let len = u64::try_from(data.len()).unwrap().to_le_bytes();
        image[stream + 8..][..8].copy_from_slice(&len);
        image[stream + 20..][..4].copy_from_slice(&u32::try_from(start).unwrap().to_le_bytes());
        image[stream + 24..][..8].copy_from_slice(&len);
        at = stream + 32;
        for part in units.chunks(15) {
            image[at] = 0xc1;
            for (idx, unit) in part.iter().enumerate() {
                image[at + 2 + idx * 2..][..2].copy_from_slice(&unit.to_le_bytes());
            }
            at += 32;
        }
    }
    known(FileType::Fat, &image, "exfat");
    let tree = names.iter().zip(contents).map(|(name, data)| ((*name).to_owned(), data)).collect();
    // The bitmap and the table of letters are no files.
    check(FileType::Fat, &image, &tree, "exfat");
}

#[test]
fn ntfs() {
    if missing("mkntfs") || missing("ntfscp") {
        return;
    }
    let mut random = Random(5);
    let tree: Tree = [
        ("one", b"x".to_vec()),
        ("resident.txt", prose(300)),
        ("block", prose(4096)),
        ("large file with a long name.dat", [prose(1_500_000), random.bytes(1_500_000)].concat()),
    ]
    .map(|(name, data)| (name.to_owned(), data))
    .into();
    let folder = write(&tree);
    for cluster in ["512", "4096", "65536"] {
        folder.run("truncate", &["-s", "24M", "t.img"]);
        folder.run("mkntfs", &["-F", "-q", "-Q", "-c", cluster, "-s", "512", "t.img"]);
        for name in tree.keys() {
            folder.run("ntfscp", &["-f", "-q", "t.img", &format!("t/{name}"), name]);
        }
        folder.run("ntfscp", &["-f", "-q", "-N", "hidden", "t.img", "t/block", "one"]);
        let image = folder.read("t.img");
        known(FileType::Ntfs, &image, cluster);
        let mut tree = tree.clone();
        tree.insert("one:hidden".into(), prose(4096));
        let recorder = open(FileType::Ntfs, &image);
        let got: Tree = recorder
            .children()
            .iter()
            .filter(|(name, _)| !name.starts_with(b"$"))
            .map(|(name, data)| (String::from_utf8_lossy(name).into_owned(), data.to_vec()))
            .collect();
        assert_eq!(got.keys().collect::<Vec<_>>(), tree.keys().collect::<Vec<_>>(), "{cluster}");
        assert!(got == tree, "{cluster}: content differs");
        assert_eq!(unscanned(&recorder), Vec::<String>::new(), "{cluster}");
        folder.run("rm", &["t.img"]);
    }
}

/// Damage in one place does not hide the rest.
#[test]
fn damaged() {
    if missing("mksquashfs") || missing("mke2fs") {
        return;
    }
    let tree = tree();
    let folder = write(&tree);
    folder.run("mksquashfs", &["t", "t.img", "-noappend", "-no-progress", "-quiet", "-b", "4096"]);
    let mut image = folder.read("t.img");
    image[200_000..200_004].fill(0x55);
    let recorder = open(FileType::Squashfs, &image);
    assert!(recorder.children().len() >= tree.len(), "{}", recorder.children().len());
    assert!(!unscanned(&recorder).is_empty());
    // Without its folders, all files are still there.
    folder.run("mke2fs", &["-q", "-F", "-t", "ext4", "-b", "1024", "-d", "t", "e.img", "24M"]);
    let mut image = folder.read("e.img");
    let mut at = 0;
    while let Some(found) = memchr::memmem::find(&image[at..], b"\x0c\0\x01\x02.\0\0\0") {
        let start = (at + found) / 1024 * 1024;
        image[start..start + 1024].fill(0);
        at = start + 1024;
    }
    let recorder = open(FileType::Ext, &image);
    assert!(recorder.children().len() >= tree.len(), "{}", recorder.children().len());
}
