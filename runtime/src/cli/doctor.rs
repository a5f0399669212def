//! `lapwing doctor`: what this machine has, what is missing, and what to do.

mod finding;
mod pins;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use lapwing_camera::clock::{Clock, SystemClock, iso8601};
use lapwing_camera::frame::printable::Printable;
use lapwing_camera::v4l::CameraOptions;
use lapwing_vision::Model;
use lapwing_vision::detect::Detector;

use super::out::{Failure, Out, line};
use finding::{Finding, State};

/// Arguments of `lapwing doctor`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  lapwing doctor\n  lapwing doctor --data /var/lib/lapwing --json")]
pub struct Args {
    /// Where the log and the pictures will go
    #[arg(long, value_name = "DIR", default_value = "lapwing-data")]
    data: PathBuf,
    /// One JSON object, on standard output
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut Out) -> Result<(), Failure> {
    let mut findings = vec![machine(), cpu(), memory(), temperature()];
    findings.extend(cameras());
    findings.extend(pins::pins());
    findings.extend([clock(), disk(&args.data), model()]);
    let bad = findings.iter().filter(|f| f.state == State::Bad).count();
    if args.json {
        out.json(&serde_json::json!({ "version": env!("CARGO_PKG_VERSION"), "findings": findings, "bad": bad }))?;
    } else {
        for finding in &findings {
            let mark = match finding.state {
                State::Good => "ok  ",
                State::Note => "note",
                State::Bad => "BAD ",
            };
            line!(out, "{mark} {:<12} {}", finding.what, finding.found)?;
            if let Some(cure) = &finding.cure {
                line!(out, "     {:<12} -> {cure}", "")?;
            }
        }
    }
    match bad {
        0 => Ok(()),
        bad => Err(Failure::Job(format!("{bad} findings must be mended first"))),
    }
}

fn read_trimmed(path: impl AsRef<Path>) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0').to_owned();
    (!text.is_empty()).then_some(text)
}

fn machine() -> Finding {
    let model = read_trimmed("/proc/device-tree/model").or_else(|| read_trimmed("/sys/class/dmi/id/product_name"));
    let kernel = read_trimmed("/proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown kernel".into());
    Finding::good(
        "machine",
        format!("{}, {}, Linux {kernel}", model.unwrap_or_else(|| "no name".into()), std::env::consts::ARCH),
    )
}

fn cpu() -> Finding {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let features: Vec<&str> = int8_features().into_iter().filter_map(|(name, has)| has.then_some(name)).collect();
    let found = if features.is_empty() { "none for int8".to_owned() } else { features.join(" ") };
    Finding::good("processor", format!("{cores} cores; features: {found}"))
}

/// Features that matter to int8 arithmetic, and whether this processor has them.
#[cfg(target_arch = "x86_64")]
fn int8_features() -> Vec<(&'static str, bool)> {
    vec![
        ("avx2", std::arch::is_x86_feature_detected!("avx2")),
        ("avxvnni", std::arch::is_x86_feature_detected!("avxvnni")),
        ("avx512vnni", std::arch::is_x86_feature_detected!("avx512vnni")),
        ("avx512vbmi", std::arch::is_x86_feature_detected!("avx512vbmi")),
    ]
}

/// Features that matter to int8 arithmetic, and whether this processor has them.
#[cfg(target_arch = "aarch64")]
fn int8_features() -> Vec<(&'static str, bool)> {
    vec![
        ("neon", std::arch::is_aarch64_feature_detected!("neon")),
        ("dotprod", std::arch::is_aarch64_feature_detected!("dotprod")),
        ("i8mm", std::arch::is_aarch64_feature_detected!("i8mm")),
    ]
}

/// Features that matter to int8 arithmetic, and whether this processor has them.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn int8_features() -> Vec<(&'static str, bool)> {
    Vec::new()
}

fn memory() -> Finding {
    let kib = |key: &str| -> Option<u64> {
        let text = fs::read_to_string("/proc/meminfo").ok()?;
        text.lines().find_map(|l| l.strip_prefix(key)?.split_whitespace().next()?.parse().ok())
    };
    match (kib("MemAvailable:"), kib("MemTotal:")) {
        (Some(available), Some(total)) if available < 100 * 1024 => Finding::note(
            "memory",
            format!("{} of {} MiB free", available / 1024, total / 1024),
            "less than 100 MiB: close other programs",
        ),
        (Some(available), Some(total)) => {
            Finding::good("memory", format!("{} of {} MiB free", available / 1024, total / 1024))
        }
        _ => Finding::note("memory", "unknown", "mount /proc"),
    }
}

fn temperature() -> Finding {
    match read_trimmed("/sys/class/thermal/thermal_zone0/temp").and_then(|t| t.parse::<i64>().ok()) {
        Some(milli) if milli >= 80_000 => Finding::note(
            "temperature",
            format!("{} °C", milli / 1000),
            "the processor slows down from about 80 °C: cool it",
        ),
        Some(milli) => Finding::good("temperature", format!("{} °C", milli / 1000)),
        None => Finding::good("temperature", "no sensor"),
    }
}

/// One finding a camera; one that says so if there is none.
fn cameras() -> Vec<Finding> {
    let all: Vec<Finding> = super::cameras::cameras(&CameraOptions::default())
        .iter()
        .filter_map(super::cameras::diagnose)
        .map(|(found, cure)| match cure {
            None => Finding::good("cameras", found),
            Some(cure) => Finding::note("cameras", found, cure),
        })
        .collect();
    if !all.is_empty() {
        return all;
    }
    let cure = "plug one in; until then `lapwing run` replays the bundled photographs, or what --source names";
    vec![Finding::note("cameras", "none", cure)]
}

fn clock() -> Finding {
    let wall = SystemClock::default().wall();
    if !wall.is_set() {
        return Finding::note(
            "clock",
            "not set",
            "events are ordered by number all the same; set the time (timesyncd, chrony) or fit a battery-backed clock",
        );
    }
    Finding::good("clock", iso8601(wall.us()))
}

/// File systems that live in memory, by the magic number of `statfs`.
const IN_MEMORY: [i64; 2] = [0x0102_1994 /* tmpfs */, 0x8584_58f6_u32 as i64 /* ramfs */];
const ROOM_MIN_MIB: u64 = 64;

fn disk(data: &Path) -> Finding {
    let nearest =
        data.ancestors().map(|a| if a.as_os_str().is_empty() { Path::new(".") } else { a }).find(|a| a.exists());
    let nearest = nearest.unwrap_or_else(|| Path::new("."));
    let shown = Printable(nearest.display());
    let (Ok(room), Ok(kind)) = (rustix::fs::statvfs(nearest), rustix::fs::statfs(nearest)) else {
        return Finding::bad("disk", format!("{shown}: cannot be asked"), "check the path and its permissions");
    };
    let free_mib = room.f_bavail.saturating_mul(room.f_frsize) / (1024 * 1024);
    let found = format!("{free_mib} MiB free at {shown}");
    if room.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
        return Finding::bad("disk", format!("{found}, read-only"), "mount it writable, or give --data another place");
    }
    if free_mib < ROOM_MIN_MIB {
        return Finding::bad(
            "disk",
            found,
            format!("the log and the pictures need {ROOM_MIN_MIB} MiB; make room or give --data another place"),
        );
    }
    #[allow(clippy::unnecessary_cast)] // the width of f_type differs between platforms
    if IN_MEMORY.contains(&(kind.f_type as i64)) {
        return Finding::note(
            "disk",
            format!("{found}, in memory"),
            "nothing here survives a power cut; give --data a place on a disk",
        );
    }
    Finding::good("disk", found)
}

fn model() -> Finding {
    let start = Instant::now();
    match Model::builtin().and_then(|m| Detector::load(&m)) {
        Ok(detector) => {
            let ms = start.elapsed().as_secs_f64() * 1e3;
            let manifest = detector.manifest();
            let found =
                format!("{} loads in {ms:.0} ms, checksum good, kernels {}", manifest.name, detector.engine_name());
            Finding::good("model", found)
        }
        Err(error) => Finding::bad("model", error.to_string(), "the binary is damaged: copy it again"),
    }
}
