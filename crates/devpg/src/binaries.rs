//! Where the programs of Postgres are.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;

/// The oldest major version that is supported.
pub const OLDEST_MAJOR: u32 = 14;
/// The newest major version that is supported.
pub const NEWEST_MAJOR: u32 = 18;

/// How to get Postgres on this kind of machine.
pub(crate) const INSTALL_HINT: &str = if cfg!(target_os = "macos") {
    "`brew install postgresql@18`"
} else {
    "`apt-get install postgresql` on Debian and Ubuntu, `dnf install postgresql-server` on Fedora"
};

/// A folder with the programs of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    dir: PathBuf,
    major: u32,
}

impl Binaries {
    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The major version, 14 to 18.
    #[must_use]
    pub const fn major(&self) -> u32 {
        self.major
    }

    /// Looks at one folder.
    ///
    /// # Errors
    /// A sentence that says why it cannot be used.
    pub(crate) fn at(dir: &Path) -> Result<Self, String> {
        // `pg_config` and `psql` come with the client's package, so that their folder may have no server.
        for program in ["postgres", "initdb"] {
            if !dir.join(program).is_file() {
                return Err(format!("it has no `{program}`"));
            }
        }
        let answer = Command::new(dir.join("postgres"))
            .arg("--version")
            .output()
            .map_err(|why| format!("`postgres --version` does not run: {why}"))?;
        let text = String::from_utf8_lossy(&answer.stdout);
        let major = major_in(&text).ok_or_else(|| {
            let said = String::from_utf8_lossy(&answer.stderr);
            format!(
                "`postgres --version` answered `{}{}`",
                text.trim(),
                said.trim()
            )
        })?;
        if !(OLDEST_MAJOR..=NEWEST_MAJOR).contains(&major) {
            return Err(format!("it is version {major}"));
        }
        Ok(Self {
            dir: dir.to_owned(),
            major,
        })
    }
}

/// Finds an installed server: the explicit folder, else that of `pg_config`, then the places of
/// Debian, Homebrew, Red Hat and a build from source (newest version first), then `PATH`.
///
/// # Errors
/// [`Error::UnusableBinaries`] where the explicit folder does not work, which is never skipped;
/// [`Error::NotInstalled`] where no place has a server of a supported version.
pub fn find_binaries(explicit: Option<&Path>) -> Result<Binaries, Error> {
    find(explicit, None)?.ok_or(Error::NotInstalled { download: None })
}

/// The same, of one major version where `wanted` says so.
pub(crate) fn find(
    explicit: Option<&Path>,
    wanted: Option<u32>,
) -> Result<Option<Binaries>, Error> {
    if let Some(dir) = explicit {
        let unusable = |reason| Error::UnusableBinaries {
            dir: dir.to_owned(),
            reason,
        };
        let found = Binaries::at(dir).map_err(unusable)?;
        if let Some(wanted) = wanted.filter(|wanted| *wanted != found.major) {
            return Err(unusable(format!(
                "it is version {}, and the data folder was written by {wanted}",
                found.major
            )));
        }
        return Ok(Some(found));
    }
    Ok(first_of(places(), wanted))
}

fn first_of(places: impl IntoIterator<Item = PathBuf>, wanted: Option<u32>) -> Option<Binaries> {
    places
        .into_iter()
        .filter_map(|dir| Binaries::at(&dir).ok())
        .find(|found| wanted.is_none_or(|wanted| wanted == found.major))
}

fn places() -> impl Iterator<Item = PathBuf> {
    let versioned = (OLDEST_MAJOR..=NEWEST_MAJOR).rev().flat_map(|major| {
        [
            format!("/usr/lib/postgresql/{major}/bin"),
            format!("/opt/homebrew/opt/postgresql@{major}/bin"),
            format!("/usr/local/opt/postgresql@{major}/bin"),
            format!("/usr/pgsql-{major}/bin"),
        ]
    });
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path: Vec<PathBuf> = std::env::split_paths(&path)
        .filter(|dir| dir.is_absolute())
        .collect();
    pg_config()
        .into_iter()
        .chain(versioned.map(PathBuf::from))
        .chain([PathBuf::from("/usr/local/pgsql/bin")])
        .chain(path)
}

fn pg_config() -> Option<PathBuf> {
    let answer = Command::new("pg_config").arg("--bindir").output().ok()?;
    let dir = String::from_utf8(answer.stdout).ok()?;
    answer.status.success().then(|| PathBuf::from(dir.trim()))
}

/// `postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)` is 15; so are `15beta1` and `15devel`.
fn major_in(version: &str) -> Option<u32> {
    let number = version.strip_prefix("postgres (PostgreSQL) ")?;
    let end = number
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(number.len());
    number[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_major_version_of_releases_and_betas() {
        assert_eq!(
            major_in("postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)\n"),
            Some(15)
        );
        assert_eq!(major_in("postgres (PostgreSQL) 18beta2"), Some(18));
        assert_eq!(major_in("postgres (PostgreSQL) 9.6.24"), Some(9));
        assert_eq!(major_in("initdb (PostgreSQL) 15.13"), None);
    }

    #[test]
    fn an_explicit_folder_that_does_not_work_is_an_error_and_is_not_skipped() {
        let empty = tempfile::tempdir().unwrap();
        let error = find_binaries(Some(empty.path())).unwrap_err();
        assert!(matches!(&error, Error::UnusableBinaries { .. }));
        assert!(
            error.to_string().contains("it has no `postgres`"),
            "{error}"
        );
    }

    #[test]
    fn a_folder_with_only_client_programs_is_skipped() {
        let client = tempfile::tempdir().unwrap();
        std::fs::write(client.path().join("pg_config"), "").unwrap();
        assert_eq!(first_of([client.path().to_owned()], None), None);
    }

    #[test]
    fn where_nothing_is_found_one_sentence_says_what_to_install() {
        for download in [None, Some("no route to host".to_owned())] {
            let message = Error::NotInstalled { download }.to_string();
            assert!(
                message.starts_with("no Postgres 14 to 18 was found"),
                "{message}"
            );
            assert!(message.contains(INSTALL_HINT), "{message}");
            assert!(message.contains("TENANTRY_PG_BIN"), "{message}");
        }
    }
}
