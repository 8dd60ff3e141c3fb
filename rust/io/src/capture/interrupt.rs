//! Waiting for a pipe that can be given up.
#![allow(clippy::disallowed_methods, reason = "a wait is in real time")]
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a wait goes on before its caller is asked whether it is still wanted.
const PATIENCE: Duration = Duration::from_millis(100);

/// Asks a caller whether reading is still wanted, about ten times a second while a pipe is read and waited for.
///
/// Once the answer was no, or [`Interrupt::cancel`] was called, reading ends with an error and is not taken up again.
/// Clones are one and the same.
///
/// ```
/// use netfast_io::capture::Interrupt;
///
/// let interrupt = Interrupt::new(|| false);
/// assert!(!interrupt.ask());
/// interrupt.cancel();
/// assert!(interrupt.ask() && interrupt.is_given());
/// ```
#[derive(Clone)]
pub struct Interrupt(Arc<Inner>);

struct Inner {
    given: AtomicBool,
    ask: Box<dyn Fn() -> bool + Send + Sync>,
}

impl Interrupt {
    /// `ask` says true when reading is to end. It is called on the thread that reads.
    pub fn new(ask: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner { given: AtomicBool::new(false), ask: Box::new(ask) }))
    }

    /// Asks; true when reading is to end.
    pub fn ask(&self) -> bool {
        if !self.is_given() && (self.0.ask)() {
            self.cancel();
        }
        self.is_given()
    }

    /// Ends reading, from any thread.
    pub fn cancel(&self) {
        self.0.given.store(true, Ordering::Relaxed);
    }

    /// True once reading was ended.
    pub fn is_given(&self) -> bool {
        self.0.given.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Interrupt").field("given", &self.is_given()).finish_non_exhaustive()
    }
}

/// What a read that was given up says. Not of the kind `Interrupted`, which readers and decoders take as "again".
#[derive(Debug, thiserror::Error)]
#[error("it was interrupted")]
struct GivenUp;

/// A pipe or device whose reader can be interrupted while nothing comes.
pub(super) struct Patient {
    file: File,
    interrupt: Interrupt,
    asked: Instant,
}

impl Patient {
    pub fn new(file: File, interrupt: Interrupt) -> Self {
        Self { file, interrupt, asked: Instant::now() }
    }

    /// Asks when it is time to.
    fn ask(&mut self, at_once: bool) -> io::Result<()> {
        if at_once || self.asked.elapsed() >= PATIENCE {
            self.asked = Instant::now();
            if self.interrupt.ask() {
                return Err(io::Error::other(GivenUp));
            }
        }
        Ok(())
    }

    /// Waits until there is something to read, or the end.
    fn wait(&mut self) -> io::Result<()> {
        loop {
            match poll(&self.file) {
                Ok(true) => return self.ask(false),
                Ok(false) => self.ask(true)?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => self.ask(true)?,
                Err(e) => return Err(e),
            }
        }
    }
}

impl Read for Patient {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            self.wait()?;
            match self.file.read(into) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => self.ask(true)?,
                outcome => return outcome,
            }
        }
    }
}

/// Opens a file to read it. A FIFO that nobody writes to is waited for as [`Patient`] waits.
pub(super) fn open(path: &Path, interrupt: Option<&Interrupt>) -> io::Result<File> {
    #[cfg(target_os = "linux")]
    if let Some(interrupt) = interrupt {
        use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
        if std::fs::metadata(path)?.file_type().is_fifo() {
            let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
            let mut patient = Patient::new(file, interrupt.clone());
            // Before its first writer Linux says neither "readable" nor "hung up".
            patient.wait()?;
            block(&patient.file)?;
            return Ok(patient.file);
        }
    }
    let _ = interrupt;
    File::open(path)
}

/// Waits for a while; true when a read would not wait: there are bytes, or the end, or an error.
#[cfg(unix)]
fn poll(file: &File) -> io::Result<bool> {
    use std::os::fd::AsRawFd;
    let mut wanted = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: `wanted` is one valid pollfd that outlives the call, and 1 is how many there are; its descriptor is
    // open as long as `file` is borrowed.
    match unsafe { libc::poll(&raw mut wanted, 1, PATIENCE.as_millis() as libc::c_int) } {
        -1 => Err(io::Error::last_os_error()),
        ready => Ok(ready > 0),
    }
}

#[cfg(not(unix))]
fn poll(_: &File) -> io::Result<bool> {
    Ok(true)
}

/// Makes reads wait again.
#[cfg(target_os = "linux")]
fn block(file: &File) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    // SAFETY: F_GETFL takes no pointer; the descriptor is open as long as `file` is borrowed.
    let flags = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFL) };
    // SAFETY: F_SETFL takes an int; the descriptor is open as long as `file` is borrowed.
    if flags == -1 || unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFL, flags & !libc::O_NONBLOCK) } == -1
    {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
