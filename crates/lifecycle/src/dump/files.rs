//! Files of dumps: whole or not there, never over another, and for their owner's eyes only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{DumpError, Manifest};

/// What comes behind the name of a dump.
const MANIFEST: &str = ".json";
/// Longer than any manifest.
const LONGEST: u64 = 64 * 1024;

/// A dump that is there.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Where.
    pub path: PathBuf,
    /// What it is known by.
    pub manifest: Manifest,
}

/// Where the manifest of a dump is.
#[must_use]
pub fn manifest_of(dump: &Path) -> PathBuf {
    beside(dump, "", MANIFEST)
}

/// Makes the folder where there is none, and refuses one that others can look into.
///
/// # Errors
/// [`DumpError::File`], with what to do.
pub fn check_folder(folder: &Path) -> Result<(), DumpError> {
    let failed = |why: String| DumpError::File {
        path: folder.to_owned(),
        why,
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| failed(error.to_string()))?;
    let found = fs::metadata(folder).map_err(|error| failed(error.to_string()))?;
    if found.mode() & 0o077 == 0 {
        return Ok(());
    }
    Err(failed(format!(
        "others can look into it (mode {:o}), and dumps hold customers' data in clear; chmod 700",
        found.mode() & 0o777
    )))
}

/// The manifest of a dump. A dump without one is not whole.
///
/// # Errors
/// When it is not there or cannot be read.
pub fn read(dump: &Path) -> Result<Manifest, DumpError> {
    let path = manifest_of(dump);
    let failed = |why: String| DumpError::File {
        path: path.clone(),
        why,
    };
    let mut text = String::new();
    let file = File::open(&path).map_err(|error| failed(error.to_string()))?;
    file.take(LONGEST)
        .read_to_string(&mut text)
        .map_err(|error| failed(error.to_string()))?;
    let manifest: Manifest =
        serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
    match manifest.format {
        1 => Ok(manifest),
        other => Err(failed(format!("it is of format {other}, and 1 is known"))),
    }
}

/// Reads the whole dump and compares it with its manifest.
///
/// # Errors
/// [`DumpError::Damaged`] when it is another file.
pub fn verify(dump: &Path, manifest: &Manifest) -> Result<(), DumpError> {
    let failed = |error: io::Error| DumpError::File {
        path: dump.to_owned(),
        why: error.to_string(),
    };
    let mut file = File::open(dump).map_err(failed)?;
    let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0_u64, vec![0; 64 * 1024]);
    loop {
        let read = file.read(&mut buffer).map_err(failed)?;
        let Some(part) = buffer.get(..read).filter(|part| !part.is_empty()) else {
            break;
        };
        hash.update(part);
        bytes += read as u64;
    }
    let why = match (bytes == manifest.bytes, hex(hash) == manifest.sha256) {
        (true, true) => return Ok(()),
        (false, _) => format!("it has {bytes} bytes, and should have {}", manifest.bytes),
        (true, false) => "its SHA-256 is another".to_owned(),
    };
    Err(DumpError::Damaged {
        path: dump.to_owned(),
        why,
    })
}

/// The dumps in a folder that have a manifest, the oldest first.
///
/// # Errors
/// When the folder cannot be read.
pub fn kept(folder: &Path) -> Result<Vec<Kept>, DumpError> {
    let failed = |error: io::Error| DumpError::File {
        path: folder.to_owned(),
        why: error.to_string(),
    };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut all = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let named = path.to_str().and_then(|name| name.strip_suffix(MANIFEST));
        let Some(dump) = named.map(PathBuf::from) else {
            continue;
        };
        // What somebody else has put there is none of ours.
        if let (true, Ok(manifest)) = (dump.is_file(), read(&dump)) {
            all.push(Kept {
                path: dump,
                manifest,
            });
        }
    }
    all.sort_by(|a, b| (a.manifest.taken_at, &a.path).cmp(&(b.manifest.taken_at, &b.path)));
    Ok(all)
}

impl Kept {
    /// Removes the dump. Its manifest goes first: without one it is none.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self) -> Result<(), DumpError> {
        let failed = |error: io::Error| DumpError::File {
            path: self.path.clone(),
            why: error.to_string(),
        };
        // The other way round a crash would leave a manifest that promises what is not there.
        fs::remove_file(manifest_of(&self.path)).map_err(failed)?;
        fs::remove_file(&self.path).map_err(failed)
    }
}

/// A dump that is being written, under a name that nobody takes for one.
pub(super) struct Part {
    file: File,
    part: PathBuf,
    path: PathBuf,
    hash: Sha256,
    bytes: u64,
}

impl Part {
    /// # Errors
    /// When there is a whole dump of this name, or the folder cannot be written to.
    pub(super) fn create(path: &Path) -> Result<Self, DumpError> {
        let failed = |path: &Path, why: String| DumpError::File {
            path: path.to_owned(),
            why,
        };
        if manifest_of(path).exists() {
            return Err(failed(path, "there is a dump of this name".to_owned()));
        }
        let part = beside(path, ".", ".part");
        // Of an attempt that did not get to its end.
        match fs::remove_file(&part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed(&part, error.to_string()));
            }
            _ => {}
        }
        let file = private(&part).map_err(|error| failed(&part, error.to_string()))?;
        Ok(Self {
            file,
            part,
            path: path.to_owned(),
            hash: Sha256::new(),
            bytes: 0,
        })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), DumpError> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        self.file
            .write_all(bytes)
            .map_err(|error| self.failed(&error))
    }

    /// Gives it its name, and then the manifest beside it, each on disk before the next.
    pub(super) fn finish(
        mut self,
        complete: impl FnOnce(u64, String) -> Manifest,
    ) -> Result<Manifest, DumpError> {
        let manifest = complete(self.bytes, hex(std::mem::take(&mut self.hash)));
        let named = || -> io::Result<()> {
            self.file.sync_all()?;
            // A file of this name without a manifest is a former attempt's; else this refuses it.
            let ours = fs::metadata(&self.path)
                .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o777 == 0o600);
            if ours && manifest.operation_id.is_some() {
                fs::remove_file(&self.path)?;
            }
            fs::hard_link(&self.part, &self.path)?;
            let text = serde_json::to_string_pretty(&manifest).unwrap_or_default();
            let (to, part) = (
                manifest_of(&self.path),
                beside(&self.path, ".", ".json.part"),
            );
            let _ = fs::remove_file(&part);
            let mut file = private(&part)?;
            file.write_all(text.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            fs::rename(&part, to)?;
            if let Some(folder) = self.path.parent() {
                File::open(if folder.as_os_str().is_empty() {
                    Path::new(".")
                } else {
                    folder
                })?
                .sync_all()?;
            }
            Ok(())
        };
        named().map_err(|error| self.failed(&error))?;
        Ok(manifest)
    }

    fn failed(&self, error: &io::Error) -> DumpError {
        DumpError::File {
            path: self.path.clone(),
            why: error.to_string(),
        }
    }
}

/// What was not finished goes; what was is there under its own name.
impl Drop for Part {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.part);
    }
}

fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

fn beside(path: &Path, before: &str, after: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{before}{name}{after}"))
}

fn hex(hash: Sha256) -> String {
    let digest = hash.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A file for as long as this lives.
pub(super) struct Passing(PathBuf);

impl Passing {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// The certificates of a cluster, as a file beside a dump: libpq reads them from one.
pub(super) fn root_ca(dump: &Path, text: &str) -> Result<Passing, DumpError> {
    let path = beside(dump, ".", ".ca");
    let failed = |error: io::Error| DumpError::File {
        path: path.clone(),
        why: error.to_string(),
    };
    let _ = fs::remove_file(&path);
    let mut file = private(&path).map_err(failed)?;
    let passing = Passing(path.clone());
    file.write_all(text.as_bytes()).map_err(failed)?;
    Ok(passing)
}
