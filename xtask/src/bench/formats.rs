//! Opening formats, one thread, beside the tool that people use for each.
//!
//! Promises: both sides read the same archive, which its real packer made from the same files of this machine; ours
//! hands out the bytes of these files, equal ones perhaps once. Processor time, best of three.
//! Leaves out: formats without a packer or a reader on this machine, which a row says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::table::{Table, Value};
use crate::arguments::Arguments;
use crate::measure::{self, Watch};

/// A format: how it is made from the folder `tree` or the file `big`, and how its tool reads it.
#[derive(Debug)]
struct Row {
    name: &'static str,
    /// Programs that both lines need, as [`super::find`] knows them.
    programs: &'static [&'static str],
    /// Makes `out`.
    pack: &'static str,
    /// Reads `out`, with one thread; may write into the folder `into`.
    read: &'static str,
    /// How many formats lie within each other there, of which the tool opens all.
    layers: u32,
}

const fn row(
    name: &'static str,
    programs: &'static [&'static str],
    pack: &'static str,
    read: &'static str,
) -> Row {
    Row { name, programs, pack, read, layers: 1 }
}

const ROWS: &[Row] = &[
    row(
        "zip",
        &["zip", "unzip"],
        "zip -qr out.zip tree; mv out.zip out",
        "unzip -p out >/dev/null",
    ),
    row("gzip", &["gzip"], "gzip -c big >out", "gzip -dc out >/dev/null"),
    row("bzip2", &["bzip2"], "bzip2 -c big >out", "bzip2 -dc out >/dev/null"),
    row("xz", &["xz"], "xz -T1 -c big >out", "xz -T1 -dc out >/dev/null"),
    row("lzma", &["xz"], "xz -F lzma -c big >out", "xz -F lzma -dc out >/dev/null"),
    row("zstd", &["zstd"], "zstd -q -c big >out", "zstd -q -dc out >/dev/null"),
    row("lz4", &["lz4"], "lz4 -q big out", "lz4 -q -dc out >/dev/null"),
    row("lzip", &["lzip"], "lzip -c big >out", "lzip -dc out >/dev/null"),
    row("lzop", &["lzop"], "lzop -c big >out", "lzop -dc out >/dev/null"),
    row("compress", &["compress"], "compress -c big >out || true", "uncompress -c <out >/dev/null"),
    row("tar", &["tar"], "tar -cf out tree", "tar -xOf out >/dev/null"),
    row(
        "cpio",
        &["cpio"],
        "find tree | cpio --quiet -o -H newc >out",
        "cpio --quiet -i --to-stdout <out >/dev/null",
    ),
    row(
        "7z, LZMA2",
        &["7z"],
        "7z a -mmt=1 out.7z tree >log; mv out.7z out",
        "7z t -mmt=1 out >log",
    ),
    row(
        "7z, PPMd",
        &["7z"],
        "7z a -mmt=1 -m0=PPMd out.7z tree >log; mv out.7z out",
        "7z t -mmt=1 out >log",
    ),
    row(
        "7z, BCJ2",
        &["7z"],
        "7z a -mmt=1 -m0=BCJ2 -m1=LZMA -m2=LZMA -m3=LZMA -mb0:1 -mb0s1:2 -mb0s2:3 out.7z tree >log; mv out.7z out",
        "7z t -mmt=1 out >log",
    ),
    row(
        "cabinet, MSZIP",
        &["gcab", "cabextract"],
        "find tree -type f | xargs gcab -z -n -c out.cab; mv out.cab out",
        "cabextract -q -p out >/dev/null",
    ),
    row("xar", &["bsdtar"], "bsdtar --format=xar -cf out tree", "bsdtar -xOf out >/dev/null"),
    // It takes a name without a suffix for one that has it.
    row(
        "arj",
        &["arj"],
        "arj a -r -y out.arj tree >log; mv out.arj out",
        "ln -sf out out.arj; arj t -y out.arj >log",
    ),
    row(
        "LHA, lh5",
        &["jlha", "lhasa"],
        "jlha aqo5 out.lzh tree >log; mv out.lzh out",
        "lhasa tq out >log",
    ),
    row(
        "ISO 9660",
        &["genisoimage", "bsdtar"],
        "genisoimage -quiet -R -J -o out tree",
        "bsdtar -xOf out >/dev/null",
    ),
    row(
        "squashfs, gzip",
        &["mksquashfs", "unsquashfs"],
        "mksquashfs tree out -quiet -no-progress",
        "unsquashfs -q -n -p 1 -d into out >log",
    ),
    row(
        "squashfs, xz",
        &["mksquashfs", "unsquashfs"],
        "mksquashfs tree out -quiet -no-progress -comp xz",
        "unsquashfs -q -n -p 1 -d into out >log",
    ),
    row(
        "squashfs, zstd",
        &["mksquashfs", "unsquashfs"],
        "mksquashfs tree out -quiet -no-progress -comp zstd",
        "unsquashfs -q -n -p 1 -d into out >log",
    ),
    row(
        "ext4",
        &["mke2fs", "debugfs"],
        "mke2fs -q -t ext4 -d tree out.img 96M; mv out.img out",
        "mkdir into; debugfs -R 'rdump / into' out 2>log",
    ),
    row(
        "FAT32",
        &["mkfs.vfat", "mcopy"],
        "mkfs.vfat -F 32 -C out 98304 >log; mcopy -s -i out tree ::",
        "mkdir into; mcopy -s -i out ::tree into",
    ),
    row(
        "NTFS",
        &["mkntfs", "ntfscp", "7z"],
        "truncate -s 96M out; mkntfs -qQF out; ntfscp -f out big big",
        "7z x -mmt=1 -ointo out >log",
    ),
    row(
        "WIM, LZX",
        &["wimcapture", "wimextract"],
        "wimcapture tree out --compress=LZX --threads=1 >log",
        "mkdir into; wimextract out 1 --dest-dir=into >log",
    ),
    row(
        "NSIS, LZMA",
        &["makensis", "7z"],
        "printf 'SetCompressor lzma\\nName a\\nOutFile out\\nSection\\nSetOutPath $TEMP\\nFile /r tree\\nSectionEnd\\n' >a.nsi; makensis -V1 a.nsi",
        "7z x -mmt=1 -ointo out >log",
    ),
    row(
        "qcow2, compressed",
        &["qemu-img"],
        "qemu-img convert -c -f raw -O qcow2 big out",
        "qemu-img convert -f qcow2 -O raw out into",
    ),
    Row {
        layers: 2,
        ..row(
            "rpm, xz",
            &["rpmbuild", "rpm2cpio"],
            "printf 'Name: a\\nVersion: 1\\nRelease: 1\\nSummary: a\\nLicense: MIT\\nAutoReqProv: no\\n%%description\\na\\n%%install\\nmkdir -p %%{buildroot}/opt; cp -r %s/tree %%{buildroot}/opt/\\n%%files\\n/opt/tree\\n' $PWD >a.spec; rpmbuild -bb --nodeps --define \"_topdir $PWD/r\" --define '_binary_payload w2.xzdio' --define '__os_install_post %{nil}' a.spec >log 2>&1; find r/RPMS -name '*.rpm' -exec mv {} out ';'",
            "rpm2cpio out >/dev/null",
        )
    },
];

/// Runs `bench formats`.
pub(super) fn run(only: &[String], mut arguments: Arguments) -> Result<()> {
    let tree_bytes = arguments.mib("--tree-mib", 48)?;
    arguments.finish()?;
    let work = tempfile::tempdir()?;
    let bytes = sources(work.path(), tree_bytes)?;
    let mut table = Table::default();
    for row in ROWS {
        if !only.is_empty() && !only.iter().any(|name| row.name.contains(name.as_str())) {
            continue;
        }
        eprintln!("measuring {}", row.name);
        let missing = row.programs.iter().find(|program| super::find(program, None).is_none());
        match missing {
            Some(program) => table.skipped(row.name, &format!("{program} is not installed")),
            None => {
                if let Err(error) = measure_row(row, work.path(), bytes, &mut table) {
                    let why: String = format!("{error:#}").chars().take(100).collect();
                    table.skipped(row.name, &why);
                }
            }
        }
    }
    print!("{table}");
    Ok(())
}

/// Copies files of this machine to `tree`, and all of them behind each other to `big`; returns their bytes.
fn sources(work: &Path, want: u64) -> Result<u64> {
    let tree = work.join("tree");
    let mut big = Vec::new();
    let mut taken = 0u64;
    for (folder, share) in [("/usr/bin", want / 4 * 3), ("/usr/share/perl", want / 4)] {
        let mut files = Vec::new();
        collect(Path::new(folder), &mut files, 0);
        files.sort();
        let mut part = 0u64;
        for path in files {
            let Ok(data) = fs::read(&path) else { continue };
            let len = data.len() as u64;
            if part + len > share {
                continue;
            }
            part += len;
            let to = tree.join(path.strip_prefix("/")?);
            fs::create_dir_all(to.parent().context("a file has a folder")?)?;
            fs::write(&to, &data)?;
            big.extend_from_slice(&data);
        }
        taken += part;
    }
    fs::write(work.join("big"), &big)?;
    Ok(taken)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>, depth: u32) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_file() => files.push(path),
            Ok(kind) if kind.is_dir() && depth < 8 => collect(&path, files, depth + 1),
            _ => {}
        }
    }
}

fn measure_row(row: &Row, work: &Path, bytes: u64, table: &mut Table) -> Result<()> {
    let shell = |line: &str| {
        let mut command = Command::new("bash");
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
        command.args(["-euc", line]).current_dir(work);
        command
    };
    let clean = || measure::expect(&mut shell("rm -rf into log"), DEADLINE, Watch::No, &[0]);
    measure::expect(&mut shell("rm -rf out out.* into log"), DEADLINE, Watch::No, &[0])?;
    measure::expect(&mut shell(row.pack), DEADLINE, Watch::No, &[0]).context("packing")?;
    let mut ours = Duration::MAX;
    let mut theirs = Duration::MAX;
    for _ in 0..3 {
        clean()?;
        let run = measure::expect(&mut shell(row.read), DEADLINE, Watch::No, &[0]);
        theirs = theirs.min(run.context("the format's tool")?.cpu);
        let mut extract = Command::new(std::env::current_exe()?);
        extract.arg("extract").args(["--layers", &row.layers.to_string()]).arg(work.join("out"));
        let run = measure::expect(&mut extract, DEADLINE, Watch::No, &[0]).context("ours")?;
        ours = ours.min(run.cpu);
        let handed: u64 = run.stdout.trim().parse().context("a number of bytes")?;
        // Some formats keep equal files once, and so do we.
        if handed < bytes / 10 * 9 {
            bail!("ours handed out {handed} of {bytes} bytes");
        }
    }
    table.row(row.name, Value::None, Value::Time(ours), Value::Time(theirs));
    Ok(())
}

const DEADLINE: Duration = Duration::from_secs(300);
