//! The passwords and keys of a data folder, made once.

use tenantry_types::{Entropy, Secret};
use tenantry_vault::Keyring;

use super::{EnvFile, Folder, folder};
use crate::failure::{Failure, Result, chain};

const SUPERUSER: &str = "SUPERUSER_PASSWORD";
const ADMIN: &str = "ADMIN_PASSWORD";
const KEYS: &str = "KEYS";

/// What opens the rest of the folder.
pub struct Secrets {
    /// Of the private server's superuser.
    pub superuser_password: Secret,
    /// Of the login that the product works with.
    pub admin_password: Secret,
    /// The keys of the catalog.
    pub keys: Keyring,
}

impl Secrets {
    /// Reads them, or makes them in a new folder.
    ///
    /// # Errors
    /// When the file is broken, or lost while the data it belongs to is still there.
    pub fn ensure(data: &Folder, entropy: &Entropy) -> Result<Self> {
        if let Some(text) = data.read(folder::SECRETS)? {
            drop(text);
            return Self::read(data);
        }
        if data.join(folder::POSTGRES).join("pgdata").exists() {
            return Err(lost(data, "is missing"));
        }
        let made = Self {
            superuser_password: entropy.password(),
            admin_password: entropy.password(),
            keys: Keyring::generate(entropy),
        };
        // On disk before anything is sealed or protected with them.
        data.write(folder::SECRETS, &made.to_file()?.print())?;
        Ok(made)
    }

    fn read(data: &Folder) -> Result<Self> {
        let file = EnvFile::read(&data.join(folder::SECRETS))
            .map_err(|error| Failure::because("the secrets cannot be read", &error))?;
        let get = |name| {
            file.get(name)
                .filter(|value| !value.is_empty())
                .map(Secret::new)
                .ok_or_else(|| lost(data, "is broken"))
        };
        Ok(Self {
            superuser_password: get(SUPERUSER)?,
            admin_password: get(ADMIN)?,
            keys: Keyring::parse(&get(KEYS)?)
                .map_err(|error| lost(data, &format!("is broken ({})", chain(&error))))?,
        })
    }

    fn to_file(&self) -> Result<EnvFile> {
        EnvFile::new("Passwords and keys of this folder, made once. Without them its databases cannot be opened.")
            .set(SUPERUSER, self.superuser_password.expose())?
            .set(ADMIN, self.admin_password.expose())?
            .set(KEYS, self.keys.to_setting().expose())
    }
}

fn lost(data: &Folder, how: &str) -> Failure {
    Failure::usage(format!(
        "{} {how}, and what it opens is still there",
        data.join(folder::SECRETS).display()
    ))
    .next(format!(
        "bring the file back, or remove {} to begin anew without its data",
        data.path().display()
    ))
    .exit_as(crate::exit::Exit::Failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_made_once() {
        let root = tempfile::tempdir().expect("a folder");
        let data = Folder::take(root.path()).expect("taken");
        let first = Secrets::ensure(&data, &Entropy::system()).expect("made");
        let again = Secrets::ensure(&data, &Entropy::system()).expect("read");
        assert!(first.admin_password == again.admin_password);
        assert!(first.superuser_password != first.admin_password);
        assert!(first.keys.to_setting() == again.keys.to_setting());
    }

    #[test]
    fn lost_secrets_are_not_made_anew_over_existing_data() {
        let root = tempfile::tempdir().expect("a folder");
        let data = Folder::take(root.path()).expect("taken");
        std::fs::create_dir_all(data.join("postgres/pgdata")).expect("made");
        let failure = Secrets::ensure(&data, &Entropy::system())
            .map(drop)
            .expect_err("refused");
        assert!(failure.text().contains("is missing"), "{}", failure.text());
    }
}
