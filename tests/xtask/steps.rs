//! Commands, one after the other or in two lanes at once: what each is, how long it took, what it said.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::root;

/// Commands that run one after the other. A lane whose neighbour failed begins no further one.
pub struct Lane<'a> {
    all: &'a Steps,
    /// What its commands say appears at once; else as a whole when each has ended, so that two lanes do not mix.
    live: bool,
}

/// What was run, over all lanes.
#[derive(Default)]
pub struct Steps {
    failed: AtomicBool,
    taken: Mutex<Vec<(String, f64)>>,
}

impl Steps {
    /// A lane whose commands say what they say at once.
    pub fn live(&self) -> Lane<'_> {
        Lane { all: self, live: true }
    }

    /// A lane whose commands' words appear when they have ended.
    pub fn kept_back(&self) -> Lane<'_> {
        Lane { all: self, live: false }
    }

    /// Runs two lanes at once; the first failure is told.
    ///
    /// # Errors
    /// Of either.
    pub fn both(
        &self,
        live: impl FnOnce(&Lane<'_>) -> Result<(), String>,
        kept_back: impl FnOnce(&Lane<'_>) -> Result<(), String> + Send,
    ) -> Result<(), String> {
        let noted = |result: Result<(), String>| {
            self.failed.fetch_or(result.is_err(), Ordering::Relaxed);
            result
        };
        std::thread::scope(|scope| {
            let other = scope.spawn(move || noted(kept_back(&self.kept_back())));
            let first = noted(live(&self.live()));
            let other = other.join().unwrap_or_else(|_| Err("a lane panicked".into()));
            match (first, other) {
                (Err(one), Err(another)) => Err(format!("{one}; {another}")),
                (first, other) => first.and(other),
            }
        })
    }

    /// Where the time went, the longest first.
    pub fn tell(&self) {
        let mut taken = self.taken.lock().map(|taken| taken.clone()).unwrap_or_default();
        taken.sort_by(|a, b| b.1.total_cmp(&a.1));
        println!("xtask: where the time went:");
        taken.iter().filter(|(_, seconds)| *seconds >= 1.0).for_each(|(shown, s)| println!("{s:>7.0} s  {shown}"));
        if let Some(seconds) = processor_seconds() {
            println!("{seconds:>7.0} s  of processors, all together");
        }
    }
}

impl Lane<'_> {
    /// Runs a command in the root of the workspace.
    ///
    /// # Errors
    /// It could not start or did not end well.
    pub fn step(&self, program: &str, arguments: &[&str], environment: &[(String, &str)]) -> Result<(), String> {
        if self.all.failed.load(Ordering::Relaxed) {
            return Err("the rest was left out".into());
        }
        let chosen: String = environment.iter().map(|(name, value)| format!("{name}={value:?} ")).collect();
        let shown = format!("{chosen}{program} {}", arguments.join(" "));
        let start = Instant::now();
        let mut command = Command::new(program);
        command.args(arguments).envs(environment.iter().map(|(name, value)| (name, value))).current_dir(root());
        let status = if self.live {
            println!("xtask: {shown}");
            command.status()
        } else {
            command.stdin(Stdio::null()).output().map(|output| {
                let whole = [format!("xtask: {shown}\n").as_bytes(), &output.stdout, &output.stderr].concat();
                let _ = std::io::stdout().lock().write_all(&whole); // who reads it no more needs no news
                output.status
            })
        };
        let seconds = start.elapsed().as_secs_f64();
        if let Ok(mut taken) = self.all.taken.lock() {
            taken.push((shown.clone(), seconds));
        }
        match status {
            Ok(status) if status.success() => {
                println!("xtask: took {seconds:.0} s: {shown}");
                Ok(())
            }
            Ok(status) => Err(format!("`{shown}` ended with {status}")),
            Err(error) => Err(format!("`{shown}` could not start: {error}")),
        }
    }
}

/// Seconds of processors that the commands which have ended took, and theirs: Linux's figures.
fn processor_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split_whitespace().collect();
    // cutime and cstime, in ticks of a hundredth of a second
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some((ticks(13)? + ticks(14)?) / 100.0)
}
