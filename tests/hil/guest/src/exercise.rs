//! Writes and checks a log, with the firmware's own code on a folder.
//!
//! `exercise write FOLDER [lie] [quiet] [segment KIB] [total KIB] [seed N]` appends events until the power
//! goes and says `ack SEQ` after each commit, `refused WHY` where it is none; between commits it leaves
//! unsynced files about, as pictures are, unless it is `quiet`. `lie` makes every sync a no-op: the control
//! that must lose records.
//!
//! `exercise check FOLDER` reads everything and compares each event with what its number says it must
//! hold: `records N first A last B torn T corrupt C wrong W`.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use lapwing_firmware::event::{Event, EventKind};
use lapwing_firmware::linux::{DirError, DirMedia};
use lapwing_firmware::log::{DamageKind, Item, Limits, Log, LogError, Media, Reader};

/// Events that one commit makes durable, at most.
const GROUP_MAX: u64 = 40;
/// Unsynced files that are kept, and the size of the largest.
const LITTER_FILES: u64 = 12;
const LITTER_BYTES_MAX: u64 = 1024 * 1024;

/// Runs the command.
pub fn run(words: &[String]) -> Result<(), String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["write", folder, options @ ..] => write(Path::new(folder), options),
        ["check", folder] => check(Path::new(folder)),
        _ => {
            Err("exercise write FOLDER [lie] [quiet] [segment KIB] [total KIB] [seed N] | exercise check FOLDER".into())
        }
    }
}

/// A folder that syncs, or only says so.
struct Exercised {
    folder: DirMedia,
    lies: bool,
}

impl Media for Exercised {
    type Error = DirError;
    const IN_BLOCKS: bool = true;

    fn find(&mut self, from: u32) -> Result<Option<u32>, DirError> {
        self.folder.find(from)
    }

    fn len(&mut self, id: u32) -> Result<Option<u32>, DirError> {
        self.folder.len(id)
    }

    fn read_at(&mut self, id: u32, offset: u32, into: &mut [u8]) -> Result<usize, DirError> {
        self.folder.read_at(id, offset, into)
    }

    fn create(&mut self, id: u32, head: &[u8], bytes: u32) -> Result<(), DirError> {
        self.folder.create(id, head, bytes)
    }

    fn write(&mut self, id: u32, offset: u32, bytes: &[u8]) -> Result<(), DirError> {
        self.folder.write(id, offset, bytes)
    }

    fn sync(&mut self, id: u32) -> Result<(), DirError> {
        if self.lies { Ok(()) } else { self.folder.sync(id) }
    }

    fn remove(&mut self, id: u32) -> Result<(), DirError> {
        self.folder.remove(id)
    }

    fn renew(&mut self) -> Result<(), DirError> {
        self.folder.renew()
    }
}

/// The event that has number `seq`, whatever run wrote it.
fn event(seq: u64) -> Event {
    let mixed = mix(seq);
    let kinds = [EventKind::Fired, EventKind::Released, EventKind::FramesDropped, EventKind::Failsafe];
    Event {
        kind: kinds[(mixed % kinds.len() as u64) as usize],
        mono_us: seq.wrapping_mul(1_000_003),
        frame_seq: seq,
        latency_us: mixed as u32,
        score: (mixed >> 32) as u16,
        value: (mixed >> 16) as u32,
        ..Event::default()
    }
}

/// SplitMix64's finaliser (Steele, Lea and Flood, OOPSLA 2014).
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn write(folder: &Path, options: &[&str]) -> Result<(), String> {
    let (mut lies, mut quiet, mut segment_kib, mut total_kib, mut seed) = (false, false, 64u32, 32 * 1024u64, 0u64);
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let mut number = || options.next().and_then(|w| w.parse::<u64>().ok()).ok_or(format!("{option}: no number"));
        match *option {
            "lie" => lies = true,
            "quiet" => quiet = true,
            "segment" => segment_kib = u32::try_from(number()?).map_err(|e| e.to_string())?,
            "total" => total_kib = number()?,
            "seed" => seed = number()?,
            other => return Err(format!("{other}: no such option")),
        }
    }
    let limits = Limits { segment_bytes: segment_kib.saturating_mul(1024), total_bytes: total_kib * 1024 };
    let media = Exercised { folder: DirMedia::open(folder).map_err(|e| e.to_string())?, lies };
    let (mut log, found) = Log::open(media, limits).map_err(|e| e.to_string())?;
    println!(
        "open run {} records {} last {} trimmed {}",
        found.run,
        found.records,
        found.last_seq.map_or(0, |seq| seq.0),
        found.bytes_torn
    );
    let mut next = found.last_seq.map_or(1, |seq| seq.0 + 1);
    let litter = folder.with_file_name("litter");
    std::fs::create_dir_all(&litter).map_err(|e| e.to_string())?;
    for turn in 0u64.. {
        let random = mix(seed ^ mix(turn));
        let mut group = 0;
        while group < 1 + random % GROUP_MAX {
            let seq = match log.append(&event(next).encode()) {
                Ok(seq) => seq,
                Err(LogError::GroupFull) => break, // a segment ends: what fits is committed
                Err(error) => return Err(error.to_string()),
            };
            group += 1;
            if seq.0 != next {
                return Err(format!("number {next} was expected, {seq} was given"));
            }
            next += 1;
        }
        match log.commit() {
            Ok(Some(durable)) => println!("ack {}", durable.get()),
            Ok(None) => return Err("nothing was committed".into()),
            Err(error) => {
                // not acknowledged: the numbers are given again
                println!("refused {error}");
                next -= group;
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
        }
        if random >> 62 == 0 && !quiet {
            let _ = leave_about(&litter, random); // no room for it is no matter
        }
    }
    Ok(())
}

/// Writes a file that nobody syncs.
fn leave_about(litter: &Path, random: u64) -> std::io::Result<()> {
    let path: PathBuf = litter.join(format!("{}.bin", (random >> 8) % LITTER_FILES));
    let bytes = (random >> 16) % LITTER_BYTES_MAX;
    File::create(path)?.write_all(&vec![random as u8; bytes as usize])
}

fn check(folder: &Path) -> Result<(), String> {
    let mut media = DirMedia::read(folder).map_err(|e| e.to_string())?;
    let mut reader = Reader::new(&mut media);
    let (mut records, mut first, mut last, mut torn, mut corrupt, mut wrong) = (0u64, 0, 0, 0u64, 0u64, 0u64);
    while let Some(item) = reader.next().map_err(|e| e.to_string())? {
        match item {
            Item::Record { seq, .. } => {
                wrong += u64::from(reader.payload() != event(seq.0).encode());
                wrong += u64::from(last != 0 && seq.0 != last + 1);
                first = if first == 0 { seq.0 } else { first };
                last = seq.0;
                records += 1;
            }
            Item::Damage(damage) if damage.kind == DamageKind::Torn => torn += u64::from(damage.bytes),
            Item::Damage(_) => corrupt += 1,
        }
    }
    println!("records {records} first {first} last {last} torn {torn} corrupt {corrupt} wrong {wrong}");
    Ok(())
}
