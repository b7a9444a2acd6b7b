//! Packages of systems, and streams that they are packed in: real tools make them, and each file comes out.

use std::collections::BTreeSet;

use hf_core::FileType;

use super::prose;
use super::tools::{Folder, check_stream, missing};

/// Opens an object and what is in it, and returns every content that came out.
fn everything(object: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut seen = BTreeSet::new();
    let mut waiting = vec![object.to_vec()];
    while let Some(object) = waiting.pop() {
        if !seen.insert(object.clone()) {
            continue;
        }
        let kind = hf_formats::identify(&object, None);
        for format in hf_formats::format_for(kind) {
            let mut recorder = hf_formats::testing::Recorder::default();
            recorder.run(format, &object).expect("nothing stops the scan");
            waiting.extend(recorder.children().iter().map(|(_, data)| data.to_vec()));
        }
    }
    seen
}

#[track_caller]
fn holds(object: &[u8], wanted: &[&[u8]], case: &str) {
    let seen = everything(object);
    for (idx, data) in wanted.iter().enumerate() {
        assert!(seen.contains(*data), "{case}: content {idx} is missing");
    }
}

#[test]
fn lzip() {
    check_stream(FileType::Lzip, "lzip", &["-0 -c", "-9 -c", "-b 100000 -c"]);
}

#[test]
fn lzop() {
    if missing("lzop") {
        return;
    }
    let folder = Folder::new();
    for data in [b"x".to_vec(), prose(700_000), vec![0; 300_000], super::Random(3).bytes(70_000)] {
        folder.write("data", &data);
        for level in ["-1", "-5", "-9", "-C"] {
            let packed = folder.run("lzop", &[level, "-c", "data"]);
            let recorder = super::open(FileType::Lzop, &packed);
            assert_eq!(recorder.children(), [(b"data".as_slice(), data.as_slice())], "{level}");
        }
    }
}

#[test]
fn deb() {
    if missing("dpkg-deb") {
        return;
    }
    let folder = Folder::new();
    let (script, data) = (b"#!/bin/sh\necho post\n".as_slice(), prose(50_000));
    folder.write(
        "p/DEBIAN/control",
        b"Package: p\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b>\nDescription: d\n",
    );
    folder.write("p/DEBIAN/postinst", script);
    folder.write("p/usr/share/p/data", &data);
    folder.run("chmod", &["755", "p/DEBIAN/postinst"]);
    for compression in ["none", "gzip", "xz", "zstd"] {
        let setting = format!("-Z{compression}");
        folder.run("dpkg-deb", &["--root-owner-group", &setting, "-b", "p", "p.deb"]);
        holds(&folder.read("p.deb"), &[script, &data], compression);
    }
}

#[test]
fn rpm() {
    if missing("rpmbuild") {
        return;
    }
    let folder = Folder::new();
    let data = prose(50_000);
    folder.write("data", &data);
    for io in ["w9.gzdio", "w2.xzdio", "w3.zstdio", "w9.bzdio", "w2.lzdio", "w.ufdio"] {
        let here = folder.path().display();
        let spec = format!(
            "%define _binary_payload {io}\n%define _build_id_links none\nName: p\nVersion: 1\n\
             Release: 1\nSummary: s\nLicense: MIT\nBuildArch: noarch\n%description\nd\n\
             %install\nmkdir -p %{{buildroot}}/opt\ncp {here}/data %{{buildroot}}/opt/data\n\
             %post\necho installed\n%files\n/opt/data\n"
        );
        folder.write("p.spec", spec.as_bytes());
        let (top, root) = (format!("_topdir {here}/top"), format!("{here}/root"));
        let arguments =
            ["-bb", "--quiet", "--nodeps", "--define", &top, "--buildroot", &root, "p.spec"];
        folder.run("rpmbuild", &arguments);
        holds(&folder.read("top/RPMS/noarch/p-1-1.noarch.rpm"), &[&data, b"echo installed"], io);
    }
}

/// Zips by other names are zips to us.
#[test]
fn zips_by_other_names() {
    if missing("zip") {
        return;
    }
    let folder = Folder::new();
    let data = prose(30_000);
    folder.write("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\n");
    folder.write("AndroidManifest.xml", &data);
    folder.run("zip", &["-q", "-r", "p.jar", "META-INF", "AndroidManifest.xml"]);
    holds(&folder.read("p.jar"), &[&data], "jar");
    // Chrome's extensions have a header in front.
    let zip = folder.read("p.jar");
    for header in [
        b"Cr24\x02\0\0\0\x04\0\0\0\x04\0\0\0keysign!".as_slice(),
        b"Cr24\x03\0\0\0\x06\0\0\0header",
    ] {
        let extension = [header, &zip].concat();
        let kind = hf_formats::identify(&extension, None);
        let found = hf_formats::embedded(&extension, kind, &hf_core::Limits::holdfast());
        assert_eq!(found, [(header.len(), FileType::ZipSfx)]);
    }
}
