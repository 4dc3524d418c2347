//! The user of the machine that Postgres runs as.
//!
//! Postgres refuses to run as root, so that root hands over to an unprivileged user. What that user
//! can reach is tried, as that user, and not worked out from modes: ACLs, mounts and security
//! modules have a say too.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::{Uid, User};

use crate::Error;

/// Who runs Postgres.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    uid: u32,
    gid: u32,
    name: String,
    other: bool,
}

impl Account {
    /// This user; where it is root, the one that the data belongs to already, else `postgres`, else
    /// `nobody`.
    pub(crate) fn for_data(pgdata: &Path) -> Result<Self, Error> {
        let me = Uid::effective();
        let owner = pgdata
            .metadata()
            .ok()
            .map(|folder| Uid::from_raw(folder.uid()));
        if !me.is_root() {
            if let Some(owner) = owner.filter(|owner| *owner != me) {
                let data = pgdata.parent().unwrap_or(pgdata).to_owned();
                return Err(Error::ForeignData {
                    data,
                    owner: owner.as_raw(),
                });
            }
            return Ok(Self {
                uid: me.as_raw(),
                gid: nix::unistd::Gid::effective().as_raw(),
                name: me.to_string(),
                other: false,
            });
        }
        owner
            .filter(|owner| !owner.is_root())
            .and_then(|owner| User::from_uid(owner).ok().flatten())
            .or_else(|| {
                ["postgres", "nobody"]
                    .into_iter()
                    .find_map(|name| User::from_name(name).ok().flatten())
            })
            .map(|user| Self {
                uid: user.uid.as_raw(),
                gid: user.gid.as_raw(),
                name: user.name,
                other: true,
            })
            .ok_or(Error::NoUnprivilegedUser)
    }

    /// Whether it is another user than the one that runs this program.
    pub(crate) const fn is_other(&self) -> bool {
        self.other
    }

    /// A command that runs as this user, in a folder that everybody can enter, with nothing of the
    /// program's environment but what the dynamic linker and the locale need: the rest may hold
    /// keys and passwords.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir("/").env_clear().env("LC_ALL", "C");
        for kept in ["PATH", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"] {
            if let Some(value) = std::env::var_os(kept) {
                command.env(kept, value);
            }
        }
        if self.other {
            // The standard library also drops root's supplementary groups when a user is set.
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// Hands a file or folder over to this user.
    pub(crate) fn own(&self, path: &Path) -> Result<(), Error> {
        if self.other {
            std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))
                .map_err(Error::io("hand over", path))?;
        }
        Ok(())
    }

    /// Checks that this user can come to `path`; parts of it that are still missing are not
    /// looked at.
    pub(crate) fn check_reach(&self, path: &Path) -> Result<(), Error> {
        if !self.other {
            return Ok(());
        }
        let mut way: Vec<&Path> = path.ancestors().filter(|part| part.exists()).collect();
        way.reverse();
        let script = r#"for part do [ -x "$part" ] || { printf %s "$part"; exit 1; }; done"#;
        let answer = self
            .command(Path::new("/bin/sh"))
            .args(["-c", script, "sh"])
            .args(way)
            .output()
            .map_err(Error::io("run", "/bin/sh"))?;
        if answer.status.success() {
            return Ok(());
        }
        Err(Error::Unreachable {
            path: path.to_owned(),
            blocker: PathBuf::from(OsStr::from_bytes(&answer.stdout)),
            user: self.name.clone(),
        })
    }
}
