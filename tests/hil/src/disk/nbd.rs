//! The disk over the NBD protocol (newstyle, fixed), on a Unix socket, for one client at a time.
//!
//! Reference: the protocol's own document, `doc/proto.md` of NetworkBlockDevice/nbd. Options: INFO,
//! GO, EXPORT_NAME, ABORT. Commands: READ, WRITE (FUA), FLUSH, DISC. A disk without power answers
//! nothing; the connection stays until the client goes.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::cache::{Disk, Reply};
use crate::trouble::{Result, Trouble, at};

/// Largest read or write that is served, in bytes.
const REQUEST_BYTES_MAX: u32 = 64 * 1024 * 1024;
/// Largest option that is read, in bytes.
const OPTION_BYTES_MAX: u32 = 64 * 1024;

const FLAGS: u16 = 1 | 4 | 8; // HAS_FLAGS, SEND_FLUSH, SEND_FUA
const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
const REQUEST_MAGIC: u32 = 0x2560_9513;
const REPLY_MAGIC: u32 = 0x6744_6698;
const EIO: u32 = 5;
const EINVAL: u32 = 22;

/// A disk that the server and the harness share.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<Disk>>);

impl Shared {
    /// Shares a disk.
    pub fn new(disk: Disk) -> Shared {
        Shared(Arc::new(Mutex::new(disk)))
    }

    /// The disk, for as long as the guard lives.
    pub fn lock(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A server on a socket. Dropping it removes the socket's name.
pub struct Server {
    path: PathBuf,
}

impl Server {
    /// Serves `disk` on `path`; calls `on_power_off` once each time the power goes.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn start(disk: &Shared, path: &Path, on_power_off: impl Fn() + Send + 'static) -> Result<Server> {
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path).map_err(at(path))?;
        let disk = disk.clone();
        let spawned = thread::Builder::new().name("nbd".into()).spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                let _ = serve(client, &disk, &on_power_off); // the client went, in whatever manner
            }
        });
        spawned.map_err(|e| Trouble::Rig(format!("thread: {e}")))?;
        Ok(Server { path: path.into() })
    }

    /// The socket.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn array<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn serve(mut client: UnixStream, disk: &Shared, on_power_off: &impl Fn()) -> io::Result<()> {
    if !negotiate(&mut client, disk.lock().len() as u64)? {
        return Ok(());
    }
    loop {
        if u32::from_be_bytes(array(&mut client)?) != REQUEST_MAGIC {
            return Err(ErrorKind::InvalidData.into());
        }
        let flags = u16::from_be_bytes(array(&mut client)?);
        let command = u16::from_be_bytes(array(&mut client)?);
        let cookie: [u8; 8] = array(&mut client)?;
        let offset = u64::from_be_bytes(array(&mut client)?) as usize;
        let length = u32::from_be_bytes(array(&mut client)?);
        if length > REQUEST_BYTES_MAX {
            return Err(ErrorKind::InvalidData.into());
        }
        let mut bytes = Vec::new();
        let reply = match command {
            0 => {
                bytes.resize(length as usize, 0);
                disk.lock().read(offset, &mut bytes)
            }
            1 => {
                let mut written = vec![0; length as usize];
                client.read_exact(&mut written)?;
                disk.lock().write(offset, written, flags & 1 != 0)
            }
            2 => return Ok(()),
            3 => disk.lock().flush(),
            _ => {
                answer(&mut client, EINVAL, cookie, &[])?;
                continue;
            }
        };
        if reply == Reply::Silence {
            on_power_off();
            io::copy(&mut client, &mut io::sink())?; // until the client is gone
            return Ok(());
        }
        let (error, data) = if reply == Reply::Done { (0, bytes.as_slice()) } else { (EIO, [].as_slice()) };
        answer(&mut client, error, cookie, data)?;
    }
}

fn answer(client: &mut UnixStream, error: u32, cookie: [u8; 8], bytes: &[u8]) -> io::Result<()> {
    let mut out = Vec::with_capacity(16 + bytes.len());
    out.extend(REPLY_MAGIC.to_be_bytes());
    out.extend(error.to_be_bytes());
    out.extend(cookie);
    out.extend(bytes);
    client.write_all(&out)
}

/// The handshake; false if the client left.
fn negotiate(client: &mut UnixStream, size: u64) -> io::Result<bool> {
    client.write_all(b"NBDMAGICIHAVEOPT")?;
    client.write_all(&3u16.to_be_bytes())?; // fixed newstyle, no zeroes
    let no_zeroes = u32::from_be_bytes(array(client)?) & 2 != 0;
    loop {
        let _magic: [u8; 8] = array(client)?;
        let option = u32::from_be_bytes(array(client)?);
        let length = u32::from_be_bytes(array(client)?);
        if length > OPTION_BYTES_MAX {
            return Err(ErrorKind::InvalidData.into());
        }
        io::copy(&mut Read::by_ref(client).take(u64::from(length)), &mut io::sink())?;
        let mut reply = |kind: u32, data: &[u8]| {
            let mut out = Vec::new();
            out.extend(OPTION_REPLY_MAGIC.to_be_bytes());
            out.extend(option.to_be_bytes());
            out.extend(kind.to_be_bytes());
            out.extend((data.len() as u32).to_be_bytes());
            out.extend(data);
            client.write_all(&out)
        };
        let mut export = Vec::new();
        export.extend(size.to_be_bytes());
        export.extend(FLAGS.to_be_bytes());
        match option {
            1 => {
                client.write_all(&export)?;
                client.write_all(if no_zeroes { &[] } else { &[0; 124] })?;
                return Ok(true);
            }
            2 => {
                reply(1, &[])?;
                return Ok(false);
            }
            6 | 7 => {
                reply(3, &[&[0, 0], export.as_slice()].concat())?; // INFO of the export
                reply(1, &[])?;
                if option == 7 {
                    return Ok(true);
                }
            }
            _ => reply(0x8000_0001, &[])?, // not known here
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect(path: &Path) -> UnixStream {
        let mut client = UnixStream::connect(path).unwrap();
        let _hello: [u8; 18] = array(&mut client).unwrap();
        client.write_all(&3u32.to_be_bytes()).unwrap();
        client.write_all(b"IHAVEOPT").unwrap();
        client.write_all(&[0, 0, 0, 7, 0, 0, 0, 0]).unwrap();
        let info: [u8; 32] = array(&mut client).unwrap();
        assert_eq!(info[16..20], [0, 0, 0, 12]);
        let _ack: [u8; 20] = array(&mut client).unwrap();
        client
    }

    fn ask(client: &mut UnixStream, command: u16, offset: u64, length: u32, data: &[u8]) {
        let mut out = Vec::new();
        out.extend(REQUEST_MAGIC.to_be_bytes());
        out.extend([0, 0]);
        out.extend(command.to_be_bytes());
        out.extend([7; 8]);
        out.extend(offset.to_be_bytes());
        out.extend(length.to_be_bytes());
        out.extend(data);
        client.write_all(&out).unwrap();
    }

    fn heard(client: &mut UnixStream) -> u32 {
        let reply: [u8; 16] = array(client).unwrap();
        u32::from_be_bytes([reply[4], reply[5], reply[6], reply[7]])
    }

    #[test]
    fn a_client_reads_what_it_wrote_and_hears_of_faults() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Shared::new(Disk::new(vec![0; 4096], 512, 1));
        let (sent, off) = std::sync::mpsc::channel();
        let server = Server::start(&disk, &folder.path().join("nbd"), move || sent.send(()).unwrap()).unwrap();
        let mut client = connect(server.path());
        ask(&mut client, 1, 512, 512, &[9; 512]);
        assert_eq!(heard(&mut client), 0);
        ask(&mut client, 0, 512, 512, &[]);
        assert_eq!(heard(&mut client), 0);
        assert_eq!(array::<512>(&mut client).unwrap(), [9; 512]);
        ask(&mut client, 0, 4096, 512, &[]);
        assert_eq!(heard(&mut client), EIO);
        disk.lock().fail_writes(true);
        ask(&mut client, 3, 0, 0, &[]);
        assert_eq!(heard(&mut client), EIO);
        disk.lock().fail_writes(false);
        disk.lock().cut_at(1);
        ask(&mut client, 3, 0, 0, &[]);
        off.recv().unwrap();
        drop(client);
        disk.lock().power_cut();
        let mut client = connect(server.path()); // the power is back
        ask(&mut client, 3, 0, 0, &[]);
        assert_eq!(heard(&mut client), 0);
    }
}
