//! systemd and `/dev/watchdog` as dogs that are fed by progress.
//!
//! | dog | when it bites | told of by |
//! |---|---|---|
//! | [`Systemd`] | kills the process and starts it again | `NOTIFY_SOCKET`, `WATCHDOG_USEC` (sd_notify(3)) |
//! | [`HardDog`] | resets the board | `[watchdog] device` |
//!
//! [`Watchdogs`] holds those that there are. A run that ends in order dismisses them; one that dies does not, so a
//! board whose lapwing is gone for good is reset by its hardware.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::string::String;

use crate::watchdog::{Dog, Feeder};

/// Longest text of a status in bytes.
const STATUS_BYTES_MAX: usize = 256;
/// What a hardware watchdog is taken to wait where the kernel does not say, in microseconds.
const HARD_TIMEOUT_US: u64 = 10_000_000;

/// A watchdog cannot be had or fed.
#[derive(Debug)]
pub struct WatchdogError {
    place: PathBuf,
    error: io::Error,
}

impl core::fmt::Display for WatchdogError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let cure = match self.error.kind() {
            ErrorKind::NotFound => {
                "; load its driver (`modprobe softdog` where the board has none), or drop [watchdog] device"
            }
            ErrorKind::PermissionDenied => "; run as root, or give this user the device by a udev rule",
            ErrorKind::ResourceBusy => {
                "; somebody feeds it already, often systemd: set RuntimeWatchdogSec=off, or drop [watchdog] device"
            }
            ErrorKind::ConnectionRefused => "; the service manager does not listen",
            _ => "",
        };
        write!(f, "watchdog {}: {}{cure}", super::one_line(&self.place), self.error)
    }
}

impl core::error::Error for WatchdogError {}

/// The service manager's socket.
#[derive(Debug)]
pub struct Systemd {
    socket: UnixDatagram,
    place: PathBuf,
}

impl Systemd {
    /// The manager that started this process and the time after which it wants to hear of it, in microseconds; `None`
    /// where there is none.
    ///
    /// # Errors
    /// `NOTIFY_SOCKET` is set and leads nowhere.
    pub fn from_env() -> Result<Option<(Systemd, Option<u64>)>, WatchdogError> {
        let Some(place) = env::var_os("NOTIFY_SOCKET").filter(|place| !place.is_empty()) else { return Ok(None) };
        let number = |key: &str| env::var(key).ok().and_then(|text| text.parse::<u64>().ok());
        let for_us = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let timeout_us = number("WATCHDOG_USEC").filter(|us| *us > 0 && for_us);
        Ok(Some((Systemd::connect(&place)?, timeout_us)))
    }

    /// The manager that listens at `place`: a path, or an abstract name behind an `@`.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn connect(place: &OsStr) -> Result<Systemd, WatchdogError> {
        let failed = |error| WatchdogError { place: place.into(), error };
        let address = match place.as_bytes().split_first() {
            Some((b'@', name)) => SocketAddr::from_abstract_name(name),
            _ => SocketAddr::from_pathname(place),
        };
        let socket = UnixDatagram::unbound().map_err(failed)?;
        socket.connect_addr(&address.map_err(failed)?).map_err(failed)?;
        // a manager that does not read must not hold up the detector
        socket.set_nonblocking(true).map_err(failed)?;
        Ok(Systemd { socket, place: place.into() })
    }

    /// The service is up.
    ///
    /// # Errors
    /// The manager is gone.
    pub fn ready(&mut self, status: &str) -> Result<(), WatchdogError> {
        let mut text = String::from("READY=1\nSTATUS=");
        let line = status.split('\n').next().unwrap_or("");
        text.extend(line.chars().take(STATUS_BYTES_MAX));
        self.say(text.as_bytes())
    }

    /// The service is about to end in order.
    ///
    /// # Errors
    /// The manager is gone.
    pub fn stopping(&mut self) -> Result<(), WatchdogError> {
        self.say(b"STOPPING=1")
    }

    fn say(&mut self, text: &[u8]) -> Result<(), WatchdogError> {
        match self.socket.send(text) {
            Ok(_) => Ok(()),
            Err(error) => Err(WatchdogError { place: self.place.clone(), error }),
        }
    }
}

impl Dog for Systemd {
    type Error = WatchdogError;

    fn feed(&mut self) -> Result<(), WatchdogError> {
        self.say(b"WATCHDOG=1")
    }
}

/// A watchdog in hardware. It runs from the moment that it is opened.
#[derive(Debug)]
pub struct HardDog {
    file: File,
    place: PathBuf,
}

impl HardDog {
    /// Opens the device and starts it. Returns the time after which it bites, in microseconds.
    ///
    /// # Errors
    /// There is no such device, it is in use, or this user may not open it.
    pub fn open(place: &Path) -> Result<(HardDog, u64), WatchdogError> {
        let file = OpenOptions::new().write(true).open(place);
        let file = file.map_err(|error| WatchdogError { place: place.into(), error })?;
        // /dev/watchdog is another name of /dev/watchdog0
        let name = place
            .file_name()
            .and_then(OsStr::to_str)
            .map_or("watchdog0", |n| if n == "watchdog" { "watchdog0" } else { n });
        let timeout_s = fs::read_to_string(Path::new("/sys/class/watchdog").join(name).join("timeout")).ok();
        let timeout_us = timeout_s.and_then(|s| s.trim().parse::<u64>().ok()).map(|s| s.saturating_mul(1_000_000));
        Ok((HardDog { file, place: place.into() }, timeout_us.filter(|us| *us > 0).unwrap_or(HARD_TIMEOUT_US)))
    }

    /// Stops the device, where its driver allows it.
    ///
    /// # Errors
    /// The device is gone.
    pub fn dismiss(mut self) -> Result<(), WatchdogError> {
        // the kernel's "magic close": a V as the last byte says that the end is meant
        self.put(b"V")
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), WatchdogError> {
        self.file.write_all(bytes).map_err(|error| WatchdogError { place: self.place.clone(), error })
    }
}

impl Dog for HardDog {
    type Error = WatchdogError;

    fn feed(&mut self) -> Result<(), WatchdogError> {
        self.put(b"\0")
    }
}

/// Every watchdog of a process.
#[derive(Debug, Default)]
pub struct Watchdogs {
    /// A manager that does not watch.
    manager: Option<Systemd>,
    /// One that does.
    systemd: Option<Feeder<Systemd>>,
    hard: Option<Feeder<HardDog>>,
}

impl Watchdogs {
    /// The service manager's, if there is one, and the device's, if one is given.
    ///
    /// # Errors
    /// One that was asked for cannot be had.
    pub fn open(device: Option<&Path>) -> Result<Watchdogs, WatchdogError> {
        let mut dogs = match Systemd::from_env()? {
            Some((manager, timeout_us)) => Watchdogs::of(manager, timeout_us),
            None => Watchdogs::default(),
        };
        dogs.hard = device.map(HardDog::open).transpose()?.map(|(dog, us)| Feeder::new(dog, us));
        Ok(dogs)
    }

    /// A service manager's alone.
    pub fn of(manager: Systemd, timeout_us: Option<u64>) -> Watchdogs {
        match timeout_us {
            Some(us) => Watchdogs { systemd: Some(Feeder::new(manager, us)), ..Watchdogs::default() },
            None => Watchdogs { manager: Some(manager), ..Watchdogs::default() },
        }
    }

    /// The program is up.
    ///
    /// # Errors
    /// The manager is gone.
    pub fn ready(&mut self, status: &str) -> Result<(), WatchdogError> {
        self.manager().map_or(Ok(()), |manager| manager.ready(status))
    }

    /// Something was achieved.
    ///
    /// # Errors
    /// A dog is gone; the others are fed all the same.
    pub fn progress(&mut self, now_us: u64) -> Result<(), WatchdogError> {
        let systemd = self.systemd.as_mut().map_or(Ok(()), |feeder| feeder.progress(now_us));
        let hard = self.hard.as_mut().map_or(Ok(()), |feeder| feeder.progress(now_us));
        systemd.and(hard)
    }

    /// The program ends in order: nobody bites.
    ///
    /// # Errors
    /// A dog is gone.
    pub fn dismiss(mut self) -> Result<(), WatchdogError> {
        let told = self.manager().map_or(Ok(()), Systemd::stopping);
        let hard = self.hard.take().map_or(Ok(()), |feeder| feeder.into_dog().dismiss());
        told.and(hard)
    }

    fn manager(&mut self) -> Option<&mut Systemd> {
        self.manager.as_mut().or_else(|| self.systemd.as_mut().map(Feeder::dog_mut))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    fn heard(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 512];
        let count = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    }

    #[test]
    fn a_manager_hears_of_readiness_of_progress_and_of_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("notify");
        let socket = UnixDatagram::bind(&place).unwrap();
        let mut dogs = Watchdogs::of(Systemd::connect(place.as_os_str()).unwrap(), Some(4_000_000));
        dogs.ready("watching the gate\nREADY=0").unwrap();
        for now_us in [0, 999_999, 1_000_000, 1_500_000, 2_500_000] {
            dogs.progress(now_us).unwrap();
        }
        dogs.dismiss().unwrap();
        assert_eq!(heard(&socket), "READY=1\nSTATUS=watching the gate");
        for _ in 0..3 {
            assert_eq!(heard(&socket), "WATCHDOG=1");
        }
        assert_eq!(heard(&socket), "STOPPING=1");
    }

    #[test]
    fn an_abstract_name_and_a_manager_that_does_not_watch() {
        let name = std::format!("lapwing-test-{}", std::process::id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name.as_bytes()).unwrap()).unwrap();
        let manager = Systemd::connect(OsStr::new(&std::format!("@{name}"))).unwrap();
        let mut dogs = Watchdogs::of(manager, None);
        dogs.progress(0).unwrap(); // not asked for
        dogs.ready("up").unwrap();
        dogs.progress(9_000_000).unwrap();
        dogs.dismiss().unwrap();
        assert_eq!(heard(&socket), "READY=1\nSTATUS=up");
        assert_eq!(heard(&socket), "STOPPING=1");
    }

    #[test]
    fn a_device_is_fed_and_dismissed_by_its_magic_byte() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("watchdog");
        fs::write(&place, "").unwrap();
        let (dog, timeout_us) = HardDog::open(&place).unwrap();
        let mut feeder = Feeder::new(dog, timeout_us);
        for now_us in [0, timeout_us / 8, timeout_us / 4] {
            feeder.progress(now_us).unwrap();
        }
        feeder.into_dog().dismiss().unwrap();
        assert_eq!(fs::read(&place).unwrap(), b"\0\0V");
    }

    #[test]
    fn what_is_not_there_is_named_with_a_cure() {
        let said = HardDog::open(Path::new("/dev/no-watchdog")).unwrap_err().to_string();
        assert!(said.contains("/dev/no-watchdog") && said.contains("softdog"), "{said}");
        let said = Systemd::connect(OsStr::new("/nowhere/notify")).unwrap_err().to_string();
        assert!(said.contains("/nowhere/notify"), "{said}");
    }
}
