//! The walk over the pictures of some paths.

use std::path::PathBuf;
use std::time::Duration;

use lapwing_camera::frame::Frame;
use lapwing_camera::frame::printable::Printable;
use lapwing_camera::{Next, SourceSpec};

use super::out::{Complaints, Failure};

const WAIT: Duration = Duration::from_secs(5);

/// Calls `each` with the pictures of all paths until it gives false. What cannot be read or used is told and counted;
/// returns how many that were.
///
/// # Errors
/// A path that is no source.
pub fn each_frame(paths: &[PathBuf], each: &mut dyn FnMut(&mut Frame) -> Result<bool, String>) -> Result<u64, Failure> {
    let (mut frame, mut failures, mut complaints) = (Frame::new(), 0, Complaints::new());
    let parsed = paths.iter().map(|path| SourceSpec::parse(&path.to_string_lossy()).map_err(Failure::call));
    for spec in parsed.collect::<Result<Vec<_>, _>>()? {
        let mut source = spec.open(lapwing_camera::photos::PHOTOS).map_err(Failure::call)?;
        loop {
            let (failed, is_over) = match source.next(&mut frame, WAIT) {
                Next::End => break,
                Next::Timeout => continue,
                Next::Frame => match each(&mut frame) {
                    Ok(true) => continue,
                    Ok(false) => return Ok(failures),
                    Err(what) => (format!("{}: {what}", Printable(frame.name())), false),
                },
                Next::Broken(error) => (error.to_string(), false),
                Next::Lost(error) => (error.to_string(), true),
            };
            complaints.tell(&failed);
            failures += 1;
            if is_over {
                break;
            }
        }
    }
    Ok(failures)
}

/// As [`each_frame`], with every picture in RGB.
///
/// # Errors
/// As there.
pub fn each_picture(
    paths: &[PathBuf],
    each: &mut dyn FnMut(&mut Frame) -> Result<bool, String>,
) -> Result<u64, Failure> {
    each_frame(paths, &mut |frame| {
        frame.develop().map_err(|error| error.to_string())?;
        each(frame)
    })
}

/// A failure if any picture was not used.
///
/// # Errors
/// How many that were.
pub fn all_used(failures: u64) -> Result<(), Failure> {
    match failures {
        0 => Ok(()),
        failures => Err(Failure::Job(format!("{failures} pictures could not be used, see above"))),
    }
}
