//! The event: one thing that happened, in 64 bytes.
//!
//! All numbers are little-endian. Version 1:
//!
//! | at | type | field | unit | written by | read by |
//! |---:|---|---|---|---|---|
//! | 0 | u8 | version | 1 | encoder | decoder |
//! | 1 | u8 | kind | [`EventKind`] | pipeline | people, export |
//! | 2 | u16 | flags | [`Event::WALL_VALID`], [`Event::STALE`], [`Event::SIMULATED_PIN`], [`Event::LOSSY`], [`Event::EXTERNAL`], [`Event::BACKWARDS`] | pipeline | people, export |
//! | 4 | u32 | run | opening of the log, from 1 | recorder | people, export |
//! | 8 | u64 | mono_us | µs since the run began | pipeline | export |
//! | 16 | i64 | wall_us | µs since 1970 UTC, 0 unknown | pipeline | people, export |
//! | 24 | u64 | frame_seq | number of the frame in its source | pipeline | people, export |
//! | 32 | u32 | latency_us | µs from frame to pin, saturating | pipeline | people, histograms |
//! | 36 | u16 | rule | index in the configuration | rule | people, export |
//! | 38 | u16 | class | index in the model, [`Event::NO_CLASS`] | rule | people, export |
//! | 40 | u16 | score | 65535 = 1.0 | rule | people, export |
//! | 42 | u16 | count | objects that matched | rule | people, export |
//! | 44 | 4 x u16 | bounds | x0 y0 x1 y1, 65535 = the frame's side | rule | people, export |
//! | 52 | u16 | frame_width_px | pixels | pipeline | export |
//! | 54 | u16 | frame_height_px | pixels | pipeline | export |
//! | 56 | u32 | track | id, 0 none | tracker | export |
//! | 60 | u32 | value | by kind | pipeline | people, export |

use core::fmt;

/// Bytes of an encoded event.
pub const EVENT_BYTES: usize = 64;
/// The version this build writes and reads.
pub const EVENT_VERSION: u8 = 1;

/// One thing that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// A sum of the flags below.
    pub flags: u16,
    /// Which opening of the log wrote it, from 1.
    pub run: u32,
    /// Microseconds since the run began.
    pub mono_us: u64,
    /// Microseconds since 1970 UTC; 0 if unknown.
    pub wall_us: i64,
    /// Number of the frame in its source.
    pub frame_seq: u64,
    /// Microseconds from the frame to the pin's edge, saturating.
    pub latency_us: u32,
    /// Index of the rule.
    pub rule: u16,
    /// Index of the class; [`Event::NO_CLASS`] if none.
    pub class: u16,
    /// Score, 65535 = 1.0.
    pub score: u16,
    /// Objects that matched.
    pub count: u16,
    /// `x0 y0 x1 y1`, 65535 = the frame's side.
    pub bounds: [u16; 4],
    /// Width of the frame in pixels.
    pub frame_width_px: u16,
    /// Height of the frame in pixels.
    pub frame_height_px: u16,
    /// Track id; 0 if none.
    pub track: u32,
    /// Meaning by kind: frames dropped, bytes trimmed, milliseconds that the source was away, seconds that the clock was
    /// set by.
    pub value: u32,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum EventKind {
    /// A run began.
    Started = 1,
    /// A run ended in order.
    Stopped = 2,
    /// A rule fired: its output went on.
    Fired = 3,
    /// A rule released.
    Released = 4,
    /// Frames were dropped for newer ones; `value` of them since the last such event.
    FramesDropped = 5,
    /// The source is gone.
    SourceLost = 6,
    /// The source is back after `value` milliseconds.
    SourceBack = 7,
    /// Opening the log trimmed a torn tail of `value` bytes.
    Trimmed = 8,
    /// A rule was disarmed.
    Disarmed = 9,
    /// A rule was armed.
    Armed = 10,
    /// An output took its safe level because frames stopped.
    Failsafe = 11,
    /// The wall clock was set, `value` seconds forwards, or back with [`Event::BACKWARDS`].
    ClockSet = 12,
}

impl EventKind {
    /// Every kind, by number.
    pub const ALL: [EventKind; 12] = [
        EventKind::Started,
        EventKind::Stopped,
        EventKind::Fired,
        EventKind::Released,
        EventKind::FramesDropped,
        EventKind::SourceLost,
        EventKind::SourceBack,
        EventKind::Trimmed,
        EventKind::Disarmed,
        EventKind::Armed,
        EventKind::Failsafe,
        EventKind::ClockSet,
    ];

    /// The kind's name in exports.
    pub fn name(self) -> &'static str {
        match self {
            EventKind::Started => "started",
            EventKind::Stopped => "stopped",
            EventKind::Fired => "fired",
            EventKind::Released => "released",
            EventKind::FramesDropped => "frames_dropped",
            EventKind::SourceLost => "source_lost",
            EventKind::SourceBack => "source_back",
            EventKind::Trimmed => "trimmed",
            EventKind::Disarmed => "disarmed",
            EventKind::Armed => "armed",
            EventKind::Failsafe => "failsafe",
            EventKind::ClockSet => "clock_set",
        }
    }

    fn from_number(number: u8) -> Option<EventKind> {
        EventKind::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// Bytes that are no event of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventError {
    /// Not [`EVENT_BYTES`] long.
    Length(usize),
    /// Another version.
    Version(u8),
    /// A kind that this version does not have.
    Kind(u8),
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EventError::Length(found) => write!(f, "an event has {EVENT_BYTES} bytes, this record {found}"),
            EventError::Version(found) => {
                write!(f, "event version {found}: this build reads {EVENT_VERSION}; use the lapwing that wrote the log")
            }
            EventError::Kind(found) => write!(f, "event kind {found} is unknown to this build; use a newer lapwing"),
        }
    }
}

impl core::error::Error for EventError {}

impl Default for Event {
    fn default() -> Self {
        Event {
            kind: EventKind::Started,
            flags: 0,
            run: 0,
            mono_us: 0,
            wall_us: 0,
            frame_seq: 0,
            latency_us: 0,
            rule: 0,
            class: Event::NO_CLASS,
            score: 0,
            count: 0,
            bounds: [0; 4],
            frame_width_px: 0,
            frame_height_px: 0,
            track: 0,
            value: 0,
        }
    }
}

impl Event {
    /// The wall clock was believable.
    pub const WALL_VALID: u16 = 1;
    /// The frame was older than its deadline.
    pub const STALE: u16 = 2;
    /// The output line is in memory only.
    pub const SIMULATED_PIN: u16 = 4;
    /// Events before this one could not be recorded; `value` says how many.
    pub const LOSSY: u16 = 8;
    /// An input fired the rule, not a frame; the latency counts from the input's edge.
    pub const EXTERNAL: u16 = 16;
    /// The wall clock went back.
    pub const BACKWARDS: u16 = 32;
    /// No class.
    pub const NO_CLASS: u16 = u16::MAX;

    /// The event as bytes.
    pub fn encode(&self) -> [u8; EVENT_BYTES] {
        let mut bytes = [0; EVENT_BYTES];
        let mut at = Writer { bytes: &mut bytes, at: 0 };
        at.put([EVENT_VERSION, self.kind as u8]);
        at.put(self.flags.to_le_bytes());
        at.put(self.run.to_le_bytes());
        at.put(self.mono_us.to_le_bytes());
        at.put(self.wall_us.to_le_bytes());
        at.put(self.frame_seq.to_le_bytes());
        at.put(self.latency_us.to_le_bytes());
        for field in [self.rule, self.class, self.score, self.count] {
            at.put(field.to_le_bytes());
        }
        for field in self.bounds {
            at.put(field.to_le_bytes());
        }
        at.put(self.frame_width_px.to_le_bytes());
        at.put(self.frame_height_px.to_le_bytes());
        at.put(self.track.to_le_bytes());
        at.put(self.value.to_le_bytes());
        bytes
    }

    /// Reads an event.
    ///
    /// # Errors
    /// [`EventError`] for another length, version or kind.
    pub fn decode(bytes: &[u8]) -> Result<Event, EventError> {
        // the version first: a newer event may have another length
        let version = *bytes.first().ok_or(EventError::Length(0))?;
        if version != EVENT_VERSION {
            return Err(EventError::Version(version));
        }
        let fixed: &[u8; EVENT_BYTES] = bytes.try_into().map_err(|_| EventError::Length(bytes.len()))?;
        let mut at = Reader { bytes: fixed, at: 1 };
        let [kind] = at.take();
        let kind = EventKind::from_number(kind).ok_or(EventError::Kind(kind))?;
        Ok(Event {
            kind,
            flags: at.u16(),
            run: at.u32(),
            mono_us: u64::from_le_bytes(at.take()),
            wall_us: i64::from_le_bytes(at.take()),
            frame_seq: u64::from_le_bytes(at.take()),
            latency_us: at.u32(),
            rule: at.u16(),
            class: at.u16(),
            score: at.u16(),
            count: at.u16(),
            bounds: [at.u16(), at.u16(), at.u16(), at.u16()],
            frame_width_px: at.u16(),
            frame_height_px: at.u16(),
            track: at.u32(),
            value: at.u32(),
        })
    }

    /// The score in 0..=1.
    pub fn score_f32(&self) -> f32 {
        f32::from(self.score) / 65535.0
    }

    /// The box in pixels of the frame.
    pub fn bounds_px(&self) -> [f32; 4] {
        let (w, h) = (f32::from(self.frame_width_px) / 65535.0, f32::from(self.frame_height_px) / 65535.0);
        let [x0, y0, x1, y1] = self.bounds.map(f32::from);
        [x0 * w, y0 * h, x1 * w, y1 * h]
    }
}

/// Writes fields one after the other; the fields of an event fill it exactly.
struct Writer<'a> {
    bytes: &'a mut [u8; EVENT_BYTES],
    at: usize,
}

impl Writer<'_> {
    fn put<const N: usize>(&mut self, field: [u8; N]) {
        if let Some(place) = self.bytes.get_mut(self.at..self.at + N) {
            place.copy_from_slice(&field);
        }
        self.at += N;
    }
}

/// Reads fields one after the other.
struct Reader<'a> {
    bytes: &'a [u8; EVENT_BYTES],
    at: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let field = self.bytes.get(self.at..self.at + N).and_then(|b| b.try_into().ok()).unwrap_or([0; N]);
        self.at += N;
        field
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    fn any_event() -> impl Strategy<Value = Event> {
        let head = (
            0usize..EventKind::ALL.len(),
            any::<u16>(),
            any::<u32>(),
            any::<u64>(),
            any::<i64>(),
            any::<u64>(),
            any::<u32>(),
        );
        let tail = (any::<[u16; 4]>(), any::<[u16; 4]>(), any::<[u16; 2]>(), any::<[u32; 2]>());
        (head, tail).prop_map(
            |((kind, flags, run, mono_us, wall_us, frame_seq, latency_us), (four, bounds, px, two))| Event {
                kind: EventKind::ALL[kind],
                flags,
                run,
                mono_us,
                wall_us,
                frame_seq,
                latency_us,
                rule: four[0],
                class: four[1],
                score: four[2],
                count: four[3],
                bounds,
                frame_width_px: px[0],
                frame_height_px: px[1],
                track: two[0],
                value: two[1],
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(event in any_event()) {
            prop_assert_eq!(Event::decode(&event.encode()), Ok(event));
        }

        #[test]
        fn any_bytes_are_an_event_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Event::decode(&bytes);
        }
    }

    /// The layout is a promise to logs already written: the table above, byte by byte.
    #[test]
    fn the_layout_stays() {
        let event = Event {
            kind: EventKind::Fired,
            flags: 0x0201,
            run: 0x0706_0504,
            mono_us: 8,
            wall_us: -1,
            frame_seq: 24,
            latency_us: 32,
            rule: 36,
            class: 38,
            score: 40,
            count: 42,
            bounds: [44, 46, 48, 50],
            frame_width_px: 52,
            frame_height_px: 54,
            track: 56,
            value: 60,
        };
        let bytes = event.encode();
        assert_eq!(bytes[..8], [1, 3, 1, 2, 4, 5, 6, 7]);
        assert_eq!(bytes[16..24], [255; 8]);
        for at in [8, 24, 32, 36, 38, 40, 42, 44, 46, 48, 50, 52, 54, 56, 60] {
            assert_eq!(usize::from(bytes[at]), at);
        }
    }

    #[test]
    fn strangers_are_named() {
        let mut bytes = Event::default().encode();
        assert_eq!(Event::decode(&bytes[..63]), Err(EventError::Length(63)));
        bytes[1] = 99;
        assert_eq!(Event::decode(&bytes), Err(EventError::Kind(99)));
        bytes[0] = 2;
        assert!(Event::decode(&bytes).unwrap_err().to_string().contains("version 2"));
    }
}
