//! Clients from PyPI (`clamd`, `pyclamd`) and npm (`clamscan`, `clamdjs`), fetched by their ordinary tools.
//!
//! Only when `HOLDFAST_FETCH_CLIENTS` is set, and passed over when they do not come in time: whether a registry can be
//! reached is not ours.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::server::{NAME, Server};

#[test]
fn python_clients() {
    if !wanted() || !there("python3") {
        return;
    }
    let server = Server::start();
    let folder = server.at("python");
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]);
    if !fetched(pip.arg("--target").arg(&folder).args(["clamd==1.0.2", "pyclamd==0.4.0"])) {
        return;
    }
    let mut python = Command::new("python3");
    let said = server.run(
        python
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/fetched.py"))
            .arg(&folder)
            .arg(&server.socket)
            .args([server.at("tree/good"), server.at("tree/bad"), server.at("tree")]),
    );
    let found = format!("('FOUND', '{NAME}')");
    let stream = format!("clamd stream {{'stream': {found}}}");
    let pystream = format!("pyclamd stream {{'stream': {found}}}");
    said.check(
        0,
        &[
            "clamd ping PONG",
            "clamd version ClamAV ",
            "clamd stats True",
            "clamd contscan 2",
            "clamd multiscan 2",
            &stream,
            "clamd clean {'stream': ('OK', None)}",
            "clamd reload RELOADING",
            "pyclamd ping True",
            &pystream,
            "pyclamd clean None",
            "pyclamd multi 2",
        ],
    );
}

#[test]
fn node_clients() {
    if !wanted() || !there("node") || !there("npm") {
        return;
    }
    let server = Server::start();
    let folder = server.at("node");
    std::fs::create_dir(&folder).expect("a folder can be made");
    let mut npm = Command::new("npm");
    npm.args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]);
    if !fetched(npm.arg(&folder).args(["clamscan@2.4.0", "clamdjs@1.0.2"])) {
        return;
    }
    let mut node = Command::new("node");
    let said = server.run(
        node.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/fetched.js"))
            .arg(&folder)
            .arg(&server.socket)
            .arg(server.port.to_string())
            .args([server.at("tree/good"), server.at("tree/bad")]),
    );
    let viruses = format!("[\"{NAME}\"]");
    said.check(
        0,
        &[
            "clamscan version ClamAV ",
            &format!("clamscan bad {viruses}"),
            "clamscan good false",
            &format!("clamscan stream {viruses}"),
            "clamdjs ping true",
            &format!("clamdjs bad \"stream: {NAME} FOUND"),
            "clamdjs good \"stream: OK",
        ],
    );
}

fn wanted() -> bool {
    let wanted = std::env::var_os("HOLDFAST_FETCH_CLIENTS").is_some();
    if !wanted {
        println!("skipped: HOLDFAST_FETCH_CLIENTS is not set");
    }
    wanted
}

/// Also in CI these are passed over: which Node there is, is not ours.
fn there(program: &str) -> bool {
    let ran = Command::new(program).arg("--version").output();
    let there = ran.is_ok_and(|output| output.status.success());
    if !there {
        println!("skipped: there is no {program} on this machine");
    }
    there
}

/// Runs a command that fetches; false when it fails or takes too long.
fn fetched(command: &mut Command) -> bool {
    let mut child = command.stdin(Stdio::null()).spawn().expect("it is installed");
    let until = Instant::now() + FETCH_MAX;
    while Instant::now() < until {
        if let Some(status) = child.try_wait().expect("it can be asked") {
            if !status.success() {
                println!("skipped: the clients could not be fetched");
            }
            return status.success();
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let _ = child.kill();
    let _ = child.wait();
    println!("skipped: the clients could not be fetched in time");
    false
}

const FETCH_MAX: Duration = Duration::from_secs(90);
