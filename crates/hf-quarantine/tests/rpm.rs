//! Files of RPM packages are spared, by a real `rpm` and a database of its own.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use hf_quarantine::OsPackages;

fn runs(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).status().is_ok_and(|status| status.success())
}

#[test]
fn an_unchanged_file_of_a_package_is_spared() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| fs::canonicalize(folder.path()).unwrap().join(name);
    let program = Path::new("/usr/bin/rpm");
    if !program.exists() || !runs(Command::new("rpmbuild").arg("--version")) {
        assert!(std::env::var_os("CI").is_none(), "rpm is missing, and this is CI");
        eprintln!("skipped: there is no rpm or rpmbuild");
        return;
    }
    fs::create_dir(at("files")).unwrap();
    let owned = at("files/owned by rpm");
    let spec = format!(
        "Name: trial\nVersion: 1\nRelease: 1\nSummary: trial\nLicense: MIT\nBuildArch: noarch\n\
         %description\ntrial\n%install\nmkdir -p \"%{{buildroot}}{0}\"\n\
         printf made > \"%{{buildroot}}{0}/owned by rpm\"\n%files\n\"{0}/owned by rpm\"\n",
        at("files").display()
    );
    fs::write(at("trial.spec"), spec).unwrap();
    let mut build = Command::new("rpmbuild");
    build.args(["-bb", "--quiet"]).arg("--define").arg(format!("_topdir {}", at("top").display()));
    build.arg("--define").arg(format!("_dbpath {}", at("db").display()));
    assert!(runs(build.arg(at("trial.spec")).stderr(Stdio::null())));
    let mut install = Command::new(program);
    install.arg("--dbpath").arg(at("db")).args(["-i", "--justdb", "--nodeps", "--force"]);
    install.arg("--ignorearch").arg(at("top/RPMS/noarch/trial-1-1.noarch.rpm"));
    assert!(runs(install.stderr(Stdio::null())));

    fs::write(&owned, "made").unwrap();
    let packages = OsPackages::new(Path::new("/nowhere")).with_rpm(program, &at("db"));
    let vouches = |path: &Path| packages.vouch_for(path, &File::open(path).unwrap()).unwrap();
    assert!(vouches(&owned));
    // The same bytes elsewhere are nobody's, nor is the file once it is changed.
    let copy = at("files/copy");
    fs::copy(&owned, &copy).unwrap();
    assert!(!vouches(&copy));
    fs::write(&owned, "mad?").unwrap();
    assert!(!vouches(&owned));
}
