//! A folder for one test, and the promise that nothing of it stays.

use std::io::PipeWriter;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A temporary folder with a sweeper: a shell that waits for the end of this process, or of this
/// value, and then ends what runs in the folder and removes it. `Drop` alone would not do: a static
/// is never dropped, and a killed test drops nothing.
pub(crate) struct Folder {
    path: PathBuf,
    sweeper: Child,
    open: Option<PipeWriter>,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let path = tempfile::Builder::new()
            .prefix("tenantry-test-")
            .tempdir()
            .expect("a temporary folder")
            .keep();
        // Postgres runs as somebody else where we are root.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
            .expect("a folder that others can enter");
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let sweeper = Command::new("sh")
            .args(["-c", include_str!("sweep.sh"), "sweep"])
            .arg(&path)
            .stdin(reader)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("a shell");
        Self {
            path,
            sweeper,
            open: Some(writer),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(self.open.take());
        let _ = self.sweeper.wait();
    }
}
