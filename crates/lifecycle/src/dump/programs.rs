//! Running `pg_dump`, `pg_restore` and `psql`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::files::Part;
use super::{DumpError, Manifest, Taking, Way, manifest_of, version};

/// How much of what a program says is told: its end says why.
const SAID: usize = 2000;
/// How long a lock of the tenant's is waited for.
const LOCKS: &str = "60s";

/// What reads a dump for a restore, and what writes it into the database.
const READER: &str = "pg_restore";
const WRITER: &str = "psql";
/// How a script begins that gives `psql` no commands.
const RESTRICTED: &[u8] = b"\\restrict ";
/// How far into a script that is looked for; in front of it are a few lines of comment.
const HEAD: usize = 4096;

/// What a database is before it is restored: as a tenant's database is, with nothing in it. All that belongs to
/// the owners' group goes, and only that: the identity is the admin's. It is one transaction with what follows,
/// whose end, the commit, is the last that `pg_restore` writes.
const EMPTY: &str = "
SET client_min_messages = warning;
BEGIN;
SET LOCAL lock_timeout = '60s';
DO $$
DECLARE one record;
BEGIN
    IF current_user <> 'tenantry_owner' THEN
        RAISE EXCEPTION 'this login does not work as the owner';
    END IF;
    FOR one IN SELECT nspname FROM pg_namespace WHERE nspowner = 'tenantry_owner'::regrole LOOP
        EXECUTE format('DROP SCHEMA %I CASCADE', one.nspname);
    END LOOP;
END $$;
CREATE SCHEMA public;
";

/// Where the programs of Postgres are.
#[derive(Clone, Debug, Default)]
pub struct Programs {
    folder: Option<PathBuf>,
}

impl Programs {
    /// Those of a folder, or without one those that are found by `PATH`.
    #[must_use]
    pub fn of(folder: Option<PathBuf>) -> Self {
        Self { folder }
    }

    fn command(&self, program: &str, way: Option<&Way>) -> Command {
        let path = match &self.folder {
            Some(folder) => folder.join(program).into_os_string(),
            None => OsString::from(program),
        };
        let mut command = Command::new(path);
        command.kill_on_drop(true).env_clear().env("LC_ALL", "C");
        // Nothing else of ours is theirs: the keys and the catalog's URL may stand in the environment, and what is
        // said to libpq there would lead them elsewhere.
        for name in ["PATH", "HOME", "TMPDIR"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        if let Some(way) = way {
            command
                .env("PGHOST", &way.host)
                .env("PGPORT", way.port.to_string())
                .env("PGDATABASE", &way.database)
                .env("PGUSER", &way.login)
                .env("PGPASSWORD", way.password.expose())
                .env("PGSSLMODE", &way.ssl_mode)
                .env("PGAPPNAME", "tenantry dump");
            if let Some(root) = &way.root_ca {
                command.env("PGSSLROOTCERT", root);
            }
        }
        command
    }

    async fn version(&self, program: &str) -> Result<String, DumpError> {
        let asked = self.command(program, None).arg("--version").output();
        let answer = asked.await.map_err(|cause| unrunnable(program, cause))?;
        Ok(String::from_utf8_lossy(&answer.stdout).trim().to_owned())
    }
}

/// Dumps a database into a file that was not there. Nobody sees half of it, and without its manifest, which
/// comes last, it counts for nothing.
///
/// # Errors
/// See [`DumpError`]; nothing is left then.
pub async fn write(
    programs: &Programs,
    way: &Way,
    to: &Path,
    taking: &Taking,
) -> Result<Manifest, DumpError> {
    const PROGRAM: &str = "pg_dump";
    let program = programs.version(PROGRAM).await?;
    let mut part = Part::create(to)?;
    let mut child = programs
        .command(PROGRAM, Some(way))
        .args([
            "--format=custom",
            "--no-password",
            "--exclude-schema=tenantry_self",
        ])
        .arg(format!("--lock-wait-timeout={LOCKS}"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|cause| unrunnable(PROGRAM, cause))?;
    let (mut out, said) = (child.stdout.take(), listen(&mut child));
    let mut buffer = vec![0; 64 * 1024];
    while let Some(out) = &mut out {
        let read = out.read(&mut buffer).await;
        let read = read.map_err(|cause| unrunnable(PROGRAM, cause))?;
        match buffer.get(..read).filter(|bytes| !bytes.is_empty()) {
            Some(bytes) => part.write(bytes)?,
            None => break,
        }
    }
    ended(PROGRAM, &mut child, said).await?;
    part.finish(|bytes, sha256| Manifest {
        format: 1,
        tenant_id: taking.tenant_id,
        slug: taking.slug.clone(),
        db_name: way.database.clone(),
        schema: tenantry_tenantdb::schema_digest().to_owned(),
        taken_at: taking.taken_at,
        operation_id: taking.operation_id,
        program,
        bytes,
        sha256,
    })
}

/// Asks the programs of a restore for their versions. A dump that somebody has prepared is a program for those that
/// are older than the module `version` says.
///
/// # Errors
/// [`DumpError::Unsafe`] for such a one, and for one that does not tell; [`DumpError::Program`] where there is none.
pub async fn check_restore(programs: &Programs) -> Result<(), DumpError> {
    for program in [READER, WRITER] {
        let said = programs.version(program).await?;
        if !version::is_safe(&said) {
            let told = match said.is_empty() {
                true => "it does not tell its version".to_owned(),
                false => format!("it is `{said}`"),
            };
            return Err(unsafe_one(program, &told));
        }
    }
    Ok(())
}

fn unsafe_one(program: &str, told: &str) -> DumpError {
    DumpError::Unsafe {
        program: program.to_owned(),
        said: format!(
            "{told}, and what a dump hides in the names of things may be run on this machine by it \
             (CVE-2025-8714); {} does not",
            version::safe_ones()
        ),
    }
}

/// Puts a dump into a database, in the place of all that is there, in one transaction: it is the dump's or,
/// whatever happens to this process or to Postgres, as it was. The dump is checked first, and so are the programs.
///
/// # Errors
/// See [`DumpError`]; nothing was changed then.
pub async fn restore(programs: &Programs, way: &Way, dump: &Path) -> Result<Manifest, DumpError> {
    check_restore(programs).await?;
    let manifest = super::read(dump)?;
    super::verify(dump, &manifest)?;
    let mut reader = programs
        .command(READER, None)
        .args(["--no-owner", "--single-transaction", "--file=-"])
        .arg(dump)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|cause| unrunnable(READER, cause))?;
    let read_said = listen(&mut reader);
    let mut from = reader.stdout.take();
    // Whatever the programs say of themselves: a script that does not begin so is shown to nobody who would obey it.
    let head = match &mut from {
        Some(from) => head(from).await,
        None => Ok(Vec::new()),
    };
    let head = head.map_err(|cause| unrunnable(READER, cause))?;
    if !is_restricted(&head) {
        // It may have failed before it wrote anything; then it says why.
        drop(from);
        if head.is_empty() {
            ended(READER, &mut reader, read_said).await?;
        }
        return Err(unsafe_one(
            READER,
            "its script does not begin with `\\restrict`",
        ));
    }
    let mut writer = programs
        .command(WRITER, Some(way))
        .args([
            "--no-psqlrc",
            "--no-password",
            "--quiet",
            "--output=/dev/null",
        ])
        .arg("--set=ON_ERROR_STOP=1")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|cause| unrunnable(WRITER, cause))?;
    let write_said = listen(&mut writer);
    let copied = async {
        let (Some(mut from), Some(mut to)) = (from, writer.stdin.take()) else {
            return Ok(());
        };
        to.write_all(EMPTY.as_bytes()).await?;
        to.write_all(&head).await?;
        tokio::io::copy(&mut from, &mut to).await?;
        to.shutdown().await
    };
    // It ends where the writer has given up; why, that one says. Without the commit, which is the reader's last
    // word, nothing was changed.
    let copied = copied.await;
    ended(WRITER, &mut writer, write_said).await?;
    ended(READER, &mut reader, read_said).await?;
    copied.map_err(|cause| unrunnable(WRITER, cause))?;
    Ok(manifest)
}

/// The beginning of a script, up to the first line that is neither empty nor a comment, and maybe more.
async fn head(from: &mut (impl AsyncReadExt + Unpin)) -> std::io::Result<Vec<u8>> {
    let (mut head, mut buffer) = (Vec::new(), vec![0; HEAD]);
    while first_line(&head).is_none() && head.len() < HEAD {
        let read = from.read(&mut buffer).await?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        head.extend_from_slice(bytes);
    }
    Ok(head)
}

/// The first whole line that says something.
fn first_line(script: &[u8]) -> Option<&[u8]> {
    let (whole, _) = script.split_at(script.iter().rposition(|byte| *byte == b'\n')?);
    let mut lines = whole.split(|byte| *byte == b'\n');
    lines.find(|line| !line.is_empty() && !line.starts_with(b"--"))
}

fn is_restricted(head: &[u8]) -> bool {
    first_line(head).is_some_and(|line| line.starts_with(RESTRICTED))
}

type Said = tokio::task::JoinHandle<String>;

/// Reads what a program says, so that it is never kept waiting.
fn listen(child: &mut Child) -> Option<Said> {
    let mut from = child.stderr.take()?;
    Some(tokio::spawn(async move {
        let (mut said, mut buffer) = (Vec::new(), vec![0; 4096]);
        while let Ok(read) = from.read(&mut buffer).await {
            let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
                break;
            };
            said.extend_from_slice(bytes);
            let over = said.len().saturating_sub(SAID);
            said.drain(..over);
        }
        String::from_utf8_lossy(&said).trim().to_owned()
    }))
}

async fn ended(program: &str, child: &mut Child, said: Option<Said>) -> Result<(), DumpError> {
    let status = child.wait().await;
    let status = status.map_err(|cause| unrunnable(program, cause))?;
    let said = match said {
        Some(said) => said.await.unwrap_or_default(),
        None => String::new(),
    };
    if status.success() {
        return Ok(());
    }
    let program = program.to_owned();
    if said.contains("server version mismatch") {
        return Err(DumpError::TooOld { program, said });
    }
    let said = match said.is_empty() {
        true => status.to_string(),
        false => said,
    };
    Err(DumpError::Failed { program, said })
}

fn unrunnable(program: &str, cause: std::io::Error) -> DumpError {
    DumpError::Program {
        program: program.to_owned(),
        cause,
    }
}

/// Whether a dump of this name is there, whole.
pub(crate) fn is_there(dump: &Path) -> bool {
    manifest_of(dump).is_file() && dump.is_file()
}
