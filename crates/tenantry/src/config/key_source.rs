//! Where the keys come from: the configuration itself, a file, or a command that prints them, which is
//! how any key management is plugged in.
//!
//! What is read is never told, neither in an error nor in the log: with a mistake in it, it still holds keys.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tenantry_types::Secret;
use tenantry_vault::Keyring;
use zeroize::Zeroizing;

use crate::exit::Exit;
use crate::failure::{Failure, Result, chain};

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks whether it has ended.
const LOOK: Duration = Duration::from_millis(20);
/// The most that is read: some hundred keys.
const MOST: usize = 64 * 1024;

/// Where the keys come from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// `keys`.
    Setting(Secret),
    /// `keys_file`.
    File(PathBuf),
    /// `keys_command`.
    Command(String),
}

impl KeySource {
    /// Reads the keys.
    ///
    /// # Errors
    /// When they cannot be had, or are no keys.
    pub fn keyring(&self) -> Result<Keyring> {
        let text = match self {
            Self::Setting(text) => text.clone(),
            Self::File(path) => from_file(path)?,
            Self::Command(command) => from_command(command, PATIENCE)?,
        };
        Keyring::parse(&text).map_err(|error| {
            let (name, next) = match self {
                Self::Setting(_) => ("keys", "set TENANTRY_KEYS to what `tenantry init` printed"),
                Self::File(_) => ("keys_file", "the file holds what `tenantry init` printed behind `TENANTRY_KEYS=`"),
                Self::Command(_) => ("keys_command", "the command prints what `tenantry init` printed behind `TENANTRY_KEYS=`, and nothing else"),
            };
            Failure::usage(format!("`{name}` is not usable: {}", chain(&error))).next(next)
        })
    }

    /// Writes other keys to where these came from; `false` where that is not ours to write.
    ///
    /// # Errors
    /// When the file cannot be written; it is as it was then.
    pub fn write(&self, keys: &Keyring) -> Result<bool> {
        match self {
            Self::File(path) => replace(path, &keys.to_setting()).map(|()| true),
            Self::Setting(_) | Self::Command(_) => Ok(false),
        }
    }
}

/// A list may go over several lines; one that begins with `#` is a comment.
fn joined(text: &str) -> Secret {
    let mut joined = Zeroizing::new(String::with_capacity(text.len()));
    let lines = text.lines().map(|line| line.trim().trim_end_matches(','));
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if !joined.is_empty() {
            joined.push(',');
        }
        joined.push_str(line);
    }
    Secret::new(joined.as_str())
}

fn from_file(path: &Path) -> Result<Secret> {
    let failed = |error: &std::io::Error| {
        Failure::because(
            format!("`keys_file` {} cannot be read", path.display()),
            error,
        )
        .exit_as(Exit::Usage)
        .next("name a file that this user may read")
    };
    let file = fs::File::open(path).map_err(|error| failed(&error))?;
    let mode = file
        .metadata()
        .map_err(|error| failed(&error))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        tracing::warn!(
            file = %path.display(),
            "others than its owner may read the file with the keys; `chmod 600` it where that is not meant"
        );
    }
    let mut text = Zeroizing::new(String::new());
    file.take(MOST as u64)
        .read_to_string(&mut text)
        .map_err(|error| failed(&error))?;
    Ok(joined(&text))
}

/// In place of the file in one step, so that nobody finds half of it, and as private as a new one.
fn replace(path: &Path, text: &Secret) -> Result<()> {
    let failed = |error: &std::io::Error| {
        Failure::because(
            format!("`keys_file` {} cannot be written", path.display()),
            error,
        )
        .next("nothing was changed; let this user write the file and its folder")
    };
    // Through a link, to the file itself.
    let path = &fs::canonicalize(path).map_err(|error| failed(&error))?;
    let beside = path.with_extension("new");
    let written = || {
        if let Err(error) = fs::remove_file(&beside)
            && error.kind() != ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file = fs::File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(text.expose().as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        // The name, too, outlives a crash.
        fs::File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
    };
    written().map_err(|error| failed(&error))
}

/// What a command prints, run by the shell. What it says on stderr goes nowhere: it may be anything.
fn from_command(command: &str, patience: Duration) -> Result<Secret> {
    let failed = |why: &str| {
        Failure::new(Exit::Failed, format!("`keys_command` {why}"))
            .next("run it by hand as the user of this program to see what it says; it must print the keys and end with 0")
    };
    let mut child = Command::new("/bin/sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // With all that it starts, so that all of it can be ended.
        .process_group(0)
        .spawn()
        .map_err(|error| failed(&format!("cannot be started: {error}")))?;
    let Some(output) = child.stdout.take() else {
        return Err(failed("has no output"));
    };
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = Zeroizing::new(Vec::new());
        let read = output.take(MOST as u64 + 1).read_to_end(&mut text);
        // Whoever waited may have gone.
        let _ = sender.send(read.map(|_| text));
    });
    let deadline = Instant::now() + patience;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => std::thread::sleep(LOOK),
            Ok(None) => {
                end(&mut child);
                return Err(failed(&format!(
                    "has not ended after {} seconds and was killed",
                    patience.as_secs()
                )));
            }
            Err(error) => return Err(failed(&format!("cannot be waited for: {error}"))),
        }
    };
    if !status.success() {
        end(&mut child);
        return Err(failed(&format!("failed ({status})")));
    }
    let left = deadline.saturating_duration_since(Instant::now()).max(LOOK);
    let text = match receiver.recv_timeout(left) {
        Ok(Ok(text)) => text,
        // Something that it left behind keeps the output open.
        _ => {
            end(&mut child);
            return Err(failed("has ended, but its output has not"));
        }
    };
    if text.len() > MOST {
        return Err(failed("prints more than keys can be"));
    }
    match std::str::from_utf8(&text) {
        Ok(text) => Ok(joined(text)),
        Err(_) => Err(failed("prints what is no text")),
    }
}

/// Ends the command and all that it started.
fn end(child: &mut Child) {
    if let Ok(id) = i32::try_from(child.id()) {
        let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
    }
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use tenantry_types::Entropy;

    use super::*;

    fn keys() -> Keyring {
        Keyring::generate(&Entropy::system())
    }

    fn same(read: &Keyring, keys: &Keyring) -> bool {
        read.to_setting().expose() == keys.to_setting().expose()
    }

    #[test]
    fn a_file_holds_the_keys_in_one_line_or_several_and_is_replaced_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys");
        let keys = keys();
        let lines = keys.to_setting().expose().replace(',', ",\n");
        fs::write(&path, format!("# of the installation in Bern\n{lines}\n")).expect("written");
        let source = KeySource::File(path.clone());
        assert!(same(&source.keyring().expect("read"), &keys));

        let other = self::keys();
        assert!(source.write(&other).expect("written"));
        assert!(same(&source.keyring().expect("read"), &other));
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let names = fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(names, 1, "nothing beside it");
    }

    /// Tried with what it printed in the message of a command that failed.
    #[test]
    fn a_command_prints_the_keys_within_its_time_and_what_it_prints_is_told_nobody() {
        let keys = keys();
        let setting = keys.to_setting();
        let print = format!("printf '%s' '{}'", setting.expose());
        let source = KeySource::Command(print.clone());
        assert!(same(&source.keyring().expect("read"), &keys));
        assert!(!source.write(&keys).expect("not ours"));

        let soon = Duration::from_millis(300);
        for (command, why) in [
            ("exit 3", "exit status: 3"),
            ("no-such-command", "127"),
            ("sleep 600 | sleep 600", "killed"),
            ("sleep 600 & exit 0", "its output has not"),
            ("yes hunter2", "more than keys"),
            ("printf '\\377'", "no text"),
        ] {
            let begun = Instant::now();
            let failure = from_command(command, soon).map(drop).expect_err(command);
            assert!(
                failure.text().contains(why) || command.starts_with("yes"),
                "{command}: {}",
                failure.text()
            );
            assert!(begun.elapsed() < Duration::from_secs(60), "{command}");
        }
        let wrong = KeySource::Command(format!("{print}; echo hunter2"));
        let text = wrong.keyring().expect_err("no keys").text();
        assert!(text.contains("keys_command"), "{text}");
        for part in setting.expose().split([',', ':']).chain(["hunter2"]) {
            assert!(part.len() < 7 || !text.contains(part), "{text}");
        }
    }
}
