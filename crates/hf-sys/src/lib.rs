//! Safe wrappers of Linux mechanisms: maps, sealed memory, seccomp, Landlock, pidfd, openat2.
