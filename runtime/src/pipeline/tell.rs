//! What the recorder tells goes to the sinks.

use lapwing_firmware::log::Durable;

use super::report::{Observer, Seen};
use crate::name_table::NameTable;
use crate::privacy::Redacted;
use crate::sinks::{Recorded, Sinks};
use lapwing_camera::frame::Frame;

impl Observer for &Sinks {
    fn seen(&mut self, seen: &Seen<'_>) {
        self.frame(|looked| {
            (looked.seq, looked.width, looked.height) = (seen.seq, seen.width, seen.height);
            (looked.times, looked.stale_us, looked.hidden) = (seen.times, seen.stale_us, seen.hidden);
            looked.name.clear();
            looked.name.push_str(seen.name);
            looked.detections.clear();
            let _ = looked.detections.extend_from_slice(seen.detections); // never more than DETECTIONS_MAX
            looked.picture.clear();
            let stored = seen.picture.and_then(|path| path.file_name());
            looked.picture.push_str(&stored.map(|name| name.to_string_lossy()).unwrap_or_default());
        });
    }

    fn recorded(&mut self, recorded: &Durable<Recorded>, _name_table: &NameTable) {
        self.event(recorded);
    }

    fn picture(&mut self, picture: Redacted<Frame>) -> Frame {
        Sinks::picture(self, picture)
    }

    fn trouble(&mut self, what: &str) {
        Sinks::trouble(self, what);
    }
}
