//! What the kernel tells of a process, in `/proc`.

use std::fs;

/// A field of its status, in KiB: `VmRSS:` is the memory in use.
pub fn status_kb(pid: u32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(field))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Processor time used so far by all threads that it has, in seconds.
pub fn cpu_s(pid: u32) -> Option<f64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten();
    let times = tasks.filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok());
    let time_ns = times.filter_map(|time| time.split(' ').next()?.parse::<u64>().ok());
    Some(time_ns.sum::<u64>() as f64 / 1e9)
}

/// How many files and sockets it has open.
pub fn fd_count(pid: u32) -> Option<usize> {
    Some(fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count())
}

/// Whether it is there, and no zombie.
pub fn is_alive(pid: u32) -> bool {
    state(pid).is_some_and(|state| state != 'Z')
}

/// What it does: `S` sleeps, `T` is stopped by a signal.
pub fn state(pid: u32) -> Option<char> {
    state_in(&format!("/proc/{pid}"))
}

/// Whether all threads of it are stopped by a signal: each is when it is there for it.
pub fn is_stopped(pid: u32) -> bool {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks.map(|task| task.path()).all(|path| state_in(&path.to_string_lossy()) == Some('T'))
}

/// The processes of a group.
pub fn group(leader: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_of = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
        fields.split(' ').nth(2).is_some_and(|group| group.parse() == Ok(leader))
    };
    pids.filter(is_of).collect()
}

fn state_in(folder: &str) -> Option<char> {
    let stat = fs::read_to_string(format!("{folder}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}
