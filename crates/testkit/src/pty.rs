//! A command at a pseudo terminal, as a person has it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// A guard against hanging; no expectation of how long something takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program whose standard streams are a terminal.
pub struct Terminal {
    child: Child,
    /// The person's end.
    master: File,
    seen: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

/// What was on the terminal, and how the program ended.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The exit code; for a death by signal 128 and its number.
    pub code: i32,
    /// All that was written, escape sequences included.
    pub screen: String,
}

impl Terminal {
    pub(crate) fn run(mut command: Command, columns: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
            .expect("a pseudo terminal");
        grantpt(&master)
            .and_then(|()| unlockpt(&master))
            .expect("its other end");
        let size = Winsize {
            ws_row: 40,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&master, size).expect("a size");
        let name = ptsname(&master, Vec::new()).expect("its name");
        let name = name.to_str().expect("a path");
        // Each stream opens it anew, so that none of ours stays open and the end is seen.
        let open = || {
            File::options()
                .read(true)
                .write(true)
                .custom_flags(rustix::fs::OFlags::NOCTTY.bits().cast_signed())
                .open(name)
                .expect("the terminal")
        };
        command.stdin(open()).stdout(open()).stderr(open());
        let child = command.spawn().expect("the program starts");
        drop(command);
        let master = File::from(master);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let reader = {
            let (mut master, seen) = (master.try_clone().expect("the terminal"), Arc::clone(&seen));
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                // EIO: the program has ended.
                while let Ok(count @ 1..) = master.read(&mut buffer) {
                    seen.lock()
                        .expect("what was seen")
                        .extend_from_slice(&buffer[..count]);
                }
            })
        };
        Self {
            child,
            master,
            seen,
            reader: Some(reader),
        }
    }

    /// Waits until something is shown.
    ///
    /// # Panics
    /// When it does not come.
    pub fn wait_for(&self, text: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.screen().contains(text) {
            assert!(
                Instant::now() < until,
                "`{text}` does not come: {}",
                self.screen()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Types a line.
    pub fn type_line(&mut self, text: &str) {
        self.master
            .write_all(format!("{text}\n").as_bytes())
            .expect("typed");
    }

    /// What Ctrl-C does.
    pub fn interrupt(&self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // If it has ended, the test sees how.
        let _ = kill_process(pid.expect("a process id"), Signal::INT);
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end.
    pub fn end(mut self) -> Seen {
        let until = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("its state") {
                break status;
            }
            assert!(Instant::now() < until, "it does not end: {}", self.screen());
            std::thread::sleep(Duration::from_millis(10));
        };
        if let Some(reader) = self.reader.take() {
            reader.join().expect("all was read");
        }
        let code = status.code().or(status.signal().map(|number| 128 + number));
        Seen {
            code: code.expect("an end"),
            screen: self.screen(),
        }
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().expect("what was seen")).into_owned()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit {}\n{}", self.code, self.screen.escape_debug())
    }
}
