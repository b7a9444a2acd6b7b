//! The guard's parent: starts it again when it dies, and kills it when it shows no sign of life.
//!
//! To a service manager it is ready when the guard protects.
//! A guard that is stopped (as by `SIGSTOP`) holds up everybody who opens a file, and cannot help itself.

use std::io::{self, Read as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hf_sys::notify::{notify, watchdog};
use hf_sys::signals::{Signal, Signals};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::Pid;

/// Runs `command` as the guard, whose standard input is the other end of a pipe on which it writes signs
/// of life, until it ends in order or a signal says so; returns its exit code. `tell` gets lines for
/// people.
///
/// # Errors
/// The guard cannot be started, or died several times at once after its start.
pub fn supervise(mut command: impl FnMut() -> Command, tell: impl Fn(&str)) -> io::Result<u8> {
    let mut signals = Signals::take()?;
    let mut early_deaths = 0u32;
    loop {
        let begun = Instant::now();
        let (life, theirs) = rustix::pipe::pipe_with(
            rustix::pipe::PipeFlags::CLOEXEC | rustix::pipe::PipeFlags::NONBLOCK,
        )?;
        let mut command = command();
        command.stdin(Stdio::from(theirs));
        let mut child = command.spawn()?;
        drop(command);
        match watch(&mut child, std::fs::File::from(life), &mut signals)? {
            End::Asked(code) => return Ok(code),
            End::Exited(code) if code != 0 && begun.elapsed() < EARLY => return Ok(code),
            End::Exited(0) => return Ok(0),
            End::Exited(code) => {
                tell(&format!("the guard ended with code {code}; it is started again"))
            }
            End::Died(why) => {
                early_deaths =
                    if begun.elapsed() < EARLY { early_deaths.saturating_add(1) } else { 0 };
                if early_deaths >= EARLY_DEATHS_MAX {
                    return Err(io::Error::other(format!("the guard dies again and again: {why}")));
                }
                notify(
                    "STATUS=The guard died and is started again: files are not guarded meanwhile.",
                );
                tell(&format!("the guard died ({why}); it is started again"));
            }
        }
    }
}

enum End {
    Asked(u8),
    Exited(u8),
    Died(String),
}

/// Waits for the end of one guard.
fn watch(child: &mut Child, mut life: std::fs::File, signals: &mut Signals) -> io::Result<End> {
    let mut asked: Option<Instant> = None;
    // It beats from when it protects; until then it may build content for minutes.
    let mut last: Option<Instant> = None;
    let watched = watchdog().is_some();
    let tick = Timespec::try_from(Duration::from_millis(500)).map_err(io::Error::other)?;
    loop {
        let mut polled = [PollFd::new(&life, PollFlags::IN), PollFd::new(&*signals, PollFlags::IN)];
        match rustix::event::poll(&mut polled, Some(&tick)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let mut beats = [0u8; 64];
        let closed = match life.read(&mut beats) {
            Ok(0) => true,
            Ok(_) => {
                if last.is_none() {
                    notify("READY=1\nSTATUS=Guarding.");
                }
                last = Some(Instant::now());
                false
            }
            Err(_) => false,
        };
        if watched {
            notify("WATCHDOG=1");
        }
        while let Some(signal) = signals.arrived() {
            let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            let passed = match signal {
                Signal::Reload => rustix::process::Signal::HUP,
                Signal::End => {
                    notify("STOPPING=1");
                    asked.get_or_insert_with(Instant::now);
                    rustix::process::Signal::TERM
                }
            };
            if let Some(pid) = pid {
                // It is our child and not waited for yet: the number is still its.
                let _ = rustix::process::kill_process(pid, passed);
            }
        }
        let silent = last.is_some_and(|at| at.elapsed() > SILENCE)
            || asked.is_some_and(|at| at.elapsed() > SILENCE);
        if silent {
            child.kill()?;
        }
        let status = if closed || silent { Some(child.wait()?) } else { child.try_wait()? };
        if let Some(status) = status {
            return Ok(match (status.code(), asked) {
                (Some(code), Some(_)) => End::Asked(u8::try_from(code).unwrap_or(2)),
                (None, Some(_)) => End::Asked(0),
                (Some(code), None) => End::Exited(u8::try_from(code).unwrap_or(2)),
                (None, None) if silent => End::Died("no sign of life".to_owned()),
                (None, None) => End::Died(status.to_string()),
            });
        }
    }
}

/// Ours: a guard that beats once a second is not there after this.
const SILENCE: Duration = Duration::from_secs(8);

/// Ours: who dies sooner has not come far.
const EARLY: Duration = Duration::from_secs(5);

/// Ours.
const EARLY_DEATHS_MAX: u32 = 5;
