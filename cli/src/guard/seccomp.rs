//! seccomp: system calls that a sensor never makes.
//!
//! A list of what is denied, not of what is allowed: what libpcap, the resolver and the C library call differs from system to system and
//! from year to year, and a sensor that dies of an update watches nothing. What is denied answers EPERM, as it mostly would
//! anyway without capabilities; so the second wall stands where there is a hole in the first.

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter,
};

use super::Measure;

const NAME: &str = "system calls";

/// What no sensor does.
const DENIED: &[i64] = &[
    // Starting programs.
    libc::SYS_execve,
    libc::SYS_execveat,
    // Looking into other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_perf_event_open,
    // Other views of the file system, and ways around its permissions.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_quotactl,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    // The kernel itself.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    libc::SYS_kexec_file_load,
    libc::SYS_bpf,
    libc::SYS_reboot,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_personality,
    // Parts of the kernel that are large, and in which ways to more rights were found again and again.
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // Being somebody else.
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_setgroups,
    libc::SYS_capset,
    // What only x86 has.
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
];

/// The x32 ABI's system calls come under x86-64's architecture with this bit set. They are the same but for some that have numbers of
/// their own, execve among them; a program that is not of that ABI makes none of either.
#[cfg(target_arch = "x86_64")]
const X32: i64 = 0x4000_0000;
#[cfg(target_arch = "x86_64")]
const X32_ALONE: std::ops::RangeInclusive<i64> = 512..=547;

/// Denies these system calls from now on.
pub fn restrict() -> Measure {
    match install() {
        Ok(count) => Measure::holds(NAME, format!("{count} denied that are not needed")),
        Err(error) => Measure::fails(NAME, format!("not restricted: {error}")),
    }
}

fn install() -> Result<usize, seccompiler::Error> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    let mut rules: Vec<_> = numbers().map(|number| (number, Vec::new())).collect();
    // A new process is denied, a thread is not.
    let is_process = SeccompCondition::new(
        0,
        SeccompCmpArgLen::Qword,
        SeccompCmpOp::MaskedEq(u64::from(libc::CLONE_THREAD.cast_unsigned())),
        0,
    )?;
    rules.push((libc::SYS_clone, vec![SeccompRule::new(vec![is_process])?]));
    let denied = filter(rules, libc::EPERM, architecture)?;
    // Its flags lie in memory, where no filter can look: as if there were none, so that clone is called instead.
    let unknown = filter(vec![(libc::SYS_clone3, Vec::new())], libc::ENOSYS, architecture)?;
    apply_filter(&unknown)?;
    apply_filter(&denied)?;
    Ok(DENIED.len() + 2)
}

fn numbers() -> impl Iterator<Item = i64> {
    let denied = DENIED.iter().copied();
    #[cfg(target_arch = "x86_64")]
    let denied = denied
        .chain([libc::SYS_clone, libc::SYS_clone3].map(|number| number | X32))
        .chain(DENIED.iter().map(|number| number | X32))
        .chain(X32_ALONE.map(|number| number | X32));
    denied
}

fn filter(
    rules: Vec<(i64, Vec<SeccompRule>)>,
    answer: i32,
    architecture: TargetArch,
) -> Result<BpfProgram, seccompiler::BackendError> {
    let answer = SeccompAction::Errno(answer.cast_unsigned());
    SeccompFilter::new(rules.into_iter().collect(), SeccompAction::Allow, answer, architecture)?.try_into()
}
