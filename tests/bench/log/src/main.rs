//! Durable events a second and time of recovery: lapwing's log and SQLite, in turns on one disk. Prints JSON.

mod store;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use store::{Kind, Store};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Events of a commit.
const GROUPS: [usize; 3] = [1, 8, 64];
/// File systems that live in memory, by the magic number of `statfs`.
const IN_MEMORY: [i64; 2] = [0x0102_1994 /* tmpfs */, 0x8584_58f6_u32 as i64 /* ramfs */];

struct Options {
    folder: PathBuf,
    json: Option<PathBuf>,
    rounds: usize,
    round_ms: u64,
    recovery_events: Vec<u64>,
}

fn options() -> Outcome<Options> {
    let mut options = Options {
        folder: "target/bench/log/data".into(),
        json: None,
        rounds: 6,
        round_ms: 1500,
        recovery_events: vec![1_000, 10_000, 100_000],
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word}: give a value"))?;
        match word.as_str() {
            "--folder" => options.folder = value.into(),
            "--json" => options.json = Some(value.into()),
            "--rounds" => options.rounds = value.parse()?,
            "--round-ms" => options.round_ms = value.parse()?,
            "--recovery" => {
                options.recovery_events = value.split(',').map(str::parse).collect::<Result<_, _>>()?;
            }
            _ => return Err(format!("{word}: --folder, --json, --rounds, --round-ms, --recovery").into()),
        }
    }
    Ok(options)
}

fn main() -> Outcome<()> {
    let options = options()?;
    fs::create_dir_all(&options.folder)?;
    let disk = rustix::fs::statfs(&options.folder)?;
    #[allow(clippy::unnecessary_cast)] // the width of f_type differs between platforms
    if IN_MEMORY.contains(&(disk.f_type as i64)) {
        return Err(format!("{}: is in memory; give --folder a place on a disk", options.folder.display()).into());
    }
    let mut commits = Vec::new();
    for group in GROUPS {
        commits.extend(in_turns(&options, group)?);
    }
    let mut recoveries = Vec::new();
    for events in &options.recovery_events {
        for kind in Kind::ALL {
            recoveries.push(recovery(&options, kind, *events)?);
        }
    }
    let found = json!({
        "event_bytes": store::EVENT_BYTES, "rounds": options.rounds, "round_ms": options.round_ms,
        "sqlite": rusqlite::version(), "f_type": format!("{:#x}", disk.f_type),
        "commits": commits, "recovery": recoveries,
    });
    if let Some(path) = &options.json {
        fs::write(path, format!("{found:#}\n"))?;
    }
    println!("{found:#}");
    Ok(())
}

/// Each store in turn, a round at a time, on a store that grows from round to round.
fn in_turns(options: &Options, group: usize) -> Outcome<Vec<Value>> {
    let mut stores = Vec::new();
    for kind in Kind::ALL {
        let folder = fresh(&options.folder.join(kind.name()))?;
        stores.push((Store::open(kind, &folder)?, folder, Vec::<Duration>::new()));
    }
    for round in 0..options.rounds {
        let turns = stores.len();
        for turn in 0..turns {
            let (store, _, times) = &mut stores[(turn + round) % turns]; // each is first as often as the other
            let end = Instant::now() + Duration::from_millis(options.round_ms);
            while Instant::now() < end {
                let start = Instant::now();
                store.commit(group)?;
                times.push(start.elapsed());
            }
        }
    }
    let mut found = Vec::new();
    for (store, folder, mut times) in stores {
        let (kind, events) = (store.kind(), store.events());
        drop(store);
        let total: Duration = times.iter().sum();
        times.sort_unstable();
        let at = |q: f64| ms(times[((times.len() - 1) as f64 * q) as usize]);
        found.push(json!({
            "store": kind.name(), "events_a_commit": group, "events_per_s": round(events as f64 / total.as_secs_f64()),
            "commits": times.len(), "commit_ms_p50": at(0.5), "commit_ms_p99": at(0.99), "commit_ms_max": at(1.0),
            "bytes_an_event": round(bytes(&folder)? as f64 / events as f64),
        }));
    }
    Ok(found)
}

/// Opens copies of a store that was copied while it was open, as if the power had gone then.
fn recovery(options: &Options, kind: Kind, events: u64) -> Outcome<Value> {
    let folder = fresh(&options.folder.join("recovery").join(kind.name()))?;
    let mut store = Store::open(kind, &folder)?;
    while store.events() < events {
        store.commit((events - store.events()).min(64) as usize)?;
    }
    let mut times = Vec::new();
    for _ in 0..options.rounds.max(3) {
        let copy = fresh(&options.folder.join("recovery").join("copy"))?;
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            fs::copy(entry.path(), copy.join(entry.file_name()))?;
        }
        let start = Instant::now();
        let found = Store::open(kind, &copy)?.last()?;
        times.push(start.elapsed());
        if found != events {
            return Err(format!("{}: {found} of {events} events after recovery", kind.name()).into());
        }
    }
    times.sort_unstable();
    Ok(json!({
        "store": kind.name(), "events": events, "open_ms_median": ms(times[times.len() / 2]), "open_ms_min": ms(times[0]),
    }))
}

fn fresh(folder: &Path) -> Outcome<PathBuf> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    Ok(folder.into())
}

fn bytes(folder: &Path) -> Outcome<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        sum += entry?.metadata()?.len();
    }
    Ok(sum)
}

fn ms(time: Duration) -> f64 {
    round(time.as_secs_f64() * 1e3)
}

fn round(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}
