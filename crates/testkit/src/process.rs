//! One child process in a group of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::logs;

/// A server of ours that runs. Its standard output and error go to files, one each: the banner on
/// the one holds a secret on purpose, the log on the other must hold none.
pub struct Process {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    /// Starts it; `name` names its output files in `folder`. Output is appended: a restart does not
    /// wipe what the run before it said.
    #[must_use]
    pub fn spawn(mut command: Command, folder: &Path, name: &str) -> Self {
        use std::os::unix::process::CommandExt;
        let stdout = folder.join(format!("{name}.out"));
        let stderr = folder.join(format!("{name}.log"));
        if let (Some(kept), false) = (logs::kept(), stderr.exists()) {
            let test = folder.file_name().unwrap_or_default().to_string_lossy();
            let kept = kept.join(format!("{test}-{name}.log"));
            std::os::unix::fs::symlink(kept, &stderr).expect("a log that is kept");
        }
        let open = |path: &Path| {
            File::options()
                .create(true)
                .append(true)
                .open(path)
                .expect("a file for output")
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(open(&stdout))
            .stderr(open(&stderr))
            .process_group(0)
            .spawn()
            .expect("the program starts");
        // The sweep ends what is named here.
        std::fs::write(group_file(folder, child.id()), "").expect("a note of the process group");
        Self {
            child,
            stdout,
            stderr,
        }
    }

    /// Its process id, which is its group's as well.
    #[must_use]
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a process id")
    }

    /// Sends a signal to the process alone, as `kill` does.
    pub fn signal(&self, signal: Signal) {
        // It may have ended already: the test that waits for that sees how.
        let _ = kill_process(self.id(), signal);
    }

    /// Sends a signal to the whole group, as a terminal does on Ctrl-C.
    pub fn signal_group(&self, signal: Signal) {
        let _ = kill_process_group(self.id(), signal);
    }

    /// How it ended, if it ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let ended = self.child.try_wait().expect("the state of a child");
        if ended.is_some() {
            let _ = std::fs::remove_file(self.group_file());
        }
        ended
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it is still there after `bound`.
    pub fn wait(&mut self, bound: Duration) -> ExitStatus {
        let until = Instant::now() + bound;
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(
                Instant::now() < until,
                "process {} still runs after {bound:?}; it said:\n{}",
                self.pid(),
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it as `kill -9` does.
    pub fn kill9(&mut self) {
        self.signal(Signal::KILL);
        self.wait(Duration::from_secs(20));
    }

    /// What it wrote to its standard output, over all its runs.
    #[must_use]
    pub fn output(&self) -> String {
        read(&self.stdout)
    }

    /// What it wrote to its log, over all its runs.
    #[must_use]
    pub fn log(&self) -> String {
        read(&self.stderr)
    }

    fn id(&self) -> Pid {
        Pid::from_raw(self.pid()).expect("a process id is not zero")
    }

    fn group_file(&self) -> PathBuf {
        let folder = self.stderr.parent().expect("a folder");
        group_file(folder, self.child.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal_group(Signal::KILL);
        let _ = self.child.wait();
        let _ = std::fs::remove_file(self.group_file());
        if !std::thread::panicking() {
            logs::check(&self.stderr);
        }
    }
}

fn group_file(folder: &Path, pid: u32) -> PathBuf {
    folder.join(format!("group-{pid}"))
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}
