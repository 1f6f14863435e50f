//! The machine that a figure belongs to.

use std::fs::read_to_string;
use std::thread::available_parallelism;

use crate::figures;

/// Processor, cores, memory, kernel and load, in one line; what cannot be found out is left out.
pub fn describe() -> String {
    let cores = available_parallelism().map_or(0, usize::from);
    let memory = field("/proc/meminfo", "MemTotal").and_then(|value| kibibytes(&value));
    let facts = [
        field("/proc/cpuinfo", "model name"),
        Some(format!("{cores} cores")),
        memory.map(|octets| format!("{} of memory", figures::mebibytes(octets))),
        kernel(),
        load().map(|load| format!("load {load} before")),
    ];
    facts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

/// `Linux 6.18`.
fn kernel() -> Option<String> {
    let release = read_to_string("/proc/sys/kernel/osrelease").ok()?;
    let numbers: Vec<&str> = release.trim().split('.').take(2).collect();
    Some(format!("Linux {}", numbers.join(".")))
}

/// Processes that ran or wanted to, on average over the last minute: above 0, others were at work, too.
pub fn load() -> Option<String> {
    read_to_string("/proc/loadavg").ok()?.split(' ').next().map(str::to_owned)
}

/// Octets of memory that this process has now.
pub fn resident() -> Option<u64> {
    kibibytes(&field("/proc/self/status", "VmRSS")?)
}

/// Octets of memory that this process had at most.
pub fn peak_resident() -> Option<u64> {
    kibibytes(&field("/proc/self/status", "VmHWM")?)
}

/// Octets of memory that another process has now.
pub fn resident_of(process: u32) -> Option<u64> {
    kibibytes(&field(&format!("/proc/{process}/status"), "VmRSS")?)
}

/// Octets of memory that another process had at most.
pub fn peak_resident_of(process: u32) -> Option<u64> {
    kibibytes(&field(&format!("/proc/{process}/status"), "VmHWM")?)
}

/// Lets [`peak_resident`] begin again at what this process has now: programs that it starts inherit its peak. False where
/// the kernel does not offer it.
pub fn forget_peak() -> bool {
    // "5" resets VmHWM: proc_pid_clear_refs(5).
    std::fs::write("/proc/self/clear_refs", "5").is_ok()
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = read_to_string(file).ok()?;
    let (_, value) =
        text.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| key.trim() == name)?;
    Some(value.trim().to_owned())
}

fn kibibytes(value: &str) -> Option<u64> {
    value.strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
