//! Workers in an enemy's hand.

use std::io::{Read as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use hf_core::Report;
use hf_worker::{Worker, WorkerConfig};

use crate::toy::{config, hit, job, said};

pub(crate) const TESTS: &[(&str, fn())] = &[("malicious_workers", malicious_workers)];

/// Workers in an enemy's hand: garbage costs them their life and one object an error.
fn malicious_workers() {
    for how in ["garbage", "huge", "wrong-id", "twice-ready", "descriptors", "index", "silent"] {
        let args = vec!["--evil".into(), how.into()];
        let mut config = WorkerConfig { args, ..config() };
        config.limits.deadline_ms = 300;
        let mut worker = Worker::spawn(Arc::new(config)).unwrap();
        (0..2).for_each(|id| worker.submit(job(id, b"ok:Fine")));
        for _ in 0..2 {
            let answer = worker.answer().unwrap();
            let said = said(&answer);
            let want = if how == "silent" { "deadline" } else { "worker killed: malformed" };
            assert!(said.contains(want), "{how}: {said}");
        }
    }
}

/// Speaks the protocol up to the first request and then breaks it.
pub(crate) fn worker(how: &str) -> ExitCode {
    use std::os::fd::AsFd as _;

    use hf_ipc::{Channel, FromWorker, ToWorker};

    let socket = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let mut raw = std::os::unix::net::UnixStream::from(socket.try_clone().unwrap());
    let mut channel = Channel::<FromWorker, ToWorker>::new(socket);
    channel.receive(None).unwrap();
    channel.send(&ready(), &[], None).unwrap();
    let (ToWorker::Scan(requests), _files) = channel.receive(None).unwrap() else {
        return ExitCode::FAILURE;
    };
    let answer = |id, report| FromWorker::Report { id, report: Box::new(report) };
    match how {
        "garbage" => raw.write_all(&[0x5a; 4096]).unwrap(),
        "huge" => raw.write_all(b"HFW1\x02\0\0\0\xff\xff\xff\xff").unwrap(),
        "wrong-id" => channel.send(&answer(77, Report::default()), &[], None).unwrap(),
        "twice-ready" => channel.send(&ready(), &[], None).unwrap(),
        "descriptors" => {
            use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
            let mut space = [std::mem::MaybeUninit::uninit(); 64];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let descriptor = [raw.as_fd()];
            control.push(SendAncillaryMessage::ScmRights(&descriptor));
            let bytes = [std::io::IoSlice::new(b"HFW1")];
            rustix::net::sendmsg(&raw, &bytes, &mut control, SendFlags::empty()).unwrap();
        }
        "index" => {
            let mut report = hit("Bad");
            report.hits[0].object = 9;
            channel.send(&answer(requests[0].id, report), &[], None).unwrap();
        }
        _ => {}
    }
    // Waits to be killed.
    let _ = raw.read(&mut [0; 1]);
    std::thread::sleep(Duration::from_secs(60));
    ExitCode::SUCCESS
}

fn ready() -> hf_ipc::FromWorker {
    hf_ipc::FromWorker::Ready { protections: Vec::new(), warnings: Vec::new() }
}
