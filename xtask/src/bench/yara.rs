//! YARA rules, against `yr` of the engine's own project.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use anyhow::{Result, bail};

use super::Bench;
use super::table::{Table, Value};
use crate::measure::{self, Watch};
use crate::random::Random;

/// Processor time over a folder of files; the yardstick is `yr`.
pub(super) fn yara(bench: &Bench, table: &mut Table) -> Result<()> {
    let what = format!("{RULES} YARA rules on {FILES} files: CPU");
    let Some(yr) = &bench.yr else {
        table.skipped(&what, "yr is not installed");
        return Ok(());
    };
    let dir = bench.path("yara");
    fs::create_dir(&dir)?;
    let rules = bench.path("bench.yara");
    fs::write(&rules, self::rules())?;
    let mut random = Random(23);
    for nth in 0..FILES {
        let mut bytes: Vec<u8> = (0..8192).flat_map(|_| random.next().to_le_bytes()).collect();
        if nth % 50 == 0 {
            bytes.extend_from_slice(PLANTED.as_bytes());
        }
        fs::write(dir.join(format!("{nth}.bin")), bytes)?;
    }
    let mut scan = Command::new(yr);
    scan.args(["scan", "--threads", "1"]).arg(&rules).arg(&dir);
    let yardstick = measure::expect(&mut scan, bench.deadline, Watch::No, &[0])?;
    for _ in 0..2 {
        bench.scan(bench.holdfast(&rules).arg("/etc/hostname"))?;
    }
    let ours = bench.scan(bench.holdfast(&rules).arg(&dir))?;
    let hits = |text: &str| text.lines().filter(|line| line.contains("planted")).count();
    let (want, got) = (hits(&yardstick.stdout), hits(&ours.stdout));
    if want == 0 || want != got {
        bail!("yr found {want}, holdfast {got}");
    }
    table.row(&what, Value::None, Value::Time(ours.cpu), Value::Time(yardstick.cpu));
    Ok(())
}

fn rules() -> String {
    let mut random = Random(19);
    let mut text = format!("rule planted {{ strings: $a = \"{PLANTED}\" condition: $a }}\n");
    for nth in 1..RULES {
        let (a, b) = (random.hex(8), random.hex(8));
        let _ = writeln!(
            text,
            "rule r{nth} {{ strings: $a = \"{a}\" $b = {{ {b} }} condition: any of them }}"
        );
    }
    text
}

const RULES: u64 = 500;
const FILES: u64 = 200;
const PLANTED: &str = "a string put there for the benchmark";
