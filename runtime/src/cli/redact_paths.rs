//! Where `lapwing redact` writes: what OUT means for each kind of IN, and that IN is never overwritten.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use lapwing_camera::frame::printable::Printable;
use lapwing_camera::{SourceSpec, Y4m};
use lapwing_runtime::sinks::ClipKind;

use super::out::Failure;

/// JPEG quality of what is written.
pub const QUALITY: u8 = 92;

/// Where the redacted pictures go.
pub enum Target {
    /// One file.
    Picture(PathBuf),
    /// A folder; each picture takes its path below the first one's.
    Folder { from: PathBuf, to: PathBuf },
    /// A clip.
    Clip(Clip),
}

/// A clip of the kind of another.
pub struct Clip {
    to: PathBuf,
    /// What is written.
    pub kind: ClipKind,
}

/// What `output` means for a source, or why it cannot be.
pub fn target(spec: &SourceSpec, output: &Path) -> Result<Target, Failure> {
    let call = |what: String| Failure::Call(format!("OUT {}: {what}", Printable(output.display())));
    let (from, to) = match spec {
        SourceSpec::V4l(_) => {
            return Err(Failure::Call("a camera is redacted by `lapwing run`; give a picture, folder or clip".into()));
        }
        SourceSpec::Bundled => (PathBuf::new(), output.to_owned()),
        SourceSpec::Pictures(path) | SourceSpec::Y4m(path) | SourceSpec::Mjpeg(path, _) => {
            (path.clone(), output.to_owned())
        }
    };
    let ends_like = |endings: &[&str]| {
        let ending = output.extension().and_then(|e| e.to_str()).unwrap_or("");
        endings.iter().any(|e| e.eq_ignore_ascii_case(ending))
    };
    match spec {
        SourceSpec::Y4m(_) | SourceSpec::Mjpeg(..) => {
            let raw = matches!(spec, SourceSpec::Y4m(_));
            if !ends_like(if raw { &["y4m"] } else { &["mjpeg", "mjpg"] }) || output.is_dir() {
                return Err(call(format!("give a {} file", if raw { ".y4m" } else { ".mjpeg" })));
            }
            refuse_same(&from, &to).map_err(Failure::Call)?;
            let kind = if raw { ClipKind::Y4m(header(&from)?) } else { ClipKind::Mjpeg(QUALITY) };
            Ok(Target::Clip(Clip { to, kind }))
        }
        SourceSpec::Pictures(path)
            if path.is_file() && !path.extension().is_some_and(|e| e.eq_ignore_ascii_case("tar")) =>
        {
            let to = match path.file_name() {
                Some(name) if output.is_dir() => output.join(name),
                _ if ends_like(&["jpg", "jpeg", "png"]) => to,
                _ => return Err(call("give a .jpg or .png file, or a folder that exists".into())),
            };
            refuse_same(path, &to).map_err(Failure::Call)?;
            Ok(Target::Picture(to))
        }
        _ => {
            if output.is_file() {
                return Err(call("it is a file; the pictures go into a folder".into()));
            }
            if let (Ok(from), Some(to)) = (fs::canonicalize(&from), as_it_will_be(output))
                && from.is_dir()
                && (to.starts_with(&from) || from.starts_with(&to))
            {
                return Err(call("it lies in IN, or IN in it; IN is never changed, so give another folder".into()));
            }
            Ok(Target::Folder { from, to })
        }
    }
}

fn header(path: &Path) -> Result<lapwing_camera::y4m::Header, Failure> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|e| Failure::Call(format!("{}: {e}", Printable(&name))))?;
    Ok(Y4m::new(file, &name).map_err(Failure::call)?.header().clone())
}

/// The real path of what may not exist yet: that of the nearest folder above that does, and the rest.
pub(super) fn as_it_will_be(path: &Path) -> Option<PathBuf> {
    let whole = std::path::absolute(path).ok()?;
    whole.ancestors().find_map(|above| {
        let rest = whole.strip_prefix(above).ok()?;
        Some(fs::canonicalize(above).ok()?.join(rest))
    })
}

/// Refuses to write over what is read.
///
/// # Errors
/// That both are one file.
pub fn refuse_same(from: &Path, to: &Path) -> Result<(), String> {
    if let (Ok(a), Ok(b)) = (fs::metadata(from), fs::metadata(to))
        && (a.dev(), a.ino()) == (b.dev(), b.ino())
    {
        return Err(format!("{} is the file that is read; give another OUT", Printable(to.display())));
    }
    Ok(())
}

/// Paths that this run has written: names that are told alike, such as those that differ only in bytes that are no UTF-8,
/// must not fall on each other.
#[derive(Debug, Default)]
pub struct Taken(HashMap<PathBuf, u32>);

impl Taken {
    /// `path`, or where this run has written it already the same with a number.
    pub fn free(&mut self, path: PathBuf) -> PathBuf {
        let mut candidate = path.clone();
        loop {
            let Some(times) = self.0.get_mut(&candidate) else {
                self.0.insert(candidate.clone(), 1);
                return candidate;
            };
            *times = times.saturating_add(1);
            let stem = candidate.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let ending = path.extension().map_or(String::new(), |ending| format!(".{}", ending.to_string_lossy()));
            candidate = candidate.with_file_name(format!("{stem}-{times}{ending}"));
        }
    }
}

impl Target {
    /// Where the picture called `name` goes.
    ///
    /// # Errors
    /// A name that leads out of the folder.
    pub fn path_of(&self, name: &str) -> Result<PathBuf, String> {
        match self {
            Target::Picture(to) => Ok(to.clone()),
            Target::Clip(clip) => Ok(clip.to.clone()),
            Target::Folder { from, to } => {
                let inside = Path::new(name).strip_prefix(from).unwrap_or(Path::new(name));
                if inside.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir)) {
                    Ok(to.join(inside))
                } else {
                    Err(format!(
                        "{}: its name leads out of {}; it is not written",
                        Printable(name),
                        Printable(to.display())
                    ))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_the_folder() {
        let folder = Target::Folder { from: "in".into(), to: "out".into() };
        assert_eq!(folder.path_of("in/a/b.jpg").unwrap(), Path::new("out/a/b.jpg"));
        assert_eq!(folder.path_of("photo.jpg").unwrap(), Path::new("out/photo.jpg"));
        for name in ["/etc/b.jpg", "in/../b.jpg", "../b.jpg", "in//etc/../../b.jpg"] {
            assert!(folder.path_of(name).is_err(), "{name}");
        }
    }

    #[test]
    fn names_that_are_told_alike_do_not_fall_on_each_other() {
        let mut taken = Taken::default();
        let free: Vec<PathBuf> = (0..4).map(|_| taken.free("out/a\u{fffd}.jpg".into())).collect();
        let names: Vec<_> = free.iter().map(|path| path.to_string_lossy().into_owned()).collect();
        assert_eq!(names[0], "out/a\u{fffd}.jpg");
        assert_eq!(std::collections::BTreeSet::from_iter(&names).len(), 4, "{names:?}");
        assert!(names.iter().all(|name| name.starts_with("out/a\u{fffd}") && name.ends_with(".jpg")), "{names:?}");
    }

    #[test]
    fn what_is_read_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let inside = |name: &str| dir.path().join(name);
        fs::create_dir_all(inside("in/deep")).unwrap();
        fs::write(inside("in/a.jpg"), "x").unwrap();
        fs::hard_link(inside("in/a.jpg"), inside("link.jpg")).unwrap();
        std::os::unix::fs::symlink(inside("in"), inside("way")).unwrap();
        let refused = |from: &str, to: &str| {
            let spec = SourceSpec::parse(&inside(from).to_string_lossy()).unwrap();
            target(&spec, &inside(to)).is_err()
        };
        for to in ["in/a.jpg", "link.jpg", "in", "way/a.jpg", "way/../in/a.jpg", "a.gif", "a"] {
            assert!(refused("in/a.jpg", to), "{to}");
        }
        for to in ["in", "in/new", "in/deep", "way", "way/new", "link.jpg", "."] {
            assert!(refused("in", to), "{to}");
        }
        for (from, to) in
            [("in/a.jpg", "b.png"), ("in/a.jpg", "in/deep"), ("in", "new"), ("in", "new/er"), ("in", "inn")]
        {
            assert!(!refused(from, to), "{from} {to}");
        }
    }
}
