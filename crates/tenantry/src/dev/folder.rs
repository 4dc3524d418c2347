//! The data folder: who may look into it, who has it, and how files in it are replaced.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tenantry_types::Secret;

use crate::failure::{Failure, Result};

/// The folder's name where none is given.
pub const DEFAULT: &str = ".tenantry";
/// Variables for others.
pub const ENV: &str = "env";
/// The token for the setup API.
pub const OPERATOR_TOKEN: &str = "operator-token";
/// Passwords and keys.
pub const SECRETS: &str = "secrets";
/// The private Postgres.
pub const POSTGRES: &str = "postgres";

/// A data folder that no other copy works on, until this is dropped or the process ends.
pub struct Folder {
    path: PathBuf,
    _lock: tenantry_devpg::Lock,
}

impl Folder {
    /// Makes the folder where it is missing, and takes it.
    ///
    /// # Errors
    /// When it cannot be made, or another copy has it.
    pub fn take(path: &Path) -> Result<Self> {
        let path = std::path::absolute(path).map_err(|error| {
            Failure::because(format!("`{}` is no folder", path.display()), &error)
        })?;
        make(&path)?;
        let lock = tenantry_devpg::lock(&path).map_err(|error| match &error {
            tenantry_devpg::Error::AlreadyRunning { pid, .. } => {
                let by = pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
                let what = format!(
                    "another `tenantry dev`{by} already runs on {}",
                    path.display()
                );
                Failure::new(crate::exit::Exit::Conflict, what)
                    .next("use that one, stop it first, or choose another folder with --data")
            }
            _ => Failure::because("the data folder cannot be locked", &error),
        })?;
        Ok(Self { path, _lock: lock })
    }

    /// Its absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Something in it.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A file of it, if it is there.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn read(&self, name: &str) -> Result<Option<Secret>> {
        let path = self.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(Secret::new(text))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::because(
                format!("{} cannot be read", path.display()),
                &error,
            )),
        }
    }

    /// Replaces a file by one that only we may read. After a crash it is the old or the new one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &Secret) -> Result<()> {
        let path = self.join(name);
        replace(&self.path, &path, text).map_err(|error| {
            Failure::because(format!("{} cannot be written", path.display()), &error)
        })
    }
}

/// Postgres runs as another user when we are root: it must get through this folder to its own,
/// without being able to list it. All files with secrets are closed by their own mode.
fn make(path: &Path) -> Result<()> {
    let made = !path.exists();
    DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(path)
        .and_then(|()| {
            if made {
                fs::set_permissions(path, Permissions::from_mode(0o711))
            } else {
                Ok(())
            }
        })
        .map_err(|error| {
            Failure::because(
                format!("the data folder {} cannot be made", path.display()),
                &error,
            )
        })
}

fn replace(folder: &Path, path: &Path, text: &Secret) -> std::io::Result<()> {
    let draft = path.with_extension("new");
    // A draft of a run that was killed may have another owner's mode.
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    file.write_all(text.expose().as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").permissions().mode() & 0o777
    }

    #[test]
    fn files_are_closed_to_others_and_the_folder_lets_postgres_through() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = Folder::take(&root.path().join("deep/data")).expect("taken");
        assert_eq!(mode(folder.path()), 0o711);
        folder.write(ENV, &Secret::new("A=1\n")).expect("written");
        folder.write(ENV, &Secret::new("A=2\n")).expect("replaced");
        assert_eq!(mode(&folder.join(ENV)), 0o600);
        assert_eq!(
            folder.read(ENV).expect("read").expect("there").expose(),
            "A=2\n"
        );
        assert!(folder.read(SECRETS).expect("no error").is_none());
    }

    #[test]
    fn a_second_copy_is_refused_as_a_conflict() {
        let root = tempfile::tempdir().expect("a folder");
        let first = Folder::take(root.path()).expect("taken");
        let second = Folder::take(root.path()).map(drop).expect_err("refused");
        assert_eq!(second.exit(), Exit::Conflict);
        assert!(
            second.text().contains("already runs on"),
            "{}",
            second.text()
        );
        drop(first);
        Folder::take(root.path()).expect("free again");
    }
}
