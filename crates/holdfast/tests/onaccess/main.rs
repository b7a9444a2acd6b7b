//! The guard over a private file system: what is denied, what is allowed, and that nobody waits for ever.
//!
//! Root only; elsewhere every test says that it is skipped. Nothing outside of the test's own mounts is
//! marked. When a test takes too long its guard is killed, upon which the kernel allows what waits.

mod quarantine;
mod stage;

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use stage::{
    DENIED, HOLDFAST, Stage, assert_allowed, assert_denied, children, eicar, mount, read, send,
};

#[test]
fn an_infected_file_is_neither_opened_nor_executed() {
    let Some(mut stage) = Stage::set() else { return };
    stage.guard("");
    let infected = stage.write_eicar("infected");
    assert_denied(&infected);
    fs::set_permissions(&infected, fs::Permissions::from_mode(0o755)).unwrap();
    let executed = Command::new(&infected).spawn();
    assert_eq!(executed.err().and_then(|error| error.raw_os_error()), DENIED);
    // Opening for writing would give the bytes to a map.
    let opened = OpenOptions::new().read(true).write(true).open(&infected);
    assert_eq!(opened.err().and_then(|error| error.raw_os_error()), DENIED);
    assert_allowed(stage.write("clean", b"nothing in here"));
    let program = stage.path("true");
    fs::copy("/bin/true", &program).unwrap();
    assert!(Command::new(&program).status().unwrap().success());
    assert!(stage.log().contains("Eicar"), "{}", stage.log());
    // Names do not matter: a link, another name, another folder.
    fs::hard_link(&infected, stage.path("link")).unwrap();
    assert_denied(stage.path("link"));
    fs::create_dir(stage.path("folder")).unwrap();
    fs::rename(&infected, stage.path("folder/renamed.txt")).unwrap();
    assert_denied(stage.path("folder/renamed.txt"));
    symlink(stage.path("link"), stage.path("symlink")).unwrap();
    assert_denied(stage.path("symlink"));
}

#[test]
fn a_clean_file_costs_no_further_question_until_it_is_written_to() {
    let Some(mut stage) = Stage::set() else { return };
    stage.guard("");
    let clean = stage.write("clean", b"nothing in here");
    assert_allowed(&clean);
    let asked = stage.count("asked");
    for _ in 0..1000 {
        assert_allowed(&clean);
    }
    fs::rename(&clean, stage.path("renamed")).unwrap();
    fs::hard_link(stage.path("renamed"), stage.path("linked")).unwrap();
    assert_allowed(stage.path("renamed"));
    assert_allowed(stage.path("linked"));
    assert_eq!(stage.count("asked"), asked);
    // Written in place: as an append, whole, and cut.
    let file = stage.path("renamed");
    let mut open = OpenOptions::new().append(true).open(&file).unwrap();
    open.write_all(b" more").unwrap();
    assert_allowed(&file);
    assert!(stage.count("asked") > asked);
    drop(open);
    assert_allowed(&file);
    fs::write(&file, eicar()).unwrap();
    assert_denied(&file);
    assert_denied(stage.path("linked"));
    let cut = stage.write("long", b"nothing in here, at some length");
    assert_allowed(&cut);
    let asked = stage.count("asked");
    OpenOptions::new().write(true).open(&cut).unwrap().set_len(7).unwrap();
    assert_allowed(&cut);
    assert!(stage.count("asked") > asked);
}

#[test]
fn what_is_written_through_a_map_is_seen() {
    let Some(mut stage) = Stage::set() else { return };
    stage.guard("");
    let file = stage.write("mapped", &b" ".repeat(68));
    assert_allowed(&file);
    let written = stage.count("written");
    let script = "import mmap,sys\nf=open(sys.argv[1],'r+b')\nm=mmap.mmap(f.fileno(),0)\n\
                  m[:]=sys.argv[2].encode()\nm.close()\nf.close()";
    let text = String::from_utf8(eicar()).unwrap();
    let Ok(status) = Command::new("python3").args(["-c", script]).arg(&file).arg(text).status()
    else {
        eprintln!("skipped: no python3");
        return;
    };
    assert!(status.success());
    stage.wait("the end of the map is told", |stage| stage.count("written") > written);
    assert_denied(&file);
}

#[test]
fn a_writer_leaves_nothing_remembered() {
    let Some(mut stage) = Stage::set() else { return };
    stage.guard("");
    let file = stage.write("held", b"nothing yet");
    let held = OpenOptions::new().append(true).open(&file).unwrap();
    for _ in 0..3 {
        let asked = stage.count("asked");
        assert_allowed(&file);
        assert!(stage.count("asked") > asked);
    }
    drop(held);
    assert_allowed(&file);
    let asked = stage.count("asked");
    assert_allowed(&file);
    assert_eq!(stage.count("asked"), asked);
}

#[test]
fn a_killed_guard_leaves_nobody_waiting_and_comes_back() {
    let Some(mut stage) = Stage::set() else { return };
    stage.guard("deadline-ms = 60000");
    let clean = stage.write("clean", b"nothing in here");
    let guard = stage.guard_pid();
    assert!(stage.signal_workers(guard, Signal::STOP) >= 2);
    let opener = std::thread::spawn(move || read(clean));
    stage.wait("somebody waits", |stage| stage.status()["waiting"] == 1);
    send(guard, Signal::KILL);
    assert!(opener.join().unwrap().is_ok());
    stage.wait("another guard", |stage| {
        stage.status()["pid"].as_u64().is_some_and(|pid| pid != u64::from(guard))
    });
    stage.wait("it guards", |stage| stage.log().matches("guards, with").count() == 2);
    let infected = stage.write_eicar("infected");
    assert_denied(infected);
    assert_eq!(stage.ask("check").status.code(), Some(0));
}

#[test]
fn a_stopped_guard_is_replaced() {
    let Some(mut stage) = Stage::set() else { return };
    stage.guard("");
    // The supervisor must have felt its pulse.
    std::thread::sleep(Duration::from_millis(1500));
    let infected = stage.write_eicar("infected");
    send(stage.guard_pid(), Signal::STOP);
    let begun = Instant::now();
    // It gets an answer: of the kernel, when the guard is killed.
    let _ = read(&infected);
    assert!(begun.elapsed() < Duration::from_secs(30));
    stage.wait("it guards", |stage| stage.log().matches("guards, with").count() == 2);
    assert_denied(&infected);
}

#[test]
fn killed_workers_cost_nothing_but_time() {
    let Some(mut stage) = Stage::set() else { return };
    stage.guard("");
    let guard = stage.guard_pid();
    for round in 0..3 {
        assert!(stage.signal_workers(guard, Signal::KILL) >= 1);
        let infected = stage.write_eicar(&format!("infected{round}"));
        assert_denied(infected);
        assert_allowed(stage.write(&format!("clean{round}"), b"nothing in here"));
    }
    assert_eq!(stage.guard_pid(), guard);
}

#[test]
fn a_deadline_is_kept_by_the_stated_policy() {
    for (policy, allowed) in [("allow", true), ("deny", false)] {
        let Some(mut stage) = Stage::set() else { return };
        stage.guard(&format!("deadline-ms = 500\non-timeout = {policy:?}"));
        let infected = stage.write_eicar("infected");
        let guard = stage.guard_pid();
        stage.signal_workers(guard, Signal::STOP);
        let begun = Instant::now();
        let result = read(&infected);
        let took = begun.elapsed();
        assert_eq!(result.is_ok(), allowed, "{policy}");
        assert!((400..5000).contains(&took.as_millis()), "{took:?}");
        assert_eq!(stage.count("timeouts"), 1);
        // The scan goes on, and its verdict counts from when it is there.
        stage.signal_workers(guard, Signal::CONT);
        stage.wait("the verdict", |stage| stage.count("detected") >= 1);
        assert_denied(&infected);
    }
}

#[test]
fn a_file_that_is_replaced_meanwhile_is_another_file() {
    let Some(mut stage) = Stage::set() else { return };
    stage.guard("deadline-ms = 60000");
    let path = stage.write("file", b"the first one");
    let new = stage.write_eicar("new");
    let guard = stage.guard_pid();
    stage.signal_workers(guard, Signal::STOP);
    let first = path.clone();
    let opener = std::thread::spawn(move || read(first));
    stage.wait("somebody waits", |stage| stage.status()["waiting"] == 1);
    fs::rename(new, &path).unwrap();
    stage.signal_workers(guard, Signal::CONT);
    assert_eq!(opener.join().unwrap(), Ok(b"the first one".to_vec()));
    assert_denied(&path);
}

#[test]
fn two_hundred_at_once() {
    let Some(mut stage) = Stage::set() else { return };
    stage.guard("deadline-ms = 60000");
    let same = stage.write("same", b"everybody wants this one");
    let infected = stage.write_eicar("infected");
    let scans = stage.count("scans");
    let guard = stage.guard_pid();
    stage.signal_workers(guard, Signal::STOP);
    let openers: Vec<_> = (0..200)
        .map(|number| {
            let (path, clean) = match number % 4 {
                0 => (infected.clone(), false),
                1 => (stage.write(&format!("own{number}"), format!("{number}").as_bytes()), true),
                _ => (same.clone(), true),
            };
            std::thread::spawn(move || (read(path), clean))
        })
        .collect();
    stage.wait("all wait", |stage| stage.status()["waiting"] == 200);
    stage.signal_workers(guard, Signal::CONT);
    for opener in openers {
        let (result, clean) = opener.join().unwrap();
        assert_eq!(result.is_ok(), clean);
    }
    // One scan for each file, not for each opener.
    assert_eq!(stage.count("scans"), scans + 52);
    assert_eq!(stage.count("joined"), 148);
}

#[test]
fn two_guards_do_not_wait_for_each_other() {
    let Some(mut stage) = Stage::set() else { return };
    stage.guard("");
    let other = stage.temp.path().join("other.toml");
    let socket = stage.temp.path().join("other");
    fs::write(
        &other,
        format!("[onaccess]\nprotect = [{:?}]\nsocket = {socket:?}\nworkers = 1\n", stage.top),
    )
    .unwrap();
    let mut second = Command::new(HOLDFAST);
    second.args(["onaccess", "run", "--config"]).arg(&other).stderr(Stdio::null());
    let second = second.env("HOLDFAST_CACHE", stage.temp.path().join("cache")).spawn().unwrap();
    let second_pid = second.id();
    stage.adopt(second);
    stage.wait("the second one listens", |_| {
        let mut ask = Command::new(HOLDFAST);
        ask.args(["onaccess", "status", "--json", "--config"]).arg(&other);
        let output = ask.output().unwrap();
        String::from_utf8_lossy(&output.stdout).contains("\"error\":null")
    });
    let clean = stage.write("clean", b"nothing in here");
    let infected = stage.write_eicar("infected");
    assert_denied(&infected);
    for _ in 0..3 {
        assert_allowed(&clean);
    }
    // A dead one leaves the other alone.
    let guard = children(second_pid);
    send(second_pid, Signal::KILL);
    guard.into_iter().for_each(|pid| send(pid, Signal::KILL));
    assert_denied(stage.write_eicar("infected again"));
    assert_allowed(stage.write("clean again", b"nothing in here either"));
}

#[test]
fn a_mount_that_appears_is_guarded() {
    let Some(mut stage) = Stage::set() else { return };
    stage.guard("");
    let stick = stage.path("stick");
    fs::create_dir(&stick).unwrap();
    assert!(mount(&["-t", "tmpfs", "tmpfs"], &stick));
    let infected = stick.join("infected");
    fs::write(&infected, eicar()).unwrap();
    let text = stick.to_str().unwrap().to_owned();
    stage.wait("the stick is guarded", |stage| {
        stage.status()["mounts"].as_array().unwrap().iter().any(|one| one["path"] == text.as_str())
    });
    assert_denied(&infected);
    // The finding is told first, with the file in hand.
    stage.wait("it comes off", |_| {
        Command::new("umount").arg(&stick).stderr(Stdio::null()).status().unwrap().success()
    });
    stage
        .wait("the stick is gone", |stage| stage.status()["mounts"].as_array().unwrap().len() == 1);
    assert_denied(stage.write_eicar("infected"));
}

#[test]
fn an_overlay_is_guarded() {
    let Some(mut stage) = Stage::set() else { return };
    let at = |name: &str| stage.path(name);
    for name in ["lower", "upper", "work", "merged"] {
        fs::create_dir(at(name)).unwrap();
    }
    fs::write(at("lower/infected"), eicar()).unwrap();
    fs::write(at("lower/clean"), b"nothing in here").unwrap();
    let layers = format!(
        "lowerdir={},upperdir={},workdir={}",
        at("lower").display(),
        at("upper").display(),
        at("work").display()
    );
    let merged = at("merged");
    if !mount(&["-t", "overlay", "overlay", "-o", &layers], &merged) {
        eprintln!("skipped: no overlay");
        return;
    }
    stage.guard(&format!("protect = [{merged:?}]"));
    assert_denied(merged.join("infected"));
    for _ in 0..3 {
        assert_allowed(merged.join("clean"));
    }
    // Written to, it goes to the upper layer, and is another file below the same name.
    fs::write(merged.join("clean"), eicar()).unwrap();
    assert_denied(merged.join("clean"));
}

#[test]
fn exclusions_by_path_program_and_user() {
    let Some(mut stage) = Stage::set() else { return };
    let cat = fs::canonicalize("/bin/cat").unwrap();
    fs::create_dir(stage.path("build")).unwrap();
    stage.guard(&format!(
        "exclude-paths = [{:?}]\nexclude-processes = [{cat:?}]\nexclude-users = [\"nobody\"]\n\
         max-file-size = 100000",
        stage.path("build")
    ));
    let infected = stage.write_eicar("infected");
    fs::set_permissions(&infected, fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(&stage.top, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(stage.temp.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert_denied(&infected);
    assert_allowed(stage.write_eicar("build/infected"));
    // Not what only begins alike, nor what was moved out.
    assert_denied(stage.write_eicar("builder"));
    fs::rename(stage.path("build/infected"), stage.path("moved")).unwrap();
    assert_denied(stage.path("moved"));
    let reads = |command: &mut Command| {
        command
            .arg(&infected)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
    };
    assert!(reads(&mut Command::new(&cat)));
    // A copy elsewhere is another program, and so is another program that calls itself so.
    let copy = stage.temp.path().join("cat");
    fs::copy(&cat, &copy).unwrap();
    assert!(!reads(&mut Command::new(&copy)));
    assert!(!reads(Command::new("head").arg("-c1")));
    let as_nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "head", "-c1"];
    assert!(reads(Command::new("setpriv").args(as_nobody)));
    // Larger than is looked at.
    let large = stage.write("large", &[eicar(), b" ".repeat(200_000)].concat());
    assert_allowed(&large);
    assert_eq!(stage.count("too_large"), 1);
    assert!(stage.count("excluded") >= 3);
}

#[test]
fn settings_and_content_are_loaded_again() {
    let Some(mut stage) = Stage::set() else { return };
    let databases = stage.temp.path().join("databases");
    fs::create_dir(&databases).unwrap();
    // "first rule", "second rule".
    fs::write(databases.join("one.ndb"), "First.Rule:0:*:66697273742072756c65\n").unwrap();
    let database = format!("databases = [{databases:?}]");
    stage.guard(&database);
    let second = stage.write("second", b"here is the second rule");
    assert_denied(stage.write("first", b"here is the first rule"));
    assert_allowed(&second);
    assert_allowed(&second);
    fs::write(databases.join("two.ndb"), "Second.Rule:0:*:7365636f6e642072756c65\n").unwrap();
    assert!(stage.ask("reload").status.success());
    stage.wait("new content", |stage| stage.status()["content"]["generation"] == 2);
    // What was clean before is asked for again.
    assert_denied(&second);
    assert_denied(stage.path("first"));
    // Bad content and bad settings change nothing.
    stage.configure(&format!("{database}\nnonsense = 1"));
    assert!(
        Command::new(HOLDFAST)
            .args(["onaccess", "reload", "--socket"])
            .arg(stage.temp.path().join("socket"))
            .status()
            .unwrap()
            .success()
    );
    stage.wait("the refusal", |stage| stage.log().contains("settings stay as they are"));
    assert_denied(&second);
    stage.configure(&format!("{database}\nexclude-paths = [{second:?}]"));
    stage.ask("reload");
    stage.wait("new settings", |_| read(&second).is_ok());
    assert_denied(stage.path("first"));
}

#[test]
fn check_says_whether_it_is_blocking() {
    let Some(mut stage) = Stage::set() else { return };
    stage.configure("");
    let none = stage.ask("check");
    assert_eq!(none.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&none.stdout).contains("\"running\":false"));
    stage.guard("");
    let good = stage.ask("check");
    assert_eq!(good.status.code(), Some(0), "{}", String::from_utf8_lossy(&good.stdout));
    assert!(String::from_utf8_lossy(&good.stdout).contains("\"blocking\""));
    assert_eq!(fs::read_dir(&stage.top).unwrap().count(), 0, "nothing stays behind");
    stage.configure("prevention = false");
    stage.ask("reload");
    stage.wait("it only tells", |stage| stage.ask("check").status.code() == Some(2));
    let infected = stage.write_eicar("infected");
    assert_allowed(&infected);
    stage.wait("it is told", |stage| stage.log().contains("detected"));
    // A user without rights gets nothing out of the guard.
    let refused = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", HOLDFAST])
        .args(["onaccess", "status", "--socket"])
        .arg(stage.temp.path().join("socket"))
        .output()
        .unwrap();
    assert!(!refused.status.success());
}

#[test]
fn wrong_settings_are_refused_with_their_line() {
    let Some(stage) = Stage::set() else { return };
    let cases = [
        ("on-timeout = \"perhaps\"", "perhaps"),
        ("nonsense = 1", "nonsense"),
        ("protect = [\"relative\"]", "absolute"),
    ];
    for (line, word) in cases {
        stage.configure(line);
        let output = Command::new(HOLDFAST)
            .args(["onaccess", "run", "--config"])
            .arg(stage.config())
            .output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(word) && said.contains("holdfast.toml"), "{said}");
    }
}

#[test]
fn under_the_name_clamonacc() {
    let Some(mut stage) = Stage::set() else { return };
    let program = stage.temp.path().join("clamonacc");
    symlink(HOLDFAST, &program).unwrap();
    let conf = stage.temp.path().join("clamd.conf");
    let vault = stage.temp.path().join("vault");
    fs::create_dir(&vault).unwrap();
    fs::create_dir(stage.path("out")).unwrap();
    fs::write(
        &conf,
        format!(
            "LocalSocket /nowhere\nOnAccessIncludePath {}\nOnAccessExcludePath {}\n\
             OnAccessPrevention yes\nOnAccessExcludeUname nobody\nDatabaseDirectory {}\n",
            stage.top.display(),
            stage.path("out").display(),
            stage.temp.path().join("none").display(),
        ),
    )
    .unwrap();
    let log = stage.temp.path().join("log");
    let mut command = Command::new(&program);
    command.args(["--fdpass", "--foreground", "--config-file"]).arg(&conf).arg("--log").arg(&log);
    command.arg(format!("--move={}", vault.display())).stderr(Stdio::null());
    let child = command.env("HOLDFAST_CACHE", stage.temp.path().join("cache")).spawn().unwrap();
    stage.adopt(child);
    stage.wait("it guards", |stage| stage.log().contains("guards, with"));
    let infected = stage.write_eicar("infected");
    assert_denied(&infected);
    stage.wait("it is moved", |_| vault.join("infected").exists() && !infected.exists());
    assert_eq!(read(vault.join("infected")), Ok(eicar()));
    let line = format!("{}: ", infected.display());
    assert!(stage.log().lines().any(|one| one.contains(&line) && one.ends_with(" FOUND")));
    assert_allowed(stage.write_eicar("out/infected"));
    drop(File::open(&conf).unwrap());
}
