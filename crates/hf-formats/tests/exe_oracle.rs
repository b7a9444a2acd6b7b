//! Compares views of executables, hashes of images and findings on broken files with the programs that
//! existing signatures were made for. Skipped when they are not installed, except under `CI`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use hf_core::{FileType, IconMetrics};
use hf_formats::testing::{Event, Recorder, bytes_of_hex};
use hf_formats::testing_exe::{Import, PeSection, PeSpec};
use hf_formats::{
    clamav_exe_view, exe_view, format_for, icon_matches, icons, image_hash, section_ranges,
    testing_exe,
};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use md5::{Digest as _, Md5};

/// Runs a program and returns what it printed; none when it is not installed.
fn run(program: &str, args: &[&str], paths: &[&Path]) -> Option<String> {
    match Command::new(program).args(args).args(paths).output() {
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            Some(String::from_utf8_lossy(&text).into_owned())
        }
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "{program}: {error}");
            println!("skipped: {program} is not installed");
            None
        }
    }
}

struct Object {
    path: PathBuf,
    bytes: Vec<u8>,
    file_type: FileType,
}

/// Writes generated objects into a folder and adds real ones of this machine.
fn executables(folder: &Path) -> Vec<Object> {
    let mut objects: Vec<Object> = generated()
        .into_iter()
        .enumerate()
        .map(|(idx, (file_type, bytes))| {
            let path = folder.join(format!("generated-{idx}"));
            std::fs::write(&path, &bytes).expect("a temporary file is writable");
            Object { path, bytes, file_type }
        })
        .collect();
    for name in ["true", "env", "cat", "id", "sort"] {
        real(&mut objects, &format!("/usr/bin/{name}"), FileType::Elf);
    }
    for name in ["", "-aspack", "-fsg", "-petite", "-pespin", "-upx", "_IScab_ext"] {
        let path = format!("/usr/share/clamav-testfiles/clam{name}.exe");
        real(&mut objects, &path, FileType::Msexe);
    }
    objects
}

fn real(objects: &mut Vec<Object>, path: &str, file_type: FileType) {
    if let Ok(bytes) = std::fs::read(path) {
        objects.push(Object { path: path.into(), bytes, file_type });
    }
}

fn generated() -> Vec<(FileType, Vec<u8>)> {
    let code: Vec<u8> = (0u8..96).map(|byte| byte.wrapping_mul(29) ^ 0x5a).collect();
    let mut objects = vec![
        (FileType::Msexe, testing_exe::tiny_pe(&[&code], 0x1010)),
        (FileType::Msexe, testing_exe::tiny_pe(&[&code, b"second section", &code], 0x3004)),
        (FileType::Msexe, testing_exe::tiny_pe(&[&code], 0x9000)),
        (FileType::Msexe, imports(false)),
        (FileType::Msexe, imports(true)),
        (FileType::Msexe, resources()),
        (FileType::Macho, testing_exe::tiny_macho(&code)),
    ];
    for (is_64, is_big_endian) in [(false, false), (false, true), (true, false), (true, true)] {
        objects.push((FileType::Elf, testing_exe::tiny_elf(is_64, is_big_endian, &code)));
    }
    // Sizes tell the objects apart in the signatures.
    for (idx, (_, bytes)) in objects.iter_mut().enumerate() {
        bytes.resize(bytes.len() + 16 * idx, 0xcc);
    }
    objects
}

fn imports(is_64: bool) -> Vec<u8> {
    let libraries: &[(&str, &[Import])] = &[
        ("KERNEL32.dll", &[Import::Name("ExitProcess"), Import::Ordinal(7)]),
        ("OLEAUT32.dll", &[Import::Ordinal(2), Import::Ordinal(999)]),
        ("WSOCK32.dll", &[Import::Ordinal(115)]),
        ("a.b.dll", &[Import::Name("Dotted")]),
        ("driver.sys", &[Import::Name("Entry_1")]),
    ];
    let (data, len) = testing_exe::import_table(0x1000, is_64, libraries);
    testing_exe::pe(&PeSpec {
        is_64,
        entry_rva: 0x1000,
        sections: vec![PeSection { name: b".idata", rva: 0x1000, data }],
        directories: vec![(1, 0x1000, len)],
        overlay: b"behind".to_vec(),
    })
}

fn resources() -> Vec<u8> {
    let version = testing_exe::version_resource(&[
        ("CompanyName", "Holdfast"),
        ("FileDescription", "An inert sample"),
        ("OriginalFilename", "inert.exe"),
    ]);
    let data = testing_exe::resource_tree(0x1000, &[(10, 1, &[0x41; 80]), (16, 1, &version)]);
    let len = u32::try_from(data.len()).expect("a small section");
    testing_exe::pe(&PeSpec {
        entry_rva: 0x1000,
        sections: vec![PeSection { name: b".rsrc", rva: 0x1000, data }],
        directories: vec![(2, 0x1000, len)],
        ..PeSpec::default()
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the bytes at an offset as a pattern; none where the file has too few.
fn pattern(bytes: &[u8], off: u64) -> Option<String> {
    let off = usize::try_from(off).ok()?;
    Some(hex(bytes.get(off..off + 6)?))
}

/// Returns logical signatures about one object, and the names of those that must match.
fn signatures(idx: usize, object: &Object) -> (String, BTreeSet<String>) {
    let target = match object.file_type {
        FileType::Msexe => 1,
        FileType::Elf => 6,
        _ => 9,
    };
    let (mut text, mut wanted) = (String::new(), BTreeSet::new());
    let start = pattern(&object.bytes, 0).expect("an object has a header");
    let mut rule = |name: &str, tdb: &str, sub: &str, matches: bool| {
        let name = format!("O{idx}.{name}");
        let len = object.bytes.len();
        let _ = writeln!(
            text,
            "{name};Engine:81-255,Target:{target},FileSize:{len}-{len}{tdb};0;{sub}"
        );
        if matches {
            wanted.insert(name);
        }
    };
    let Ok(view) = clamav_exe_view(&object.bytes, object.file_type) else {
        rule("end", "", &format!("EOF-{}:{start}", object.bytes.len()), false);
        return (text, wanted);
    };
    let count = view.sections.len();
    let entry = view.entry_off.expect("ClamAV gives up without an entry point");
    rule("count", &format!(",NumberOfSections:{count}-{count}"), &start, true);
    rule("entry", &format!(",EntryPoint:{entry}-{entry}"), &start, true);
    let off = entry + 1;
    rule("not-entry", &format!(",EntryPoint:{off}-{off}"), &start, false);
    for (section_idx, section) in view.sections.iter().enumerate().take(40) {
        if let Some(pattern) = pattern(&object.bytes, section.raw_off) {
            rule(&format!("S{section_idx}"), "", &format!("S{section_idx}+0:{pattern}"), true);
        }
    }
    let last = view.sections.last().expect("there is a section");
    if let Some(pattern) = pattern(&object.bytes, last.raw_off) {
        rule("last", "", &format!("SL+0:{pattern}"), true);
    }
    for (key_idx, off) in view.version_key_offs.iter().enumerate() {
        let pattern = pattern(&object.bytes, *off).expect("a key lies in the file");
        rule(&format!("version{key_idx}"), "", &format!("VI:{pattern}"), true);
    }
    rule("not-version", "", &format!("VI:{}", hex(b"V\0S\0_\0V\0")), false);
    (text, wanted)
}

#[test]
fn offsets_are_where_clamscan_sees_them() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let objects = executables(folder.path());
    let (mut text, mut wanted) = (String::new(), BTreeSet::new());
    for (idx, object) in objects.iter().enumerate() {
        let (rules, names) = signatures(idx, object);
        text.push_str(&rules);
        wanted.extend(names);
    }
    let database = folder.path().join("views.ldb");
    std::fs::write(&database, text).expect("a temporary file is writable");
    let database = database.to_string_lossy().into_owned();
    let paths: Vec<&Path> = objects.iter().map(|object| object.path.as_path()).collect();
    let args = ["--no-summary", "--allmatch", "--database", &database];
    let Some(printed) = run("clamscan", &args, &paths) else { return };
    let found: BTreeSet<String> = printed
        .lines()
        .filter_map(|line| line.strip_suffix(".UNOFFICIAL FOUND")?.rsplit(' ').next())
        .map(str::to_owned)
        .collect();
    assert!(wanted.len() > 60, "the table shrank to {}", wanted.len());
    let differ: Vec<_> = found.symmetric_difference(&wanted).collect();
    assert!(differ.is_empty(), "{differ:?}");
}

#[test]
fn section_and_import_hashes_are_those_of_sigtool() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut compared = 0;
    for object in executables(folder.path()) {
        let Ok(view) = clamav_exe_view(&object.bytes, object.file_type) else { continue };
        if object.file_type != FileType::Msexe {
            continue;
        }
        let Some(printed) = run("sigtool", &["--mdb"], &[&object.path]) else { return };
        // sigtool goes through the sections by address.
        let want: BTreeSet<String> = printed
            .lines()
            .filter_map(|line| line.split_once("Section{")?.1.split_once("}: "))
            .filter(|(_, hash)| hash.contains(':'))
            .map(|(_, hash)| hash.to_owned())
            .collect();
        let got: BTreeSet<String> = section_ranges(&object.bytes, &view)
            .iter()
            .map(|data| format!("{}:{}", data.len(), hex(&Md5::digest(data))))
            .collect();
        assert_eq!(got, want, "{}", object.path.display());

        let printed = run("sigtool", &["--imp"], &[&object.path]).unwrap_or_default();
        let want = printed
            .lines()
            .find_map(|line| line.split_once("Imphash: ")?.1.split_once(':'))
            // Nothing comes out where a name lies within the last 256 bytes of a file.
            .filter(|(_, len)| *len != "0")
            .map(|(digest, len)| format!("{digest}:{len}"));
        let got = view.import_string.filter(|_| want.is_some());
        let got = got.map(|string| format!("{}:{}", hex(&Md5::digest(&string)), string.len()));
        assert_eq!(got, want, "{}", object.path.display());
        compared += usize::from(want.is_some());
    }
    assert!(compared >= 2);
}

#[test]
fn image_hashes_are_those_of_sigtool() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let patterns: [fn(u32, u32) -> [u8; 3]; 4] = [
        |x, y| [narrow(x * 3), narrow(y * 5), narrow(x * y)],
        |x, y| [narrow((x * 7919 + y * 104_729) >> 3); 3],
        |_, _| [255; 3],
        |x, y| if (x / 9 + y / 7) % 2 == 0 { [200, 30, 90] } else { [10, 220, narrow(x)] },
    ];
    for (pattern_idx, pattern) in patterns.iter().enumerate() {
        for (width, height) in [(90, 60), (32, 32), (7, 5), (200, 3)] {
            let picture = RgbImage::from_fn(width, height, |x, y| Rgb(pattern(x, y)));
            for format in [
                ImageFormat::Png,
                ImageFormat::Gif,
                ImageFormat::Jpeg,
                ImageFormat::Bmp,
                ImageFormat::Tiff,
            ] {
                let name = format!("{pattern_idx}-{width}x{height}.{format:?}");
                let path = folder.path().join(name);
                let picture = DynamicImage::ImageRgb8(picture.clone());
                picture.save_with_format(&path, format).expect("an encoder for each format");
                let bytes = std::fs::read(&path).expect("what was written is readable");
                let Some(printed) = run("sigtool", &["--fuzzy-img"], &[&path]) else { return };
                let want = printed.trim().rsplit(' ').next().unwrap_or_default().to_owned();
                let got = image_hash(&bytes, FileType::Graphics).map(|hash| hex(&hash));
                assert_eq!(got, Ok(want), "{}", path.display());
            }
        }
    }
}

fn narrow(value: u32) -> u8 {
    u8::try_from(value % 256).unwrap_or(0)
}

/// Cuts every fixture of a format at many places and compares what is told of it.
fn check_broken(format: &str, file_type: FileType, min_len: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(format);
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(root).expect("fixtures of the format").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(name) = name.strip_suffix(".in.hex") else { continue };
        let text = std::fs::read_to_string(entry.path()).expect("a fixture is readable");
        let object = bytes_of_hex(&text);
        let step = object.len().div_ceil(60);
        for len in (min_len..=object.len()).step_by(step).chain([object.len()]) {
            cases.push((folder.path().join(format!("{name}-{len}")), object[..len].to_vec()));
        }
    }
    let database = folder.path().join("none.hdb");
    std::fs::write(&database, format!("{}:1:None\n", "0".repeat(32))).expect("writable");
    let database = database.to_string_lossy().into_owned();
    let (mut got, mut paths) = (BTreeSet::new(), Vec::new());
    for (path, object) in &cases {
        std::fs::write(path, object).expect("a temporary file is writable");
        paths.push(path.as_path());
        let mut recorder = Recorder::default();
        recorder.options.alert_broken = true;
        recorder.options.alert_broken_media = true;
        for format in format_for(file_type) {
            // How it ends is in the record.
            let _ = recorder.run(format, object);
        }
        for event in &recorder.events {
            if let Event::Heuristic(name) = event {
                got.insert(format!("{}: {name} FOUND", path.display()));
            }
        }
    }
    let args = ["--no-summary", "--alert-broken", "--alert-broken-media", "--database", &database];
    let Some(printed) = run("clamscan", &args, &paths) else { return };
    let want: BTreeSet<String> =
        printed.lines().filter(|line| line.ends_with(" FOUND")).map(str::to_owned).collect();
    assert!(!want.is_empty(), "nothing is broken");
    let differ: Vec<_> = got.symmetric_difference(&want).collect();
    assert!(differ.is_empty(), "{differ:#?}");
}

#[test]
fn broken_images_are_those_of_clamscan() {
    check_broken("image", FileType::Png, 16);
}

#[test]
fn broken_executables_are_those_of_clamscan() {
    check_broken("pe", FileType::Msexe, 64);
    check_broken("elf", FileType::Elf, 16);
    check_broken("macho", FileType::Macho, 16);
}

/// A picture of coloured blocks as an icon of this depth; every seventh pixel of a diagonal is see-through.
fn icon(side: u32, bits: u32, seed: u32) -> Vec<u8> {
    let mut icon = Vec::new();
    for field in [40, side, side * 2, 1 | bits << 16, 0, 0, 0, 0, 0, 0] {
        icon.extend(field.to_le_bytes());
    }
    let colour = |idx: u32| {
        let mixed = (idx + 1).wrapping_mul(seed.wrapping_mul(2_654_435_761) | 1);
        let [blue, green, red, _] = (mixed ^ mixed >> 15).to_le_bytes();
        [blue, green, red, 0]
    };
    if bits <= 8 {
        icon.extend((0..1u32 << bits).flat_map(colour));
    }
    let block = |x: u32, y: u32| ((x * 5 + seed) / 16 + (y * 3 + seed) / 13 * 3) % 14;
    for y in 0..side {
        let row_start = icon.len();
        match bits {
            4 => icon.extend(
                (0..side / 2).map(|pair| narrow(block(pair * 2, y) << 4 | block(pair * 2 + 1, y))),
            ),
            8 => icon.extend((0..side).map(|x| narrow(block(x, y)))),
            24 => icon.extend((0..side).flat_map(|x| colour(block(x, y)).into_iter().take(3))),
            _ => icon.extend((0..side).flat_map(|x| {
                let [blue, green, red, _] = colour(block(x, y));
                let alpha = if seed.is_multiple_of(2) { 0 } else { narrow(255 - x * 5) };
                [blue, green, red, alpha]
            })),
        }
        while !(icon.len() - row_start).is_multiple_of(4) {
            icon.push(0);
        }
    }
    for y in 0..side {
        let mask = if y % 3 == 0 { 0x8100_4100_u32 } else { 0 };
        icon.extend(mask.to_be_bytes());
    }
    icon
}

fn icon_program(icons: &[(u32, u32, Vec<u8>)]) -> Vec<u8> {
    let mut group = vec![0, 0, 1, 0];
    group.extend(u16::try_from(icons.len()).expect("few icons").to_le_bytes());
    let mut resources: Vec<(u32, u32, &[u8])> = Vec::new();
    for (id, (side, bits, data)) in (1u16..).zip(icons) {
        group.extend([narrow(*side), narrow(*side), 0, 0, 1, 0, narrow(*bits), 0]);
        group.extend(u32::try_from(data.len()).expect("a small icon").to_le_bytes());
        group.extend(id.to_le_bytes());
        resources.push((3, u32::from(id), data));
    }
    resources.push((14, 1, &group));
    let data = testing_exe::resource_tree(0x1000, &resources);
    let len = u32::try_from(data.len()).expect("a small section");
    testing_exe::pe(&PeSpec {
        entry_rva: 0x1000,
        sections: vec![PeSection { name: b".rsrc", rva: 0x1000, data }],
        directories: vec![(2, 0x1000, len)],
        ..PeSpec::default()
    })
}

/// Returns what is known of an icon as the front and the back of an icon signature.
fn known_part(metrics: &IconMetrics) -> (String, String) {
    let mut front = format!("{:02x}", metrics.size);
    for (average, x, y) in metrics.color.iter().chain(&metrics.gray) {
        let _ = write!(front, "{average:03x}{x:02x}{y:02x}");
    }
    for (average, x, y) in metrics.bright.iter().chain(&metrics.dark) {
        let _ = write!(front, "{average:02x}{x:02x}{y:02x}");
    }
    (front, metrics.rgb_sums.iter().map(|sum| format!("{sum:02x}")).collect())
}

#[test]
fn icons_are_measured_as_clamscan_does() {
    let mut pictures = Vec::new();
    for (side, bits) in
        [(16, 32), (24, 32), (32, 32), (32, 24), (24, 24), (32, 8), (16, 4), (32, 4)]
    {
        for seed in 1..7 {
            pictures.push((side, bits, icon(side, bits, seed)));
        }
    }
    let object = icon_program(&pictures);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("icons");
    std::fs::write(&path, &object).expect("a temporary file is writable");
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a temporary file is writable");
        path.to_string_lossy().into_owned()
    };
    let idb = write("icons.idb", format!("Icon:Group:Other:20{}\n", "0".repeat(122)));
    let ldb = write(
        "icons.ldb",
        "Icons;Engine:81-255,Target:1,IconGroup1:Group;0;0:4d5a0000\n".to_owned(),
    );
    let args = ["--debug", "--no-summary", "--database", &idb, "--database", &ldb];
    let Some(printed) = run("clamscan", &args, &[&path]) else { return };
    let want: Vec<&str> = printed
        .lines()
        .filter_map(|line| line.split_once("IDB SIGNATURE: ICON_NAME:GROUP1:GROUP2:"))
        .map(|(_, hash)| hash)
        .collect();
    let view = exe_view(&object, FileType::Msexe).expect("the headers are whole");
    let got = icons(&object, &view, 100);
    assert_eq!((got.len(), want.len()), (pictures.len(), pictures.len()));
    let mut coloured = 0;
    for (idx, (metrics, want)) in got.iter().zip(&want).enumerate() {
        let (front, back) = known_part(metrics);
        // For an icon without colours ClamAV fills the first areas by another rule.
        if back.ends_with("00") {
            assert!(want.ends_with(&back), "icon {idx}");
            continue;
        }
        coloured += 1;
        let picture = (pictures[idx].0, pictures[idx].1);
        assert_eq!(
            (&want[..front.len()], &want[116..]),
            (&*front, &*back),
            "icon {idx} {picture:?}"
        );
        assert!(icon_matches(metrics, metrics));
    }
    assert!(coloured > 30, "only {coloured} icons have colours");
}

#[test]
fn the_lenient_view_goes_on_where_clamav_gives_up() {
    let object = testing_exe::tiny_pe(&[b"code"], 0x9000);
    assert!(clamav_exe_view(&object, FileType::Msexe).is_err());
    let view = exe_view(&object, FileType::Msexe).expect("the headers are whole");
    assert_eq!((view.entry_off, view.sections.len()), (None, 1));
}
