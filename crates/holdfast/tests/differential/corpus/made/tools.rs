//! Archives that programs of this machine make.

use std::process::{Command, Stdio};

use super::archives::{PASSWORD, inside, members, record};
use crate::corpus::Corpus;
use crate::rng::Rng;

/// Archives that need a program; the machine may lack it.
pub(super) fn build(corpus: &mut Corpus, rng: &mut Rng) {
    let made_in = tempfile::tempdir().expect("a folder can be made");
    let work = made_in.path().join("members");
    std::fs::create_dir(&work).expect("a folder can be made");
    let members = members(corpus, rng);
    for (name, data) in &members {
        let path = work.join(name.replace('/', "-"));
        std::fs::write(path, data).expect("a member can be written");
    }
    let packed = |args: &[&str], made: &str| {
        let mut command = Command::new(args[0]);
        run(command.args(&args[1..]).current_dir(&work))
            .then(|| std::fs::read(work.join(made)).ok())
            .flatten()
    };
    let flat: Vec<_> =
        members.iter().map(|(name, data)| (name.replace('/', "-"), data.clone())).collect();
    let mut add = |made: Option<Vec<u8>>, name: &str, container: &'static str| {
        if let Some(file) = made {
            record(corpus, container, &flat);
            corpus.add(name, &file);
            inside(corpus, &flat, &[container]);
        }
    };
    add(
        packed(&["zip", "-q", "-r", "-9", "../d.zip", "."], "../d.zip"),
        "made-deflate.zip",
        "CL_TYPE_ZIP",
    );
    let secret = packed(&["zip", "-q", "-r", "-P", PASSWORD, "../e.zip", "."], "../e.zip");
    add(secret, "made-encrypted.zip", "CL_TYPE_ZIP");
    let names: Vec<&str> = flat.iter().map(|(name, _)| name.as_str()).collect();
    let cpio = ["sh", "-c", "ls | cpio -o -H newc --quiet > ../c.cpio"];
    add(packed(&cpio, "../c.cpio"), "made.cpio", "CL_TYPE_CPIO_NEWC");
    let first = names.first().copied().unwrap_or_default();
    add(
        packed(&["sh", "-c", &format!("bzip2 -c '{first}' > ../b.bz2")], "../b.bz2"),
        "made.bz2",
        "CL_TYPE_BZ",
    );
    add(
        packed(&["sh", "-c", &format!("xz -c '{first}' > ../b.xz")], "../b.xz"),
        "made.xz",
        "CL_TYPE_XZ",
    );
}

fn run(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
