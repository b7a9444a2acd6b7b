//! Development tasks: `cargo xtask COMMAND`.

mod arguments;
mod gen_content;

use std::process::ExitCode;

use arguments::Arguments;

fn main() -> ExitCode {
    let mut given = std::env::args().skip(1);
    let command = given.next().unwrap_or_default();
    let arguments = Arguments::new(given);
    let done = match command.as_str() {
        "gen-content" => gen_content::run(arguments),
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
  gen-content --out DIR --real DIR [--scale small|large]
        makes content of today's size by varying real signatures
";
