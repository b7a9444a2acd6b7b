//! ClamAV's own freshclam updates from a mirror that is laid out here.
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A database signed by ClamAV: where Debian's freshclam has put one, or where the environment says.
fn signed_database() -> Option<PathBuf> {
    let named = std::env::var_os("HOLDFAST_TEST_CVD").map(PathBuf::from);
    let usual = ["/var/lib/clamav/bytecode.cvd", "/var/lib/clamav/daily.cvd"].map(PathBuf::from);
    named.into_iter().chain(usual).find(|path| path.is_file())
}

#[test]
fn freshclam_updates_from_the_mirror() {
    if Command::new("freshclam").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "freshclam is missing");
        eprintln!("skipped: freshclam is not installed");
        return;
    }
    let Some(database) = signed_database() else {
        eprintln!("skipped: no database signed by ClamAV is here (HOLDFAST_TEST_CVD)");
        return;
    };
    let temp = tempfile::tempdir().unwrap();
    let (from, to, into) =
        (temp.path().join("from"), temp.path().join("to"), temp.path().join("db"));
    for folder in [&from, &to, &into] {
        fs::create_dir(folder).unwrap();
    }
    let name = database.file_name().unwrap();
    fs::copy(&database, from.join(name)).unwrap();
    let arguments = ["--listen", "127.0.0.1:0"];
    let mut child = Command::new(env!("CARGO_BIN_EXE_holdfast-publish"))
        .args(["serve", "--clamav"])
        .arg(&from)
        .arg("--dir")
        .arg(&to)
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let _running = Running(child);
    let address = loop {
        let line = lines.next().unwrap().unwrap();
        if let Some((_, address)) = line.split_once(" at http://") {
            break address.to_owned();
        }
    };
    let config = temp.path().join("freshclam.conf");
    let stem = name.to_str().unwrap().trim_end_matches(".cvd");
    let owner = Command::new("id").arg("-un").output().unwrap();
    let owner = String::from_utf8(owner.stdout).unwrap();
    fs::write(
        &config,
        format!(
            "DatabaseDirectory {}\nDatabaseOwner {}\nPrivateMirror http://{address}\nDNSDatabaseInfo no\n\
             ScriptedUpdates no\nUpdateLogFile {}\nCompressLocalDatabase no\n",
            into.display(),
            owner.trim(),
            temp.path().join("log").display(),
        ),
    )
    .unwrap();
    let run = || {
        Command::new("freshclam")
            .arg(format!("--config-file={}", config.display()))
            .arg(format!("--update-db={stem}"))
            .arg("--no-dns")
            .output()
            .unwrap()
    };
    let output = run();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{said}");
    let got = fs::read(into.join(name)).unwrap();
    assert_eq!(got, fs::read(&database).unwrap(), "byte for byte");
    // And once more: nothing is new.
    let output = run();
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("up-to-date"));
}
