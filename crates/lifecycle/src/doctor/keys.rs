//! New passwords for logins, as the doctor gives them: sealed before any server hears of them.

use tenantry_catalog::logins::{Login, LoginRole};
use tenantry_cluster::Mark;
use tenantry_cluster::logins::NewLogin;
use tenantry_types::{DatabaseId, RoleName, Secret};
use tenantry_vault::{Place, Sealed, scram};

use super::Doctor;
use crate::error::StartError;
use crate::making::kind_of;

impl Doctor {
    /// A login with a password that nobody knows yet, sealed.
    pub(super) fn minted(
        &self,
        database: DatabaseId,
        role: LoginRole,
        name: RoleName,
    ) -> Result<Login, StartError> {
        let sealed = self.seal(database, role, &self.entropy.password())?;
        Ok(Login {
            database_id: database,
            role,
            name,
            sealed: Some(sealed),
        })
    }

    fn seal(
        &self,
        database: DatabaseId,
        role: LoginRole,
        password: &Secret,
    ) -> Result<Sealed, StartError> {
        let place = Place::login(database, role.as_str());
        match role {
            LoginRole::Router | LoginRole::RouterOld => {
                self.route_keys.seal(&self.entropy, &place, password)
            }
            _ => self.admin_keys.seal(&self.entropy, &place, password),
        }
        .map_err(|error| StartError::Vault(Box::new(error)))
    }

    /// The sealed password of a login.
    pub(super) fn password(&self, login: &Login) -> Result<Option<Secret>, StartError> {
        let Some(sealed) = &login.sealed else {
            return Ok(None);
        };
        let place = Place::login(login.database_id, login.role.as_str());
        let opened = match login.role {
            LoginRole::Router | LoginRole::RouterOld => self.route_keys.open(&place, sealed),
            _ => self.admin_keys.open(&place, sealed),
        };
        opened
            .map(Some)
            .map_err(|error| StartError::Vault(Box::new(error)))
    }

    /// What makes a cluster take the sealed passwords of these logins; those without one are left out.
    pub(super) async fn as_sealed(
        &self,
        logins: &[Login],
        mark: &Mark,
    ) -> Result<Vec<NewLogin>, StartError> {
        let mut new = Vec::new();
        for login in logins {
            let Some(password) = self.password(login)? else {
                continue;
            };
            let (kind, iterations) = kind_of(login.role);
            let salt = self.entropy.bytes::<16>();
            let verifier =
                tokio::task::spawn_blocking(move || scram::verifier(&password, salt, iterations))
                    .await
                    .map_err(|error| StartError::Vault(Box::new(error)))?;
            new.push(NewLogin {
                name: login.name.clone(),
                kind,
                verifier,
                mark: *mark,
            });
        }
        Ok(new)
    }
}
