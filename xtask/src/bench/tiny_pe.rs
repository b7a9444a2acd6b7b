//! Many tiny PE files against many logical signatures for PE: what an object costs, not its bytes.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};

use super::Bench;
use super::table::{Table, Value};
use crate::random::Random;

/// Processor time for each file, without the start.
pub(super) fn tiny_pe(bench: &Bench, table: &mut Table) -> Result<()> {
    let dir = bench.path("tiny");
    let content = bench.path("tiny.ldb");
    fs::create_dir(&dir)?;
    fs::write(&content, signatures(SIGNATURES))?;
    let (few, many) = (dir.join("few"), dir.join("many"));
    write_files(&few, bench.tiny_clamscan)?;
    write_files(&many, FILES)?;
    let empty = dir.join("empty");
    fs::write(&empty, "nothing")?;
    for _ in 0..2 {
        bench.scan(bench.holdfast(&content).arg(&empty))?;
    }
    let start = bench.scan(bench.holdfast(&content).arg(&empty))?;
    let ours = bench.scan(bench.holdfast(&content).arg(&many))?;
    let their_start = bench.scan(bench.clamscan(&bench.clamscan, &content).arg(&empty))?;
    let (theirs, names) = bench.same_names(&content, &|command| {
        command.arg(&few);
    })?;
    if names == 0 {
        bail!("nothing was found, not even in the planted files");
    }
    let each = |all: Duration, start: Duration, files: u64| {
        Value::Time(all.saturating_sub(start) / u32::try_from(files).unwrap_or(u32::MAX).max(1))
    };
    table.row(
        &format!("a tiny PE, {SIGNATURES} logical signatures: CPU"),
        each(theirs.cpu, their_start.cpu, bench.tiny_clamscan),
        each(ours.cpu, start.cpu, FILES),
        Value::None,
    );
    table.row(
        &format!("start with {SIGNATURES} logical signatures: CPU"),
        Value::Time(their_start.cpu),
        Value::Time(start.cpu),
        Value::None,
    );
    Ok(())
}

/// Signatures of three pieces; the first is found in every file whose number ends in 50.
fn signatures(count: u64) -> String {
    let mut random = Random(7);
    let mut text = String::new();
    let planted: String = PLANTED.iter().map(|byte| format!("{byte:02x}")).collect();
    let _ = writeln!(text, "Bench.Planted-1;Engine:51-255,Target:1;0&1;{planted};0000");
    for nth in 1..count {
        let pieces = [random.hex(8), random.hex(16), random.hex(8)].join(";");
        let _ = writeln!(text, "Bench.Tiny-{nth};Engine:51-255,Target:1;0&1&2;{pieces}");
    }
    text
}

fn write_files(dir: &Path, count: u64) -> Result<()> {
    fs::create_dir(dir)?;
    let mut random = Random(11);
    for nth in 0..count {
        fs::write(dir.join(format!("{nth}.exe")), tiny(&mut random, nth % 100 == 50))?;
    }
    Ok(())
}

/// A PE32 of 744 bytes with one section of random bytes.
fn tiny(random: &mut Random, planted: bool) -> Vec<u8> {
    let mut file = vec![0; 744];
    let mut put = |off: usize, bytes: &[u8]| file[off..off + bytes.len()].copy_from_slice(bytes);
    put(0, b"MZ");
    put(0x3c, &64u32.to_le_bytes());
    put(64, b"PE\0\0\x4c\x01\x01\x00");
    put(84, &224u16.to_le_bytes()); // SizeOfOptionalHeader
    put(86, &0x010fu16.to_le_bytes()); // executable, 32 bit
    let optional = 88;
    put(optional, &0x010bu16.to_le_bytes());
    put(optional + 4, &232u32.to_le_bytes()); // SizeOfCode
    put(optional + 16, &0x1000u32.to_le_bytes()); // AddressOfEntryPoint
    put(optional + 20, &0x1000u32.to_le_bytes()); // BaseOfCode
    put(optional + 28, &0x0040_0000u32.to_le_bytes()); // ImageBase
    put(optional + 32, &0x1000u32.to_le_bytes()); // SectionAlignment
    put(optional + 36, &0x200u32.to_le_bytes()); // FileAlignment
    put(optional + 40, &4u16.to_le_bytes()); // MajorOperatingSystemVersion
    put(optional + 48, &4u16.to_le_bytes()); // MajorSubsystemVersion
    put(optional + 56, &0x2000u32.to_le_bytes()); // SizeOfImage
    put(optional + 60, &0x200u32.to_le_bytes()); // SizeOfHeaders
    put(optional + 68, &3u16.to_le_bytes()); // console
    put(optional + 92, &16u32.to_le_bytes()); // NumberOfRvaAndSizes
    let section = optional + 224;
    put(section, b".text\0\0\0");
    put(section + 8, &232u32.to_le_bytes()); // VirtualSize
    put(section + 12, &0x1000u32.to_le_bytes());
    put(section + 16, &232u32.to_le_bytes()); // SizeOfRawData
    put(section + 20, &512u32.to_le_bytes());
    put(section + 36, &0x6000_0020u32.to_le_bytes()); // code, execute, read
    for off in (512..744).step_by(8) {
        put(off, &random.next().to_le_bytes());
    }
    if planted {
        put(600, PLANTED);
    }
    file
}

const SIGNATURES: u64 = 60_000;
const FILES: u64 = 2_000;
const PLANTED: &[u8] = b"planted for the benchmark";
