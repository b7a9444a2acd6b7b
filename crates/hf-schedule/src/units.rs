//! Tasks as timers of systemd. Sources: systemd.timer(5), systemd.service(5), systemd.exec(5).

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::store::replace;
use crate::task::Task;

/// Returns the names of service and timer.
#[must_use]
pub fn names(task: &str) -> [String; 2] {
    [format!("holdfast-scan-{task}.service"), format!("holdfast-scan-{task}.timer")]
}

/// Returns the text of the service; `program` is the absolute path of `holdfast`.
#[must_use]
pub fn service(task: &Task, program: &Path) -> String {
    let name = &task.name;
    // In a unit, % and $ and white space would mean something.
    let program = program.to_string_lossy().replace('%', "%%").replace('$', "$$");
    let idle =
        if task.idle { "Nice=19\nCPUSchedulingPolicy=idle\nIOSchedulingClass=idle\n" } else { "" };
    format!(
        "# Written by `holdfast schedule`; changes are lost.\n\
         [Unit]\n\
         Description=Holdfast scan {name}\n\
         Documentation=man:holdfast-schedule(1)\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         ExecStart=\"{program}\" schedule run --due {name}\n\
         # Something was found, or not all was looked at: told, and no failure of the service.\n\
         SuccessExitStatus=1 3\n\
         {idle}{SANDBOX}"
    )
}

/// What a scan has no use for. It reads everything, also in /tmp, homes and /usr, and takes away what it finds
/// there; its workers become nobody and leave namespaces. Sources: systemd.exec(5), capabilities(7).
const SANDBOX: &str = "\
NoNewPrivileges=yes
CapabilityBoundingSet=CAP_SYS_ADMIN CAP_DAC_READ_SEARCH CAP_DAC_OVERRIDE CAP_FOWNER CAP_CHOWN CAP_SETUID CAP_SETGID CAP_SETPCAP CAP_KILL CAP_SYS_NICE CAP_SYS_PTRACE
AmbientCapabilities=
RestrictNamespaces=user net ipc uts
SystemCallArchitectures=native
SystemCallFilter=@system-service capset landlock_create_ruleset landlock_add_rule landlock_restrict_self seccomp
SystemCallFilter=~@clock @cpu-emulation @debug @module @mount @obsolete @raw-io @reboot @swap
SystemCallErrorNumber=EPERM
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
KeyringMode=private
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX
IPAddressDeny=any
";

/// Returns the text of the timer; none for a task on demand.
#[must_use]
pub fn timer(task: &Task) -> Option<String> {
    let name = &task.name;
    let calendar = task.when.on_calendar()?;
    Some(format!(
        "# Written by `holdfast schedule`; changes are lost.\n\
         [Unit]\n\
         Description=Holdfast scan {name}, {when}\n\
         Documentation=man:holdfast-schedule(1)\n\
         \n\
         [Timer]\n\
         OnCalendar={calendar}\n\
         # A run that the end of the machine stopped goes on after its start.\n\
         OnBootSec=10min\n\
         # What was due while the machine was off is caught up.\n\
         Persistent=true\n\
         AccuracySec=1min\n\
         \n\
         [Install]\n\
         WantedBy=timers.target\n",
        when = task.when,
    ))
}

fn folder(root: &Path) -> PathBuf {
    root.join("etc/systemd/system")
}

/// Writes the units of a task below `root`, and has the timer started at boot.
///
/// # Errors
/// They cannot be written.
pub fn install(task: &Task, program: &Path, root: &Path) -> io::Result<()> {
    let folder = folder(root);
    let [service_name, timer_name] = names(&task.name);
    let wants = folder.join("timers.target.wants");
    let Some(timer) = timer(task) else { return remove(&task.name, root) };
    fs::create_dir_all(&wants)?;
    replace(&folder.join(&service_name), 0o644, service(task, program).as_bytes())?;
    replace(&folder.join(&timer_name), 0o644, timer.as_bytes())?;
    match symlink(Path::new("..").join(&timer_name), wants.join(&timer_name)) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        done => done,
    }
}

/// Removes the units of a task below `root`.
///
/// # Errors
/// They are there and cannot be removed.
pub fn remove(task: &str, root: &Path) -> io::Result<()> {
    let folder = folder(root);
    let [service, timer] = names(task);
    let all =
        [folder.join("timers.target.wants").join(&timer), folder.join(timer), folder.join(service)];
    all.iter().try_for_each(|path| match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    })
}
