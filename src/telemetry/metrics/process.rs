//! What the kernel knows of this process: CPU, memory, file descriptors and threads.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, IntGauge, Opts};
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// Asks at every scrape. What the kernel does not tell stays as it was.
#[derive(Debug)]
pub(super) struct Process {
    cpu: Counter,
    open_files: IntGauge,
    most_files: IntGauge,
    virtual_memory: IntGauge,
    resident_memory: IntGauge,
    start: IntGauge,
    threads: IntGauge,
}

/// Two fields of `/proc/self/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    threads: i64,
    /// Ticks between the machine's start and this process'.
    start: u64,
}

impl Process {
    pub(super) fn new() -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str| IntGauge::with_opts(Opts::new(name, help));
        let process = Self {
            cpu: Counter::with_opts(Opts::new(
                "process_cpu_seconds_total",
                "User and system CPU time spent.",
            ))?,
            open_files: gauge("process_open_fds", "Open file descriptors.")?,
            most_files: gauge("process_max_fds", "As many file descriptors may be open.")?,
            virtual_memory: gauge("process_virtual_memory_bytes", "Virtual memory.")?,
            resident_memory: gauge("process_resident_memory_bytes", "Resident memory.")?,
            start: gauge("process_start_time_seconds", "When the process began, Unix time.")?,
            threads: gauge("process_threads", "Threads of the operating system.")?,
        };
        if let Some(start) = start() {
            process.start.set(start);
        }
        Ok(process)
    }

    fn families(&self) -> [&dyn Collector; 7] {
        [
            &self.cpu,
            &self.open_files,
            &self.most_files,
            &self.virtual_memory,
            &self.resident_memory,
            &self.start,
            &self.threads,
        ]
    }

    fn look(&self) {
        let spent = clock_gettime(ClockId::ProcessCPUTime);
        let spent = spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9;
        // Of two scrapes at a time the later may come first.
        self.cpu.inc_by((spent - self.cpu.get()).max(0.0));
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            // One is the folder's own.
            self.open_files.set(files.count() as i64 - 1);
        }
        if let Some(most) = getrlimit(Resource::Nofile).current {
            self.most_files.set(i64::try_from(most).unwrap_or(i64::MAX));
        }
        if let Some([size, resident]) = memory() {
            self.virtual_memory.set(size);
            self.resident_memory.set(resident);
        }
        if let Some(stat) = own_stat() {
            self.threads.set(stat.threads);
        }
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.families().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.look();
        self.families().into_iter().flat_map(Collector::collect).collect()
    }
}

impl Stat {
    /// The second field is the program's name in brackets, which may hold anything.
    fn read(line: &str) -> Option<Self> {
        let mut fields = line.rsplit_once(')')?.1.split_ascii_whitespace();
        let threads = fields.nth(17)?.parse().ok()?;
        let start = fields.nth(1)?.parse().ok()?;
        Some(Self { threads, start })
    }
}

fn own_stat() -> Option<Stat> {
    Stat::read(&fs::read_to_string("/proc/self/stat").ok()?)
}

/// Virtual and resident memory in bytes.
fn memory() -> Option<[i64; 2]> {
    let pages = fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = pages.split_ascii_whitespace().map(str::parse::<i64>);
    let page = i64::try_from(page_size()).ok()?;
    Some([pages.next()?.ok()? * page, pages.next()?.ok()? * page])
}

fn start() -> Option<i64> {
    let after_boot = own_stat()?.start / clock_ticks_per_second();
    let running = clock_gettime(ClockId::Boottime).tv_sec - i64::try_from(after_boot).ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(i64::try_from(now.as_secs()).ok()? - running)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_programs_name_may_hold_brackets_and_blanks() {
        let after = "S 1 2 3 4 -1 6 7 8 9 10 11 12 13 14 20 0 7 0 4711 21 22";
        let line = format!("42 (a ) R) (b) {after}");
        assert_eq!(Stat::read(&line), Some(Stat { threads: 7, start: 4711 }));
        assert_eq!(Stat::read("42 (short) S 1"), None);
    }

    #[test]
    fn p31_the_process_tells_of_itself() {
        let process = Process::new().expect("names that fit");
        let families = process.collect();
        let value = |name: &str| {
            let family = families.iter().find(|family| family.name() == name).expect(name);
            let metric = &family.get_metric()[0];
            metric.get_gauge().get_value() + metric.get_counter().get_value()
        };
        assert!(value("process_cpu_seconds_total") > 0.0);
        assert!((3.0..100_000.0).contains(&value("process_open_fds")));
        assert!(value("process_max_fds") >= value("process_open_fds"));
        assert!(value("process_resident_memory_bytes") > 1_000_000.0);
        assert!(value("process_virtual_memory_bytes") > value("process_resident_memory_bytes"));
        assert!(value("process_threads") >= 1.0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
        assert!((now - 600.0..now + 2.0).contains(&value("process_start_time_seconds")));
    }
}
