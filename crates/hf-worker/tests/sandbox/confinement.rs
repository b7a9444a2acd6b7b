//! What a worker cannot do, and what is said where the kernel cannot stop it.

use std::process::ExitCode;
use std::sync::Arc;

use hf_worker::{Confinement, SpawnError, Worker, WorkerConfig, run_worker, selftest};

use crate::toy::{check, config, make};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("every_protection_is_named", every_protection_is_named),
    ("the_kernel_agrees", the_kernel_agrees),
    ("an_old_kernel_is_told_of", an_old_kernel_is_told_of),
    ("the_self_test_holds", the_self_test_holds),
    ("the_self_test_can_fail", the_self_test_can_fail),
];

fn every_protection_is_named() {
    let worker = Worker::spawn(Arc::new(config())).unwrap();
    let names: Vec<&str> = worker.protections().iter().map(|one| one.name.as_str()).collect();
    for one in worker.protections() {
        println!(
            "  {}: {} ({})",
            one.name,
            if one.active { "active" } else { "MISSING" },
            one.detail
        );
    }
    for name in ["seccomp", "Landlock", "bounds", "lifeline", "namespaces", "no new privileges"] {
        assert!(names.contains(&name), "{name}");
    }
    let seccomp = worker.protections().iter().find(|one| one.name == "seccomp").unwrap();
    assert!(seccomp.active);
}

fn the_self_test_holds() {
    for row in selftest(&config()).unwrap() {
        println!("  {}: {}", row.asked, row.parent_reported);
        assert!(row.stopped, "{row:?}");
    }
}

/// Without confinement the same attempts succeed, so a row that says *stopped* means something.
fn the_self_test_can_fail() {
    let config = WorkerConfig { confinement: Confinement::Off, ..config() };
    let rows = selftest(&config).unwrap();
    for asked in [
        "open a network socket",
        "open a file",
        "create a file",
        "start a program",
        "fork",
        "make memory executable",
        "use more memory than allowed",
    ] {
        let row = rows.iter().find(|row| row.asked == asked).unwrap();
        assert!(!row.stopped, "{row:?}");
    }
}

/// The kernel's own account of the worker, of threads that ran before the confinement too.
fn the_kernel_agrees() {
    let config = WorkerConfig { extra: b"thread".to_vec(), ..config() };
    // Often, because a thread may be confined in the middle of its start.
    for _ in 0..50 {
        drop(Worker::spawn(Arc::new(config.clone())).unwrap());
    }
    check(config.clone(), &[("ok:Fine", "Fine"), ("panic", "worker died"), ("ok:Fine", "Fine")]);
    let worker = Worker::spawn(Arc::new(config)).unwrap();
    let tasks = format!("/proc/{}/task", worker.process_id().unwrap());
    let tasks: Vec<_> =
        std::fs::read_dir(tasks).unwrap().map(|task| task.unwrap().path()).collect();
    assert_eq!(tasks.len(), 2);
    for task in tasks {
        let status = std::fs::read_to_string(task.join("status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_ascii_whitespace().skip(1).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(field("Seccomp:"), "2");
        assert_eq!(field("NoNewPrivs:"), "1");
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(field(set), "0000000000000000", "{set}");
        }
        assert!(!field("Uid:").split(' ').any(|uid| uid == "0"), "{}", field("Uid:"));
    }
    let limits = format!("/proc/{}/limits", worker.process_id().unwrap());
    let limits = std::fs::read_to_string(limits).unwrap();
    for line in ["Max file size             0                    0", "Max core file size        0"]
    {
        assert!(limits.contains(line), "{limits}");
    }
}

/// Is a worker on a kernel without seccomp, Landlock, namespaces and close_range.
pub(crate) fn worker_on_an_old_kernel() -> ExitCode {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

    let missing = [
        libc::SYS_seccomp,
        libc::SYS_landlock_create_ruleset,
        libc::SYS_unshare,
        libc::SYS_close_range,
    ];
    let rules = missing.into_iter().map(|number| (number, Vec::new())).collect();
    let nosys = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let arch = TargetArch::try_from(std::env::consts::ARCH).unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, nosys, arch).unwrap();
    let program = BpfProgram::try_from(filter).unwrap();
    seccompiler::apply_filter(&program).unwrap();
    run_worker(make)
}

fn an_old_kernel_is_told_of() {
    let on_old = |confinement| {
        let args = vec!["--old-kernel".into()];
        Worker::spawn(Arc::new(WorkerConfig { args, confinement, ..config() }))
    };
    let Err(SpawnError::Refused(why)) = on_old(Confinement::Required) else {
        panic!("an unconfined worker was accepted");
    };
    assert!(why.starts_with("seccomp is not available: "), "{why}");
    let worker = on_old(Confinement::Offered).unwrap();
    let inactive: Vec<&str> = worker
        .protections()
        .iter()
        .filter(|one| !one.active)
        .map(|one| one.name.as_str())
        .collect();
    assert_eq!(inactive, ["descriptors", "namespaces", "Landlock", "seccomp"]);
    worker.end();
}
