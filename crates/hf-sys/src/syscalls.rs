//! The system calls that a process may still make once it only computes, and the filter for them.
//!
//! Promises: whatever is not on the list ends the process at once. On the list is what memory
//! allocation, threads that already run, clocks, random seeds, an orderly or disorderly end, and
//! talking on one socket need. Opening, creating, running, tracing, signalling others, making memory
//! executable, io_uring, namespaces and every kind of network are not on it.
//! Leaves out: other processor families; there the filter says that it is not active.
//! Sources: seccomp(2); syscalls(2).

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// Installs the filter for all threads of the calling process. There is no way back.
///
/// Messages may be sent and received only on `socket`, and text written only to `diagnostics`.
///
/// # Errors
/// The processor family is unknown, or the kernel refuses.
pub fn compute_only(socket: i32, diagnostics: i32) -> io::Result<()> {
    let program = program(socket, diagnostics).map_err(io::Error::other)?;
    seccompiler::apply_filter_all_threads(&program).map_err(io::Error::other)
}

fn program(socket: i32, diagnostics: i32) -> Result<BpfProgram, seccompiler::BackendError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        ALLOWED.iter().map(|number| (*number, Vec::new())).collect();
    let mut only = |number: i64, conditions: Vec<SeccompCondition>| {
        rules.insert(number, vec![SeccompRule::new(conditions)?]);
        Ok::<(), seccompiler::BackendError>(())
    };
    let same = |arg: u8, value: i32| {
        let value = u64::from(value.cast_unsigned());
        SeccompCondition::new(arg, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
    };
    let bits = |arg: u8, mask: i32, value: i32| {
        let op = SeccompCmpOp::MaskedEq(u64::from(mask.cast_unsigned()));
        let value = u64::from(value.cast_unsigned());
        SeccompCondition::new(arg, SeccompCmpArgLen::Dword, op, value)
    };
    let pid = rustix::process::getpid().as_raw_nonzero().get();

    only(libc::SYS_sendmsg, vec![same(0, socket)?])?;
    only(libc::SYS_recvmsg, vec![same(0, socket)?])?;
    only(libc::SYS_write, vec![same(0, diagnostics)?])?;
    only(libc::SYS_writev, vec![same(0, diagnostics)?])?;
    // Private, so that a descriptor that happens to be writable is never written through a map;
    // and not of the huge pages that the bound on memory does not count.
    let kinds = libc::MAP_SHARED | libc::MAP_PRIVATE | libc::MAP_HUGETLB;
    let private = bits(3, kinds, libc::MAP_PRIVATE)?;
    only(libc::SYS_mmap, vec![bits(2, libc::PROT_EXEC, 0)?, private])?;
    only(libc::SYS_mprotect, vec![bits(2, libc::PROT_EXEC, 0)?])?;
    // `abort` sends its signal to the own thread; the thread id is not known, the process is.
    only(libc::SYS_tgkill, vec![same(0, pid)?, same(2, libc::SIGABRT)?])?;
    // A thread that was just started gives itself a name.
    only(libc::SYS_prctl, vec![same(0, libc::PR_SET_NAME)?])?;
    // The library checks with this whether a descriptor is open.
    only(libc::SYS_fcntl, vec![same(1, libc::F_GETFD)?])?;

    let (other, listed) = (SeccompAction::KillProcess, SeccompAction::Allow);
    SeccompFilter::new(rules, other, listed, arch)?.try_into()
}

/// System calls that are allowed with any arguments.
const ALLOWED: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_fstat,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_ppoll,
    libc::SYS_pread64,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
    libc::SYS_sysinfo,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiles_to_a_small_program() {
        let len = program(0, 2).unwrap().len();
        assert!((ALLOWED.len()..400).contains(&len), "{len}");
    }

    #[test]
    fn dangerous_calls_are_not_listed() {
        let dangerous = [
            libc::SYS_openat,
            libc::SYS_openat2,
            libc::SYS_socket,
            libc::SYS_connect,
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_clone,
            libc::SYS_clone3,
            libc::SYS_unshare,
            libc::SYS_ptrace,
            libc::SYS_process_vm_writev,
            libc::SYS_io_uring_setup,
            libc::SYS_io_uring_enter,
            libc::SYS_kill,
            libc::SYS_pidfd_send_signal,
            libc::SYS_memfd_create,
            libc::SYS_pkey_mprotect,
            libc::SYS_personality,
            libc::SYS_shmat,
            libc::SYS_userfaultfd,
            libc::SYS_bpf,
            libc::SYS_prctl,
            libc::SYS_seccomp,
            libc::SYS_ioctl,
            libc::SYS_ftruncate,
            libc::SYS_pwrite64,
            libc::SYS_unlinkat,
            libc::SYS_prlimit64,
        ];
        for number in dangerous {
            assert!(!ALLOWED.contains(&number), "{number}");
        }
    }
}
