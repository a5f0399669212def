//! `lapwing log`: reads the record. It changes nothing and needs no lock, so it works beside a run.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lapwing_camera::clock::iso8601;
use lapwing_camera::frame::printable::Printable;
use lapwing_firmware::event::{Event, EventKind};
use lapwing_firmware::linux::{DirMedia, own_file};
use lapwing_firmware::log::{Damage, DamageKind, Item, Position, Reader, name};
use lapwing_firmware::panic_record::PanicRecord;
use lapwing_runtime::latency::Histogram;
use lapwing_runtime::name_table::NameTable;
use lapwing_runtime::panic_record;
use serde_json::{Value, json};

use super::out::{Failure, Out, complain, line};
use super::redact_paths::as_it_will_be;

/// Arguments of `lapwing log`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  lapwing log show\n  lapwing log follow --json\n  lapwing log latency\n  \
    lapwing log verify --data /var/lib/lapwing\n  \
    lapwing log export --format csv -o events.csv")]
pub struct Args {
    #[command(subcommand)]
    what: What,
    /// The data folder of the run
    #[arg(long, global = true, value_name = "DIR", default_value = "lapwing-data")]
    data: PathBuf,
    /// JSON instead of text
    #[arg(long, global = true)]
    json: bool,
}

#[derive(clap::Subcommand)]
enum What {
    /// List the segments
    Ls,
    /// Print the events, oldest first
    Show,
    /// Print the events, then each new one as it is written
    Follow,
    /// Read every byte and say whether the record is whole
    Verify,
    /// How long from frame or input to pin: a histogram
    Latency,
    /// Write the events as JSON Lines or CSV
    Export {
        /// What to write
        #[arg(long, value_enum, default_value = "jsonl")]
        format: Format,
        /// Where to; default: standard output
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    Jsonl,
    Csv,
}

/// Between two looks of `follow`.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Runs the command.
pub fn run(args: &Args, out: &mut Out) -> Result<(), Failure> {
    let folder = args.data.join("log");
    let mut media = DirMedia::read(&folder).map_err(Failure::call)?;
    match &args.what {
        What::Ls => list(&mut media, args.json, out),
        What::Show => show(&mut media, args.json, false, out),
        What::Follow => show(&mut media, args.json, true, out),
        What::Latency => latency(&mut media, args.json, out),
        What::Verify => verify(&mut media, &folder, args.json, out),
        What::Export { format, output } => {
            if let Some(output) = output {
                refuse_inside(output, &args.data)?;
            }
            export(&mut media, *format, output.as_deref(), out)
        }
    }
}

/// What a walk over the log comes upon.
enum Found<'a> {
    Event {
        seq: u64,
        segment: u32,
        event: &'a Event,
        name_table: &'a NameTable,
    },
    NameTable {
        segment: u32,
    },
    PanicRecords {
        seq: u64,
        segment: u32,
        words: &'a PanicRecord,
    },
    /// A whole record that this version cannot read.
    Unknown {
        seq: u64,
        what: String,
    },
    Damage(Damage),
}

/// Calls `tell` for all that is behind `from`; returns the position at the end.
fn walk(
    media: &mut DirMedia,
    from: Position,
    name_table: &mut NameTable,
    mut tell: impl FnMut(Found<'_>) -> Result<(), Failure>,
) -> Result<Position, Failure> {
    let mut reader = Reader::resume(media, from);
    while let Some(item) = reader.next().map_err(Failure::job)? {
        match item {
            Item::Damage(damage) => tell(Found::Damage(damage))?,
            Item::Record { seq, segment, .. } => {
                let payload = reader.payload();
                if let Some(read) = NameTable::decode(payload) {
                    *name_table = read;
                    tell(Found::NameTable { segment })?;
                } else if let Some(words) = panic_record::decode(payload) {
                    tell(Found::PanicRecords { seq: seq.0, segment, words: &words })?;
                } else {
                    match Event::decode(payload) {
                        Ok(event) => tell(Found::Event { seq: seq.0, segment, event: &event, name_table })?,
                        Err(error) => tell(Found::Unknown { seq: seq.0, what: error.to_string() })?,
                    }
                }
            }
        }
    }
    Ok(reader.position())
}

/// What a damaged log is told at the end.
fn damaged() -> Failure {
    Failure::job("the record is damaged: the medium rots; save it with `lapwing log export` and replace the card")
}

/// Says where something is damaged; true unless it is only what a cut has left.
fn tell_damage(damage: &Damage) -> bool {
    complain!("{}", damage_in_words(damage));
    damage.kind != DamageKind::Torn
}

/// The log and the pictures are not written over by what is made of them.
fn refuse_inside(output: &Path, data: &Path) -> Result<(), Failure> {
    let (Some(to), Some(data)) = (as_it_will_be(output), as_it_will_be(data)) else { return Ok(()) };
    if to.starts_with(&data) {
        let what = format!(
            "{} lies in the data folder {}: give another place",
            Printable(output.display()),
            Printable(data.display())
        );
        return Err(Failure::Call(what));
    }
    Ok(())
}

fn show(media: &mut DirMedia, as_json: bool, follow: bool, out: &mut Out) -> Result<(), Failure> {
    let mut name_table = NameTable::default();
    let mut at = Position::default();
    let (mut is_damaged, mut told_last) = (false, None);
    loop {
        at = walk(media, at, &mut name_table, |found| match found {
            Found::Event { seq, event, name_table, .. } if as_json => out.json(&in_json(seq, event, name_table)),
            Found::Event { seq, event, name_table, .. } => line!(out, "{}", in_words(seq, event, name_table)),
            Found::PanicRecords { seq, words, .. } if as_json => out.json(&words_in_json(seq, words)),
            Found::PanicRecords { seq, words, .. } => line!(out, "{}", words_in_words(seq, words)),
            Found::NameTable { .. } => Ok(()),
            Found::Unknown { seq, what } => {
                complain!("log #{seq}: {what}");
                Ok(())
            }
            // a follower may look in the middle of a write: it will be whole the next time
            Found::Damage(damage) if follow && damage.kind == DamageKind::Torn => Ok(()),
            Found::Damage(damage) if told_last == Some((damage.segment, damage.offset)) => Ok(()),
            Found::Damage(damage) => {
                told_last = Some((damage.segment, damage.offset));
                is_damaged |= tell_damage(&damage);
                Ok(())
            }
        })?;
        if !follow {
            return if is_damaged { Err(damaged()) } else { Ok(()) };
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

#[derive(Default)]
struct Segment {
    id: u32,
    events: u64,
    first: Option<u64>,
    last: Option<u64>,
    damages: u64,
}

fn list(media: &mut DirMedia, as_json: bool, out: &mut Out) -> Result<(), Failure> {
    let mut segments: Vec<Segment> = Vec::new();
    walk(media, Position::default(), &mut NameTable::default(), |found| {
        let id = match &found {
            Found::Event { segment, .. } | Found::NameTable { segment } | Found::PanicRecords { segment, .. } => {
                *segment
            }
            Found::Damage(damage) => damage.segment,
            Found::Unknown { .. } => return Ok(()),
        };
        if segments.last().is_none_or(|s| s.id != id) {
            segments.push(Segment { id, ..Segment::default() });
        }
        let Some(segment) = segments.last_mut() else { return Ok(()) };
        match found {
            Found::Event { seq, .. } => {
                segment.events += 1;
                segment.first.get_or_insert(seq);
                segment.last = Some(seq);
            }
            Found::Damage(_) => segment.damages += 1,
            _ => {}
        }
        Ok(())
    })?;
    for Segment { id, events, first, last, damages } in segments {
        let file = name(id);
        if as_json {
            out.json(
                &json!({"segment": file.as_str(), "events": events, "first": first, "last": last, "damages": damages}),
            )?;
        } else {
            let span = first.zip(last).map_or(String::new(), |(first, last)| format!(", #{first} to #{last}"));
            let harm = if damages > 0 { format!(", {damages} damaged places") } else { String::new() };
            line!(out, "{file}  {events} events{span}{harm}")?;
        }
    }
    Ok(())
}

fn latency(media: &mut DirMedia, as_json: bool, out: &mut Out) -> Result<(), Failure> {
    let (mut frames, mut inputs) = (Histogram::default(), Histogram::default());
    walk(media, Position::default(), &mut NameTable::default(), |found| {
        if let Found::Event { event, .. } = found
            && event.kind == EventKind::Fired
        {
            let by_input = event.flags & Event::EXTERNAL != 0;
            (if by_input { &mut inputs } else { &mut frames }).record(event.latency_us);
        }
        Ok(())
    })?;
    if as_json {
        return out.json(&json!({"frame_to_pin": frames.json(), "input_to_pin": inputs.json()}));
    }
    for text in frames.lines("frame to pin").iter().chain(&inputs.lines("input to pin")) {
        line!(out, "{text}")?;
    }
    Ok(())
}

fn verify(media: &mut DirMedia, folder: &Path, as_json: bool, out: &mut Out) -> Result<(), Failure> {
    let (mut events, mut last, mut torn, mut bad) = (0u64, None, 0u64, Vec::new());
    walk(media, Position::default(), &mut NameTable::default(), |found| {
        match found {
            Found::Event { seq, .. } => {
                events += 1;
                last = Some(seq);
            }
            Found::NameTable { .. } | Found::PanicRecords { .. } => {}
            Found::Unknown { seq, what } => bad.push(format!("#{seq}: {what}")),
            Found::Damage(damage) if damage.kind == DamageKind::Torn => torn += u64::from(damage.bytes),
            Found::Damage(damage) => bad.push(damage_in_words(&damage)),
        }
        Ok(())
    })?;
    if as_json {
        out.json(&json!({"good": bad.is_empty(), "events": events, "last": last, "torn_bytes": torn, "damages": bad}))?;
    } else {
        for what in &bad {
            line!(out, "{what}")?;
        }
        let tail = if torn > 0 { format!("; {torn} bytes of a torn end, never acknowledged") } else { String::new() };
        let word = if bad.is_empty() { "good" } else { "damaged" };
        line!(out, "{word}: {events} events in {}{tail}", Printable(folder.display()))?;
    }
    if bad.is_empty() { Ok(()) } else { Err(damaged()) }
}

fn export(media: &mut DirMedia, format: Format, output: Option<&Path>, out: &mut Out) -> Result<(), Failure> {
    let failed = |path: &Path, e: std::io::Error| Failure::Job(format!("{}: {e}", Printable(path.display())));
    let made = |path| own_file::write_or_make(path).and_then(|file| file.set_len(0).map(|()| file));
    let mut file = output
        .map(|path| made(path).map(|file| (path, BufWriter::new(file))).map_err(|e| failed(path, e)))
        .transpose()?;
    let mut is_damaged = false;
    let mut put = |text: &str| match &mut file {
        Some((path, file)) => writeln!(file, "{text}").map_err(|e| failed(path, e)),
        None => line!(out, "{text}"),
    };
    if matches!(format, Format::Csv) {
        put("seq,run,kind,wall,mono_us,frame,latency_us,rule,class,score,count,x0,y0,x1,y1,width,height,value")?;
    }
    walk(media, Position::default(), &mut NameTable::default(), |found| match (found, format) {
        (Found::Event { seq, event, name_table, .. }, Format::Jsonl) => {
            put(&in_json(seq, event, name_table).to_string())
        }
        (Found::Event { seq, event, name_table, .. }, Format::Csv) => put(&in_csv(seq, event, name_table)),
        (Found::Damage(damage), _) => {
            is_damaged |= tell_damage(&damage);
            Ok(())
        }
        (Found::Unknown { seq, what }, _) => {
            complain!("log #{seq}: {what}");
            Ok(())
        }
        (Found::PanicRecords { seq, words, .. }, Format::Jsonl) => put(&words_in_json(seq, words).to_string()),
        (Found::NameTable { .. } | Found::PanicRecords { .. }, _) => Ok(()),
    })?;
    if let Some((path, file)) = &mut file {
        file.flush().map_err(|e| failed(path, e))?;
    }
    if is_damaged { Err(damaged()) } else { Ok(()) }
}

fn damage_in_words(damage: &Damage) -> String {
    let Damage { segment, offset, bytes, kind } = damage;
    let what = match kind {
        DamageKind::Torn => "torn by a cut, nothing acknowledged is missing".to_owned(),
        DamageKind::Corrupt if *bytes == 0 => {
            return format!("{} at byte {offset}: records are missing here", name(*segment));
        }
        DamageKind::Corrupt => "damaged: records may be missing here".to_owned(),
        DamageKind::Format(format) => format!("format {format}, written by another version of lapwing"),
    };
    format!("{} at byte {offset}: {bytes} bytes, {what}", name(*segment))
}

fn time(event: &Event) -> Option<String> {
    (event.flags & Event::WALL_VALID != 0).then(|| iso8601(event.wall_us))
}

/// Events of a rule carry a rule; the others a zero that means nothing.
fn is_of_rule(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::Fired | EventKind::Released | EventKind::Armed | EventKind::Disarmed | EventKind::Failsafe
    )
}

/// One event on one line.
pub fn in_words(seq: u64, event: &Event, name_table: &NameTable) -> String {
    let mut text = format!("log #{seq}");
    if let Some(time) = time(event) {
        text += &format!("  {time}");
    }
    text += &format!("  {}", event.kind.name());
    if is_of_rule(event.kind) {
        text += &format!(" {}", name_table.rule(event.rule));
    }
    if event.class != Event::NO_CLASS {
        text += &format!(": {} x {} ({:.2})", event.count, name_table.class(event.class), event.score_f32());
    }
    if event.kind == EventKind::Fired {
        let cause = if event.flags & Event::EXTERNAL != 0 { "input" } else { "frame" };
        text += &format!(", {:.1} ms after the {cause}", f64::from(event.latency_us) / 1e3);
    }
    if event.flags & Event::STALE != 0 {
        text += ", stale";
    }
    match event.kind {
        EventKind::SourceBack => text += &format!(" after {:.1} s", f64::from(event.value) / 1e3),
        EventKind::FramesDropped => text += &format!(": {}", event.value),
        EventKind::ClockSet => {
            let way = if event.flags & Event::BACKWARDS != 0 { "back" } else { "forwards" };
            text += &format!(" {way} by {} s", event.value);
        }
        EventKind::Trimmed => text += &format!(": {} bytes", event.value),
        _ => {}
    }
    text
}

/// panic record on one line.
pub fn words_on_a_line(words: &PanicRecord) -> String {
    words.text().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn words_in_words(seq: u64, words: &PanicRecord) -> String {
    format!("log #{seq}  {}  panic record: {}", iso8601(words.wall_us()), words_on_a_line(words))
}

fn words_in_json(seq: u64, words: &PanicRecord) -> Value {
    json!({"seq": seq, "kind": "panic_record", "wall": iso8601(words.wall_us()), "text": words.text()})
}

fn in_json(seq: u64, event: &Event, name_table: &NameTable) -> Value {
    let [x0, y0, x1, y1] = event.bounds_px();
    let mut value = json!({
        "seq": seq, "run": event.run, "kind": event.kind.name(), "wall": time(event), "mono_us": event.mono_us,
        "frame": event.frame_seq, "value": event.value, "flags": event.flags,
    });
    if event.flags & Event::STALE != 0 {
        value["stale"] = json!(true);
    }
    if is_of_rule(event.kind) {
        value["rule"] = json!(name_table.rule(event.rule));
        value["latency_us"] = json!(event.latency_us);
    }
    if event.class != Event::NO_CLASS {
        value["class"] = json!(name_table.class(event.class));
        value["score"] = json!((f64::from(event.score_f32()) * 1e4).round() / 1e4);
        value["count"] = json!(event.count);
        value["box"] = json!([x0, y0, x1, y1]);
        value["size"] = json!([event.frame_width_px, event.frame_height_px]);
    }
    value
}

fn in_csv(seq: u64, event: &Event, name_table: &NameTable) -> String {
    let quoted = |text: String| format!("\"{}\"", text.replace('"', "\"\""));
    let rule = if is_of_rule(event.kind) { quoted(name_table.rule(event.rule)) } else { String::new() };
    let class = if event.class != Event::NO_CLASS { quoted(name_table.class(event.class)) } else { String::new() };
    let [x0, y0, x1, y1] = event.bounds_px();
    format!(
        "{seq},{},{},{},{},{},{},{rule},{class},{:.4},{},{x0},{y0},{x1},{y1},{},{},{}",
        event.run,
        event.kind.name(),
        time(event).unwrap_or_default(),
        event.mono_us,
        event.frame_seq,
        event.latency_us,
        event.score_f32(),
        event.count,
        event.frame_width_px,
        event.frame_height_px,
        event.value
    )
}
