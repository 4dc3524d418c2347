//! Where the control plane is and which token opens it.

use std::path::{Path, PathBuf};

use tenantry_types::Secret;

use crate::cli::Global;
use crate::dev::{EnvFile, folder};
use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// A control plane and a token for it.
#[derive(Debug)]
pub(super) struct Target {
    pub url: String,
    pub token: Secret,
}

/// As the flags and variables say; what they leave open comes from a folder of `tenantry dev`.
pub(super) fn target(global: &Global) -> Result<Target> {
    let here = std::env::current_dir()
        .map_err(|error| Failure::because("the current folder cannot be read", &error))?;
    find(global, &here)
}

/// What `tenantry dev` wrote for other programs, where its folder is found.
///
/// # Errors
/// When the current folder cannot be read.
pub fn dev_environment(global: &Global) -> Result<Option<EnvFile>> {
    let here = std::env::current_dir()
        .map_err(|error| Failure::because("the current folder cannot be read", &error))?;
    let data = data_folder(global, &here);
    Ok(data.and_then(|data| EnvFile::read(&data.join(folder::ENV)).ok()))
}

fn find(global: &Global, here: &Path) -> Result<Target> {
    let found = data_folder(global, here).and_then(|data| left_by_dev(&data));
    let known_url = found.as_ref().map(|target| target.url.clone());
    let url = global.url.clone().or(known_url).ok_or_else(|| {
        Failure::usage(
            "which control plane? no --url was given and no `tenantry dev` was found here",
        )
        .next("run this where `tenantry dev` runs, name its folder with --data, or give --url and --token")
        .coded("NO_URL")
    })?;
    // Before the token: for what is no URL there is none.
    super::base_url(&url)?;
    // A token is only for the server it was issued by: one found in a folder is not sent elsewhere.
    let own = found
        .filter(|target| same(&target.url, &url))
        .map(|target| target.token);
    let token = global.token.clone().or(own).ok_or_else(|| {
        Failure::usage(format!("no operator token for {url}"))
            .next("give --token or set TENANTRY_TOKEN to what `tenantry init` or `tenantry operators create` printed")
            .coded("NO_TOKEN")
            .exit_as(Exit::NotAllowed)
    })?;
    Ok(Target { url, token })
}

/// The named folder, or the nearest `.tenantry` from here upwards.
fn data_folder(global: &Global, here: &Path) -> Option<PathBuf> {
    match &global.data {
        Some(named) => Some(here.join(named)),
        None => here
            .ancestors()
            .map(|folder| folder.join(folder::DEFAULT))
            .find(|data| data.join(folder::ENV).is_file()),
    }
}

fn left_by_dev(data: &Path) -> Option<Target> {
    let env = EnvFile::read(&data.join(folder::ENV)).ok()?;
    let token = std::fs::read_to_string(data.join(folder::OPERATOR_TOKEN)).ok()?;
    Some(Target {
        url: env.get("TENANTRY_URL")?.to_owned(),
        token: Secret::new(token.trim()),
    })
}

fn same(a: &str, b: &str) -> bool {
    a.trim_end_matches('/')
        .eq_ignore_ascii_case(b.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dev_folder(root: &Path) {
        let data = root.join(".tenantry");
        std::fs::create_dir(&data).expect("made");
        std::fs::write(
            data.join("env"),
            "# x\nTENANTRY_URL=http://localhost:3000\n",
        )
        .expect("written");
        std::fs::write(data.join("operator-token"), "secret\n").expect("written");
    }

    #[test]
    fn a_dev_server_in_a_parent_folder_is_found() {
        let root = tempfile::tempdir().expect("a folder");
        dev_folder(root.path());
        let below = root.path().join("a/b");
        std::fs::create_dir_all(&below).expect("made");
        let target = find(&Global::default(), &below).expect("found");
        assert_eq!(target.url, "http://localhost:3000");
        assert_eq!(target.token.expose(), "secret");
    }

    #[test]
    fn a_found_token_is_not_sent_to_another_server() {
        let root = tempfile::tempdir().expect("a folder");
        dev_folder(root.path());
        let elsewhere = Global {
            url: Some("https://example.com".to_owned()),
            ..Global::default()
        };
        assert!(find(&elsewhere, root.path()).is_err());
        let itself = Global {
            url: Some("http://localhost:3000/".to_owned()),
            ..Global::default()
        };
        assert!(find(&itself, root.path()).is_ok());
    }

    #[test]
    fn without_anything_the_person_is_told_what_to_give() {
        let root = tempfile::tempdir().expect("a folder");
        let failure = find(&Global::default(), root.path()).expect_err("nothing to find");
        assert!(failure.text().contains("--url"));
    }
}
