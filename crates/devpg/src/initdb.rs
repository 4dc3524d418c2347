//! Makes the data folder of a new server, whole or not at all.

use std::fs::{self, DirBuilder, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use tokio::process::Command;

use crate::account::Account;
use crate::folder::Folder;
use crate::{Binaries, Error, Settings};

/// In the order of preference; the first sorts by code point and knows upper and lower case, and
/// not every system has it.
const LOCALES: [&str; 2] = ["C.UTF-8", "C"];

/// Runs `initdb` where there is no data yet.
///
/// It works in a folder beside the right one, which is renamed at the end: killed at any moment,
/// it leaves either no data or complete data.
pub(crate) async fn ensure_data(
    folder: &Folder,
    account: &Account,
    binaries: &Binaries,
    settings: &Settings,
) -> Result<(), Error> {
    for abandoned in folder.abandoned() {
        // One that is still written to is left for the next time.
        let _ = discard(&abandoned);
    }
    discard(&folder.password())?;
    if folder.pgdata().exists() {
        return Ok(());
    }
    write_password(folder, account, settings)?;
    let made = make(folder, account, binaries, settings).await;
    discard(&folder.password())?;
    made?;
    fs::rename(folder.unfinished(), folder.pgdata())
        .map_err(Error::io("rename", folder.unfinished()))?;
    if settings.durable {
        // The rename itself must survive a crash of the machine.
        File::open(folder.root())
            .and_then(|root| root.sync_all())
            .map_err(Error::io("sync", folder.root()))?;
    }
    Ok(())
}

async fn make(
    folder: &Folder,
    account: &Account,
    binaries: &Binaries,
    settings: &Settings,
) -> Result<(), Error> {
    let mut refused = None;
    for locale in LOCALES {
        let work = folder.unfinished();
        discard(&work)?;
        DirBuilder::new()
            .mode(0o700)
            .create(&work)
            .map_err(Error::io("make the folder", &work))?;
        account.own(&work)?;

        let program = binaries.dir().join("initdb");
        let mut command = account.command(&program);
        command
            .arg("--pgdata")
            .arg(&work)
            .arg("--username")
            .arg(&settings.superuser)
            .arg("--pwfile")
            .arg(folder.password())
            .args(["--auth-host=scram-sha-256", "--auth-local=scram-sha-256"])
            .args(["--encoding=UTF8", &format!("--locale={locale}")]);
        if !settings.durable {
            command.arg("--no-sync");
        }
        let answer = Command::from(command)
            .kill_on_drop(true)
            .output()
            .await
            .map_err(Error::io("run", &program))?;
        if answer.status.success() {
            return Ok(());
        }
        let output = String::from_utf8_lossy(&answer.stderr).trim().to_owned();
        let locale_is_missing = output.contains("locale");
        refused = Some(Error::Initdb {
            status: answer.status,
            output,
        });
        if !locale_is_missing {
            break;
        }
    }
    discard(&folder.unfinished())?;
    refused.map_or(Ok(()), Err)
}

fn write_password(folder: &Folder, account: &Account, settings: &Settings) -> Result<(), Error> {
    let path = folder.password();
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .map_err(Error::io("write", &path))?;
    account.own(&path)?;
    writeln!(file, "{}", settings.superuser_password.expose()).map_err(Error::io("write", path))
}

/// Removes a file or folder that may be there.
fn discard(path: &Path) -> Result<(), Error> {
    let removed = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    }
}
