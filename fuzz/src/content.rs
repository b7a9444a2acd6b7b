//! Content: the languages of signatures, their container, and matching with what they say.

use std::sync::Arc;

use hf_content::{ContentOptions, compile_in_memory};
use hf_core::signature::{
    BodySig, CertificateSig, Collector, ConfigSig, ContainerSig, HashSig, IconSig, IgnoreSig,
    LogicalSig, MagicSig, NotRun, PasswordSig, PhishingSig, SigMeta,
};
use hf_match::Matcher;
use hf_sig::{BytecodeChoice, IgnoreSet, LoadOptions};

use crate::pack::scan_all;

/// Suffixes of databases, by the first byte of an input of [`sig_load`].
pub const SUFFIXES: &[&str] = &[
    "ldb", "ndb", "db", "hdb", "hsb", "hdu", "fp", "sfp", "mdb", "msb", "mdu", "imp", "ndu", "ldu",
    "cbc", "sdb", "zmd", "rmd", "cfg", "info", "wdb", "pdb", "gdb", "ftm", "ign", "ign2", "idb",
    "cdb", "cat", "ioc", "yar", "pwdb", "crb", "cud", "cld", "cvd", "hsu", "msu",
];

/// Loads a text as a database of the language that the first byte chooses, and explains its first line.
pub fn sig_load(data: &[u8]) {
    let Some((&first, text)) = data.split_first() else { return };
    let suffix = SUFFIXES.get(usize::from(first) % SUFFIXES.len()).copied().unwrap_or("ldb");
    let file = format!("fuzz.{suffix}");
    let whole = LoadOptions {
        keep_going: true,
        official: true,
        bytecode: BytecodeChoice::All,
        ..LoadOptions::default()
    };
    for options in [whole, LoadOptions::default()] {
        if let Err(rejected) =
            hf_sig::load(&file, text, &options, &mut IgnoreSet::default(), &mut Nothing)
        {
            let _ = rejected.diagnostic.to_string();
        }
    }
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if let Ok(line) = std::str::from_utf8(line) {
        let _ = hf_sig::explain(&file, line);
    }
}

/// Reads a signed container, of a kind that the first byte chooses, with a detached signature behind a
/// line `SIGN` when the input has one.
pub fn cvd(data: &[u8]) {
    let Some((&first, rest)) = data.split_first() else { return };
    let file = ["fuzz.cud", "fuzz.cld", "fuzz.cvd"].get(usize::from(first) % 3).copied();
    let file = file.unwrap_or("fuzz.cud");
    let at = rest.windows(SIGN.len()).position(|window| window == SIGN);
    let mut options = LoadOptions::default();
    let container = match at {
        Some(at) => {
            options.containers.detached = rest.get(at + SIGN.len()..).map(<[u8]>::to_vec);
            rest.get(..at).unwrap_or_default()
        }
        None => rest,
    };
    let _ = hf_sig::cvd::verify(file, container, &options);
    let _ = hf_sig::load(file, container, &options, &mut IgnoreSet::default(), &mut Nothing);
}

/// Compiles a database, of a language that the first byte chooses, and matches with it: the text ends at
/// a zero byte, the object is behind it.
pub fn match_pattern(data: &[u8]) {
    let Some((&first, rest)) = data.split_first() else { return };
    let suffix = ["ldb", "ndb", "cdb", "ftm", "hdb", "db"].get(usize::from(first) % 6).copied();
    let file = format!("fuzz.{}", suffix.unwrap_or("ldb"));
    let at = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
    let (text, object) = rest.split_at(at);
    let object = object.split_first().map_or(&[][..], |(_, object)| object);
    let load = LoadOptions { keep_going: true, ..LoadOptions::default() };
    let options = ContentOptions { load, ..ContentOptions::default() };
    let Ok(pack) = compile_in_memory(&[(&file, text)], &options) else { return };
    assert_eq!(pack.verify().err().map(|err| err.to_string()), None, "our own pack");
    if let Ok(matcher) = Matcher::open(vec![Arc::clone(&pack)]) {
        scan_all(&matcher, object);
    }
}

/// Stands between a container and its detached signature in an input of [`cvd`].
const SIGN: &[u8] = b"\nSIGN\n";

/// Collects nothing.
struct Nothing;

macro_rules! drop_all {
    ($($name:ident: $sig:ty),*) => {$(
        fn $name(&mut self, _: SigMeta<'_>, _: $sig) {}
    )*};
}

impl Collector for Nothing {
    drop_all! {
        hash: HashSig<'_>, body: BodySig, logical: LogicalSig, container: ContainerSig, icon: IconSig,
        magic: MagicSig, password: PasswordSig, phishing: PhishingSig, certificate: CertificateSig,
        ignore: IgnoreSig, config: ConfigSig, yara: &str, not_run: NotRun
    }
}
