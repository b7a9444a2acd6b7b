//! Development tasks: `cargo xtask COMMAND`.
#![forbid(unsafe_code)]

mod arguments;
mod bench;
mod extract;
mod gen_content;
mod gen_day;
mod measure;
mod random;
mod sbom;
mod service;
mod soak;

use std::process::ExitCode;

use arguments::Arguments;

fn main() -> ExitCode {
    let mut given = std::env::args().skip(1);
    let command = given.next().unwrap_or_default();
    let arguments = Arguments::new(given);
    let done = match command.as_str() {
        "bench" => bench::run(arguments),
        "extract" => extract::run(arguments),
        "soak" => soak::run(arguments),
        "gen-content" => gen_content::run(arguments),
        "gen-day" => gen_day::run(arguments),
        "sbom" => sbom::run(arguments),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("xtask: {err:#}");
            ExitCode::FAILURE
        }
    }
}

const USAGE: &str = "\
usage: cargo xtask COMMAND
  bench [ROW...] --real DIR [--large DIR] [--holdfast PATH] [--clamscan PATH] [--yr PATH]
        [--tree DIR]... [--tree-mib N] [--tiny-clamscan N] [--deadline SECONDS]
        compares holdfast with clamscan and sha256sum in one run; rows: startup build tree threads
        tiny-pe yara all. --real holds real *.gz databases, --large what gen-content made
  bench formats [NAME...] [--tree-mib N]
        compares opening a format with the tool that people use for it, one thread, processor time
  bench daemon [ROW...] --databases DIR [--holdfast PATH] [--clamd PATH] [--clamdscan PATH]
        [--seconds N] [--tree DIR]
        compares the daemon with clamd: same databases, clients and files; rows: stream multiscan memory start
  soak [--minutes N | --seconds N] [--holdfast PATH]
        loads the daemon with every kind of request while it reloads and its workers are killed
  bench onaccess [--holdfast PATH] [--tree DIR]
        what guarding costs: unpacking a tar, building a C project, opening a file; as root
  extract [--layers N] FILE
        opens one file, and N-1 layers of what is in it, and tells how many bytes came out
  gen-content --out DIR --real DIR [--scale small|large]
        makes content of today's size by varying real signatures
  gen-day --from DIR --out DIR
        changes content as a day does: one signature of a thousand comes, goes or changes
  sbom [--package NAME] [--out FILE]
        lists what a package is made of, as CycloneDX
";
