//! Pictures inside a `.tar`, read in order without unpacking.
//!
//! [`Tarball`] visits the regular files whose names end like a picture's; folders, links, other files and names that
//! begin with a dot (macOS' shadow files) are passed over. It reads one header at a time and knows where the next one is,
//! so that nothing is read that is not wanted. Plain and GNU or pax long names are read, compressed archives are not.
//! A sparse member, of which the archive holds only the parts that are not zero, is one [`Entry::Broken`]: it would have
//! to be put together.

use std::io::{Read, Seek, SeekFrom};

use tar::{Archive, EntryType};

use super::SourceError;
use super::picture_file::{PICTURE_BYTES_MAX, is_picture_name};

/// The most entries of one archive that are visited.
pub const ENTRIES_MAX: u64 = 10_000_000;
/// The most bytes of one entry's headers (long names, pax records).
pub const HEADER_BYTES_MAX: u64 = 1024 * 1024;

const BLOCK_BYTES: u64 = 512;

/// What the archive holds next.
#[derive(Debug)]
pub enum Entry {
    /// A picture: its bytes and name are in the caller's buffers.
    Picture,
    /// An entry or the archive itself cannot be used.
    Broken(SourceError),
    /// There is nothing more.
    End,
}

/// An open archive.
#[derive(Debug)]
pub struct Tarball<R> {
    reader: R,
    path: String,
    /// Where the next header is.
    at: u64,
    entries: u64,
    ended: bool,
}

/// One entry's place and name.
struct Found {
    data_at: u64,
    bytes: u64,
    kind: EntryType,
    name: String,
    /// Some of its zeros are left out.
    is_sparse: bool,
}

impl<R: Read + Seek> Tarball<R> {
    /// Begins at the reader's start; `path` is the archive's name in messages.
    #[must_use]
    pub fn new(reader: R, path: &str) -> Self {
        Self { reader, path: path.to_owned(), at: 0, entries: 0, ended: false }
    }

    /// Reads the next picture into `bytes` and `archive/name` into `name`.
    pub fn next_picture(&mut self, bytes: &mut Vec<u8>, name: &mut String) -> Entry {
        let found = match self.find() {
            Ok(Some(found)) => found,
            Ok(None) => return Entry::End,
            Err(error) => return Entry::Broken(error),
        };
        name.clear();
        name.push_str(&self.path);
        name.push('/');
        name.push_str(&found.name);
        if found.bytes > PICTURE_BYTES_MAX {
            let error = SourceError::TooLarge { name: name.clone(), bytes: found.bytes, bytes_max: PICTURE_BYTES_MAX };
            return Entry::Broken(error);
        }
        match self.read(&found, bytes) {
            Ok(got) if got == found.bytes => Entry::Picture,
            Ok(got) => {
                self.ended = true;
                let why = format!("{} is cut short, {got} of {} bytes", found.name, found.bytes);
                Entry::Broken(self.damage(found.data_at, why))
            }
            Err(cause) => {
                self.ended = true;
                Entry::Broken(SourceError::io(&self.path, cause))
            }
        }
    }

    /// Passes over the next picture.
    pub fn skip_picture(&mut self) -> Entry {
        match self.find() {
            Ok(Some(_)) => Entry::Picture,
            Ok(None) => Entry::End,
            Err(error) => Entry::Broken(error),
        }
    }

    fn read(&mut self, found: &Found, bytes: &mut Vec<u8>) -> std::io::Result<u64> {
        bytes.clear();
        self.reader.seek(SeekFrom::Start(found.data_at))?;
        let got = (&mut self.reader).take(found.bytes).read_to_end(bytes)?;
        Ok(got as u64)
    }

    /// The next picture's place. A damaged header ends the archive: where the next one is, is then unknown.
    fn find(&mut self) -> Result<Option<Found>, SourceError> {
        while !self.ended {
            let found = self.header();
            self.ended = !matches!(found, Ok(Some(_)));
            let Some(found) = found? else {
                break;
            };
            let wanted = matches!(found.kind, EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse);
            if wanted && is_picture_name(&found.name) {
                if found.is_sparse {
                    return Err(SourceError::Sparse { name: format!("{}/{}", self.path, found.name) });
                }
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Reads the header at `self.at` and moves to the next.
    fn header(&mut self) -> Result<Option<Found>, SourceError> {
        let at = self.at;
        self.entries += 1;
        if self.entries > ENTRIES_MAX {
            return Err(self.damage(at, format!("it has more than {ENTRIES_MAX} entries")));
        }
        let found = read_header(&mut self.reader, at).map_err(|why| self.damage(at, why))?;
        let Some(found) = found else {
            return Ok(None);
        };
        let padded = found.bytes.checked_next_multiple_of(BLOCK_BYTES);
        let next = padded.and_then(|bytes| found.data_at.checked_add(bytes)).filter(|&next| next > at);
        self.at = next.ok_or_else(|| self.damage(at, "an entry's size is impossible".to_owned()))?;
        Ok(Some(found))
    }

    fn damage(&self, at: u64, why: String) -> SourceError {
        SourceError::Tar { path: self.path.clone(), at, why }
    }

    /// Goes back to the first entry.
    pub fn rewind(&mut self) {
        (self.at, self.entries, self.ended) = (0, 0, false);
    }
}

/// Reads one header at `at`, with the long names before it. `None`: the archive ends here.
fn read_header<R: Read + Seek>(reader: &mut R, at: u64) -> Result<Option<Found>, String> {
    reader.seek(SeekFrom::Start(at)).map_err(|error| error.to_string())?;
    let mut archive = Archive::new((&mut *reader).take(HEADER_BYTES_MAX));
    let mut entries = archive.entries().map_err(|error| error.to_string())?;
    let (mut found, header_at) = match entries.next() {
        None => return Ok(None),
        Some(Err(error)) => return Err(error.to_string()),
        Some(Ok(mut entry)) => (found(&mut entry).map_err(|error| error.to_string())?, entry.raw_header_position()),
    };
    let maps = match found.kind {
        EntryType::GNUSparse => maps(reader, at.saturating_add(header_at)).map_err(|error| error.to_string())?,
        _ => 0,
    };
    let past = "an entry lies past the end of all files";
    found.data_at = found.data_at.checked_add(at).and_then(|place| place.checked_add(maps)).ok_or(past)?;
    Ok(Some(found))
}

/// What an entry's headers say; its place is counted from the first of them.
fn found(entry: &mut tar::Entry<'_, impl Read>) -> std::io::Result<Found> {
    let mut name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
    let (data_at, kind) = (entry.raw_file_position(), entry.header().entry_type());
    if kind == EntryType::GNUSparse {
        // the entry's size is that of the whole file, the header's that of what is stored
        let bytes = entry.header().entry_size()?;
        return Ok(Found { data_at, bytes, kind, name, is_sparse: true });
    }
    let (bytes, mut is_sparse) = (entry.size(), false);
    for record in entry.pax_extensions()?.into_iter().flatten() {
        let record = record?;
        is_sparse |= record.key_bytes().starts_with(b"GNU.sparse.");
        if record.key_bytes() == b"GNU.sparse.name" {
            name = String::from_utf8_lossy(record.value_bytes()).into_owned(); // the header's is that of no file
        }
    }
    Ok(Found { data_at, bytes, kind, name, is_sparse })
}

/// Bytes of the maps behind the header of an old GNU sparse member: blocks, each of which says whether another follows.
fn maps<R: Read + Seek>(reader: &mut R, header_at: u64) -> std::io::Result<u64> {
    /// Where the header and each block behind it say so.
    const MORE_AT: [usize; 2] = [482, 504];
    reader.seek(SeekFrom::Start(header_at))?;
    let mut block = [0; BLOCK_BYTES as usize];
    reader.read_exact(&mut block)?;
    let (mut bytes, mut more) = (0, block[MORE_AT[0]]);
    while more != 0 && bytes < HEADER_BYTES_MAX {
        reader.read_exact(&mut block)?;
        (bytes, more) = (bytes + BLOCK_BYTES, block[MORE_AT[1]]);
    }
    Ok(bytes)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::io::Cursor;

    /// An archive of files.
    pub fn pack(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            builder.append_data(&mut header, name, *bytes).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn list(bytes: Vec<u8>) -> Vec<String> {
        let mut tarball = Tarball::new(Cursor::new(bytes), "a.tar");
        let (mut bytes, mut name, mut all) = (Vec::new(), String::new(), Vec::new());
        loop {
            match tarball.next_picture(&mut bytes, &mut name) {
                Entry::Picture => all.push(format!("{name}={}", bytes.len())),
                Entry::Broken(error) => all.push(error.to_string()),
                Entry::End => return all,
            }
        }
    }

    #[test]
    fn pictures_are_found_among_other_things() {
        let long = format!("{}/x.jpeg", "deep/".repeat(60));
        let archive = pack(&[
            ("a.jpg", &[1; 700]),
            ("notes.txt", b"no"),
            ("._b.jpg", b"shadow"),
            (&long, &[2; 512]),
            ("c.PNG", b""),
        ]);
        assert_eq!(
            list(archive),
            ["a.tar/a.jpg=700".to_owned(), format!("a.tar/{long}=512"), "a.tar/c.PNG=0".to_owned()]
        );
    }

    #[test]
    fn folders_and_links_are_passed_over() {
        let mut builder = tar::Builder::new(Vec::new());
        for (kind, name) in [(EntryType::Directory, "d.jpg"), (EntryType::Symlink, "l.jpg"), (EntryType::Link, "h.jpg")]
        {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(0);
            builder.append_link(&mut header, name, "target").unwrap();
        }
        assert!(list(builder.into_inner().unwrap()).is_empty());
    }

    /// A header of `size` stored bytes with its checksum.
    fn header(name: &str, kind: EntryType, size: usize, change: impl Fn(&mut [u8])) -> Vec<u8> {
        let mut header = tar::Header::new_gnu();
        header.set_path(name).unwrap();
        header.set_entry_type(kind);
        header.set_size(size as u64);
        change(header.as_mut_bytes());
        header.set_cksum();
        header.as_bytes().to_vec()
    }

    fn padded(bytes: &[u8]) -> Vec<u8> {
        let mut padded = bytes.to_vec();
        padded.resize(bytes.len().next_multiple_of(512), 0);
        padded
    }

    /// Old GNU sparse: 30 parts of 512 bytes, in a map of two blocks behind the header.
    fn old_sparse(name: &str) -> Vec<u8> {
        let number = |field: &mut [u8], n: usize| field.copy_from_slice(format!("{n:011o}\0").as_bytes());
        let part = |place: &mut [u8], n: usize| {
            number(&mut place[..12], n * 4096);
            number(&mut place[12..24], 512);
        };
        let mut member = header(name, EntryType::GNUSparse, 30 * 512, |bytes| {
            (0..4).for_each(|n| part(&mut bytes[386 + 24 * n..], n));
            bytes[482] = 1;
            number(&mut bytes[483..495], 29 * 4096 + 512);
        });
        for (from, to) in [(4, 25), (25, 30)] {
            let mut block = [0; 512];
            (from..to).for_each(|n| part(&mut block[24 * (n - from)..], n));
            block[504] = u8::from(to < 30);
            member.extend(block);
        }
        member.extend([7; 30 * 512]);
        member
    }

    /// A pax member with these records.
    fn pax(records: &[(&str, &str)], name: &str, bytes: &[u8]) -> Vec<u8> {
        let mut text = String::new();
        for (key, value) in records {
            let rest = format!(" {key}={value}\n");
            let length = (1..).find(|n| n.to_string().len() + rest.len() == *n).unwrap();
            text += &format!("{length}{rest}");
        }
        let mut member = header("PaxHeaders/x", EntryType::XHeader, text.len(), |_| {});
        member.extend(padded(text.as_bytes()));
        member.extend(header(name, EntryType::Regular, bytes.len(), |_| {}));
        member.extend(padded(bytes));
        member
    }

    /// Sparse members of all kinds among others.
    pub fn sparse() -> Vec<u8> {
        let plain = |name: &str| [header(name, EntryType::Regular, 3, |_| {}), padded(b"abc")].concat();
        let newest = [("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.name", "d.jpg")];
        [
            old_sparse("a.jpg"),
            plain("b.jpg"),
            old_sparse("no-picture.img"),
            pax(&newest, "GNUSparseFile.1/d.jpg", &[1; 700]),
            pax(&[("GNU.sparse.map", "0,5")], "e.jpg", &[1; 5]),
            pax(&[("mtime", "1.5")], "f.jpg", b"abcd"),
            vec![0; 1024],
        ]
        .concat()
    }

    #[test]
    fn a_sparse_member_is_named_and_passed_over() {
        let archive = sparse();
        let all = list(archive.clone());
        let sparse = |line: &str, name: &str| line.starts_with(&format!("a.tar/{name} is a sparse member"));
        assert!(sparse(&all[0], "a.jpg") && sparse(&all[2], "d.jpg") && sparse(&all[3], "e.jpg"), "{all:?}");
        assert_eq!([&all[1], &all[4]], ["a.tar/b.jpg=3", "a.tar/f.jpg=4"]);
        assert_eq!(all.len(), 5);
        let mut tarball = Tarball::new(Cursor::new(archive), "a.tar");
        let skipped: Vec<bool> = (0..6).map(|_| matches!(tarball.skip_picture(), Entry::Picture)).collect();
        assert_eq!(skipped, [false, true, false, false, true, false]);
    }

    #[test]
    fn damage_is_told_with_its_place() {
        let archive = pack(&[("a.jpg", &[1; 700]), ("b.jpg", &[1; 700])]);
        let cut = list(archive[..2048 + 100].to_vec());
        assert_eq!(cut.len(), 2);
        assert!(cut[1].contains("a.tar is damaged as a tar archive near byte 2048"), "{}", cut[1]);
        let mut bad = archive.clone();
        bad[1536 + 150] ^= 0x55; // the second header's checksum
        assert!(list(bad)[1].contains("near byte 1536"));
        assert_eq!(list(b"\x1f\x8b not a tar".repeat(100)).len(), 1);
        assert!(list(Vec::new()).is_empty());
    }

    #[test]
    fn it_can_be_read_again() {
        let mut tarball = Tarball::new(Cursor::new(pack(&[("a.jpg", b"12"), ("b.jpg", b"3")])), "a.tar");
        let (mut bytes, mut name) = (Vec::new(), String::new());
        for _ in 0..2 {
            assert!(matches!(tarball.skip_picture(), Entry::Picture));
            assert!(matches!(tarball.next_picture(&mut bytes, &mut name), Entry::Picture));
            assert_eq!((name.as_str(), bytes.as_slice()), ("a.tar/b.jpg", &b"3"[..]));
            assert!(matches!(tarball.skip_picture(), Entry::End));
            tarball.rewind();
        }
    }
}
