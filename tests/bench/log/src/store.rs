//! A store of events: lapwing's log, or SQLite, each with one sync a commit.

use std::path::Path;

use lapwing_firmware::event::{Event, EventKind};
use lapwing_firmware::linux::DirMedia;
use lapwing_firmware::log::{Limits, Log, LogError};
use rusqlite::Connection;

use super::Outcome;

/// Bytes of an event.
pub const EVENT_BYTES: usize = lapwing_firmware::event::EVENT_BYTES;
/// lapwing's default segment, and room enough that nothing is dropped.
const LIMITS: Limits = Limits { segment_bytes: 256 * 1024, total_bytes: 1 << 30 };

/// Which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Lapwing,
    Sqlite,
}

impl Kind {
    pub const ALL: [Kind; 2] = [Kind::Lapwing, Kind::Sqlite];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Lapwing => "lapwing",
            Kind::Sqlite => "sqlite-wal-full",
        }
    }
}

enum Inside {
    Lapwing(Box<Log<DirMedia>>),
    Sqlite(Connection),
}

/// An open store.
pub struct Store {
    inside: Inside,
    events: u64,
}

impl Store {
    /// Opens or makes the store in `folder`, and recovers what is there.
    pub fn open(kind: Kind, folder: &Path) -> Outcome<Store> {
        match kind {
            Kind::Lapwing => {
                let (log, recovery) = Log::open(DirMedia::open(folder)?, LIMITS)?;
                Ok(Store { inside: Inside::Lapwing(Box::new(log)), events: recovery.last_seq.map_or(0, |seq| seq.0) })
            }
            Kind::Sqlite => {
                let database = Connection::open(folder.join("events.db"))?;
                database.pragma_update(None, "journal_mode", "WAL")?;
                database.pragma_update(None, "synchronous", "FULL")?;
                let mode: String = database.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
                let synchronous: u32 = database.pragma_query_value(None, "synchronous", |row| row.get(0))?;
                if (mode.as_str(), synchronous) != ("wal", 2) {
                    return Err(format!("SQLite runs with {mode}, synchronous={synchronous}").into());
                }
                database.execute(
                    "CREATE TABLE IF NOT EXISTS event (seq INTEGER PRIMARY KEY AUTOINCREMENT, payload BLOB NOT NULL)",
                    (),
                )?;
                Ok(Store { inside: Inside::Sqlite(database), events: 0 })
            }
        }
    }

    pub fn kind(&self) -> Kind {
        match self.inside {
            Inside::Lapwing(_) => Kind::Lapwing,
            Inside::Sqlite(_) => Kind::Sqlite,
        }
    }

    /// Events that this process made durable, or found.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Number of the newest event.
    pub fn last(&mut self) -> Outcome<u64> {
        match &self.inside {
            Inside::Lapwing(_) => Ok(self.events),
            Inside::Sqlite(database) => {
                Ok(database.query_row("SELECT max(seq) FROM event", (), |row| row.get::<_, i64>(0))? as u64)
            }
        }
    }

    /// Makes `count` events durable in one commit.
    pub fn commit(&mut self, count: usize) -> Outcome<()> {
        let event =
            |seq: u64| Event { kind: EventKind::Fired, frame_seq: seq, mono_us: seq * 40_000, ..Event::default() };
        match &mut self.inside {
            Inside::Lapwing(log) => {
                for n in 0..count as u64 {
                    let event = event(self.events + n).encode();
                    if matches!(log.append(&event), Err(LogError::GroupFull)) {
                        log.commit()?; // as many as one commit takes
                        log.append(&event)?;
                    }
                }
                log.commit()?;
            }
            Inside::Sqlite(database) => {
                let group = database.transaction()?;
                {
                    let mut insert = group.prepare_cached("INSERT INTO event (payload) VALUES (?1)")?;
                    for n in 0..count as u64 {
                        insert.execute((event(self.events + n).encode().as_slice(),))?;
                    }
                }
                group.commit()?;
            }
        }
        self.events += count as u64;
        Ok(())
    }
}
