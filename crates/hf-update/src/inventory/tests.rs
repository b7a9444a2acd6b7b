//! Machines made for these tests.

use super::*;

#[test]
fn rules_with_stars() {
    for (rule, name, want) in [
        ("kesl", "KESL", true),
        ("kesl", "kesl2", false),
        ("kesl-*", "kesl-gui", true),
        ("*sdk*.so*", "libkavsdk.so.1", true),
        ("a*b", "ab", true),
        ("a*bc*c", "abc", false),
        ("ab*ba", "aba", false),
        ("*", "", true),
    ] {
        assert_eq!(fits(rule, name), want, "{rule} {name}");
    }
}

#[test]
fn a_machine() {
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, bytes: &[u8]| {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    write(
        "var/lib/dpkg/status",
        b"Package: kesl\nStatus: install ok installed\nVersion: 12.0\nMaintainer: X\n\n\
          Package: klnagent64\nStatus: deinstall ok config-files\nVersion: 1\n\n\
          Package: other\nStatus: install ok installed\nVersion: 2\nMaintainer: Kaspersky <a@b>\n\n\
          Package: bash\nStatus: install ok installed\nVersion: 5\nMaintainer: Debian\n",
    );
    write("lib/systemd/system/kesl.service", b"[Service]\nExecStart=/opt/kaspersky/kesl/bin/x\n");
    write("etc/systemd/system/guard.service", b"[Service]\nExecStart=/opt/kaspersky/y\n");
    write("etc/systemd/system/ssh.service", b"[Service]\nExecStart=/usr/sbin/sshd\n");
    write("opt/kaspersky/kesl/bin/x", b"\x7fELF nothing");
    write("usr/lib/mailgate/libkavsdk.so.8", b"\x7fELF x");
    write("usr/lib/mailgate/scan.so", b"\x7fELF...Kaspersky Anti-Virus SDK 8...");
    write(
        "srv/share/setup.exe",
        &[b"MZ".as_slice(), &[0; 400], b"\x13\x10AO Kaspersky Lab0"].concat(),
    );
    write("srv/share/text.txt", b"Kaspersky Anti-Virus SDK");
    std::os::unix::fs::symlink("/", dir.path().join("srv/loop")).unwrap();
    let found = inventory(dir.path(), &Suppliers::shipped());
    let told: Vec<(&str, &str)> =
        found.found.iter().map(|one| (one.kind, one.what.as_str())).collect();
    assert_eq!(
        told,
        [
            ("engine", "/usr/lib/mailgate/scan.so"),
            ("file", "/usr/lib/mailgate/libkavsdk.so.8"),
            ("package", "kesl"),
            ("package", "other"),
            ("path", "/opt/kaspersky"),
            ("signer", "/srv/share/setup.exe"),
            ("unit", "/etc/systemd/system/guard.service"),
            ("unit", "/lib/systemd/system/kesl.service"),
        ]
    );
    assert!(found.found.iter().all(|one| one.supplier == "kaspersky"));
    assert!(found.not_looked_at.is_empty(), "{:?}", found.not_looked_at);
    let clean = tempfile::tempdir().unwrap();
    assert!(inventory(clean.path(), &Suppliers::shipped()).found.is_empty());
}
