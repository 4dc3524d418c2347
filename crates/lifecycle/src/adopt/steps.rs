//! The steps of an adoption, and what takes each back.

use chrono::Duration;
use tenantry_catalog::logins::{self as rows, Login, LoginRole};
use tenantry_catalog::{adoptions, births, change_log, databases, operation_secrets, tenants};
use tenantry_cluster::adoption::{self, Former};
use tenantry_cluster::logins::NewLogin;
use tenantry_cluster::{fence, names};
use tenantry_router::{Expected, ProvenConn};
use tenantry_tenantdb::{migrations, seed};
use tenantry_types::{DbName, Email, ErrorKind, Secret};

use super::{Adopt, Place};
use crate::answer::{self, Answer};
use crate::create::begin::{hash, sealed_admin};
use crate::create::claim::{prove_failure, tenantdb_failure};
use crate::engine::{Failure, StepError};
use crate::making::{FIRST_EPOCH, kind_of, name_of};
use crate::place::{self, cluster_failure};

impl Adopt {
    fn place(&self) -> Result<Place<'_>, StepError> {
        Ok(Place {
            life: &self.life,
            lease: &self.lease,
            session: &self.session,
            database_id: self.params.database_id,
            name: DbName::parse(&self.params.database)
                .map_err(|error| place::vault_failure(&error))?,
        })
    }

    async fn login(&self, role: LoginRole) -> Result<Login, StepError> {
        let mut conn = self.life.deps().catalog.acquire().await?;
        let all = rows::by_database(&mut conn, self.params.database_id).await?;
        all.into_iter()
            .find(|login| login.role == role)
            .ok_or_else(|| place::missing("A login of the database is not in the catalog."))
    }

    /// Logs in, and sees that the right database answers.
    async fn proven(&self, role: LoginRole) -> Result<ProvenConn, StepError> {
        let (deps, login) = (self.life.deps(), self.login(role).await?);
        let password = place::open_login(deps, &login)?;
        let name = self.place()?.name;
        let target = place::target(self.session.cluster(), name, login.name, password);
        let expected = Expected {
            installation: deps.installation,
            database_id: self.params.database_id,
            epoch: FIRST_EPOCH,
        };
        let mut proven = deps.router.prove(&target, &expected).await;
        if proven
            .as_ref()
            .is_err_and(|error| error.kind() == ErrorKind::Unavailable)
        {
            proven = deps.router.prove(&target, &expected).await;
        }
        self.lease.assert_held().await?;
        proven.map_err(prove_failure)
    }
}

/// The rows were written when the operation began; there is nothing left to do.
pub(super) async fn reserved(_work: &Adopt) -> Result<(), StepError> {
    Ok(())
}

/// The names are free again; the database is no longer ours to know.
pub(super) async fn unreserve(work: &Adopt) -> Result<(), StepError> {
    let mut tx = work.life.deps().catalog.begin().await?;
    crate::worker::guard(&mut tx, &work.lease).await?;
    operation_secrets::remove_all(&mut tx, work.lease.operation()).await?;
    databases::remove(&mut tx, work.params.database_id).await?;
    tenants::remove(&mut tx, work.tenant_id).await?;
    change_log::append(&mut tx, work.tenant_id, change_log::Kind::Purged).await?;
    tx.commit().await?;
    Ok(())
}

/// Notes how the database is. Once it is ours nothing can be noted any more: what was then stays.
pub(super) async fn look(work: &Adopt) -> Result<(), StepError> {
    let (at, deps) = (work.place()?, work.life.deps());
    let mut admin = work.session.admin().await?;
    let mark = tenantry_cluster::databases::mark_of(&mut admin, &at.name)
        .await
        .map_err(cluster_failure)?;
    if mark == Some(at.mark()) && at.former().await?.is_some() {
        return Ok(());
    }
    let consent = &work.params.consent;
    let found = adoption::shared(&mut admin, deps.installation, at.name.as_str(), consent)
        .await
        .map_err(cluster_failure)?;
    drop(admin);
    let mut refusals = found.refusals;
    let mut former = found.former;
    if let (true, Some(former)) = (found.can_enter, &mut former) {
        let mut inside = work.session.inside(&work.lease, &at.name).await?;
        let refused = adoption::contents(&mut inside, former, consent).await;
        inside.close().await;
        refusals.extend(refused.map_err(cluster_failure)?);
    }
    if let Some(refusal) = refusals.first() {
        return Err(refused(refusal.code(), &refusal.to_string(), refusal));
    }
    let former = former.ok_or_else(|| place::missing("The database is gone."))?;
    let value = serde_json::to_value(&former).map_err(|error| place::vault_failure(&error))?;
    let mut tx = deps.catalog.begin().await?;
    crate::worker::guard(&mut tx, &work.lease).await?;
    adoptions::remember(&mut tx, at.database_id, &value).await?;
    tx.commit().await?;
    Ok(())
}

/// Takes the database and walls it off.
pub(super) async fn close(work: &Adopt) -> Result<(), StepError> {
    let at = work.place()?;
    let former = noted(&at).await?;
    let mut admin = work.session.admin().await?;
    adoption::take(
        &mut admin,
        &at.name,
        &at.mark(),
        &former,
        &work.params.consent,
    )
    .await
    .map_err(cluster_failure)
}

pub(super) async fn give_back(work: &Adopt) -> Result<(), StepError> {
    work.place()?.give_back().await
}

/// Gives what is in it to the groups, and writes what is ours.
pub(super) async fn furnish(work: &Adopt) -> Result<(), StepError> {
    let at = work.place()?;
    let former = noted(&at).await?;
    let mut inside = work.session.inside(&work.lease, &at.name).await?;
    let mut admin = work.session.admin().await?;
    let consent = &work.params.consent;
    let mark = at.mark();
    let furnished = adoption::furnish(
        &mut admin,
        &mut inside,
        &mark,
        FIRST_EPOCH,
        &former,
        consent,
    )
    .await;
    inside.close().await;
    furnished.map_err(cluster_failure)?;
    adoption::leave(&mut admin, &former)
        .await
        .map_err(cluster_failure)
}

pub(super) async fn unfurnish(work: &Adopt) -> Result<(), StepError> {
    work.place()?.unfurnish().await
}

/// Makes the logins, whose passwords the catalog has, sealed, since the beginning, and lets them in.
pub(super) async fn logins(work: &Adopt) -> Result<(), StepError> {
    let (at, deps) = (work.place()?, work.life.deps());
    let mut conn = deps.catalog.acquire().await?;
    let all = rows::by_database(&mut conn, at.database_id).await?;
    drop(conn);
    let mut new = Vec::new();
    for login in &all {
        let (kind, iterations) = kind_of(login.role);
        new.push(NewLogin {
            name: name_of(&names::login_names(&at.name), login.role),
            kind,
            verifier: verifier(work, place::open_login(deps, login)?, iterations).await?,
            mark: at.mark(),
        });
    }
    let mut admin = work.session.admin().await?;
    tenantry_cluster::logins::create_for(&mut admin, &at.name, &new)
        .await
        .map_err(cluster_failure)
}

pub(super) async fn drop_logins(work: &Adopt) -> Result<(), StepError> {
    work.place()?.drop_logins().await
}

/// Brings it to the built-in migrations, as its owner login.
pub(super) async fn migrate(work: &Adopt) -> Result<(), StepError> {
    let mut proven = work.proven(LoginRole::Owner).await?;
    migrations::run(&mut proven).await.map_err(|error| {
        Failure::new(
            ErrorKind::Internal,
            "MIGRATION_FAILED",
            "The database could not be migrated; the journal says why.",
            &error,
        )
    })?;
    proven.close().await;
    let mut conn = work.life.deps().catalog.acquire().await?;
    let digest = tenantry_tenantdb::schema_digest();
    databases::set_migrated(&mut conn, work.params.database_id, digest).await?;
    Ok(())
}

/// Writes the first rows as the router's login, and keeps the connection for the router.
pub(super) async fn seed(work: &Adopt) -> Result<(), StepError> {
    let deps = work.life.deps();
    let mut proven = work.proven(LoginRole::Router).await?;
    let admin = sealed_admin(&work.life, work.lease.operation()).await?;
    let first = match (admin, work.params.admin_id) {
        (Some(admin), Some(user_id)) => {
            let begun = work.hashing.lock().await.take();
            let password = Secret::new(admin.password.clone());
            let hashed = begun.unwrap_or_else(|| hash(&work.life, &password)).await;
            let hashed = hashed
                .map_err(|error| place::vault_failure(&error))?
                .map_err(|error| place::vault_failure(&error))?;
            Some(seed::Admin {
                user_id,
                email: Email::parse(&admin.email).map_err(|error| place::vault_failure(&error))?,
                password_hash: Some(hashed),
            })
        }
        _ => None,
    };
    seed::seed(&mut proven, first.as_ref(), &deps.clock, &deps.entropy)
        .await
        .map_err(tenantdb_failure)?;
    *work.way.lock().await = Some(proven);
    Ok(())
}

/// The router forgets the tenant.
pub(super) async fn unseed(work: &Adopt) -> Result<(), StepError> {
    if let Some(proven) = work.way.lock().await.take() {
        proven.close().await;
    }
    work.life.deps().router.disconnect(work.tenant_id).await;
    Ok(())
}

/// Opens the tenant for requests, and seals what has to be told.
pub(super) async fn activate(work: &Adopt) -> Result<(), StepError> {
    let deps = work.life.deps();
    let (operation, fence) = (work.lease.operation(), work.lease.fence());
    let user = work.login(LoginRole::User).await?;
    let mut sealed = None;
    // Gone when a crash came after this transaction: then the answer is sealed already.
    if user.sealed.is_some() {
        let admin = sealed_admin(&work.life, operation).await?;
        let first = admin.as_ref().map(|admin| admin.email.as_str());
        let first_person = crate::directory::hash_of(deps, first);
        let answer = Answer {
            db_password: place::open_login(deps, &user)?.expose().to_owned(),
            admin_password: admin.filter(|admin| admin.made).map(|admin| admin.password),
        };
        sealed = Some((answer::seal(deps, operation, &answer)?, first_person));
    }
    let opening = births::Opening {
        tenant: work.tenant_id,
        told: sealed.as_ref().map(|(sealed, first_person)| births::Told {
            name: answer::ANSWER,
            answer: sealed,
            until: deps.clock.now()
                + Duration::from_std(deps.settings.answers_kept).unwrap_or(Duration::hours(24)),
            database: work.params.database_id,
            directory_key: deps.directory.name(),
            first_person: *first_person,
            listed_again: crate::directory::AGAIN,
        }),
    };
    let mut tx = deps.catalog.begin().await?;
    crate::worker::guard(&mut tx, &work.lease).await?;
    adoptions::set_state(&mut tx, work.params.database_id, adoptions::State::Held).await?;
    let opened = births::open(&mut tx, operation, fence, &opening).await?;
    let number = opened.ok_or(StepError::Interrupted(None))?;
    tx.commit().await?;
    if let Some(proven) = work.way.lock().await.take() {
        deps.router.adopt(work.tenant_id, proven).await;
    }
    deps.router.wait_applied(number).await;
    Ok(())
}

impl Place<'_> {
    /// Takes the logins away, and whoever is in by one. What they made or were given goes before, in
    /// [`Place::unfurnish`], or leaves an empty role.
    pub(super) async fn drop_logins(&self) -> Result<(), StepError> {
        let mut admin = self.session.admin().await?;
        let mark = self.mark();
        let found = tenantry_cluster::databases::mark_of(&mut admin, &self.name).await;
        if found.map_err(cluster_failure)? != Some(mark) {
            return Ok(());
        }
        let mut logins = names::login_names(&self.name).all().to_vec();
        let temporary = tenantry_cluster::logins::temporary::of(&mut admin, &mark).await;
        logins.extend(temporary.map_err(cluster_failure)?);
        fence::close(&mut admin, &self.name, &logins)
            .await
            .map_err(cluster_failure)?;
        tenantry_cluster::databases::revoke_connect(&mut admin, &self.name, &logins)
            .await
            .map_err(cluster_failure)?;
        for login in &logins {
            tenantry_cluster::logins::drop_or_bury(&mut admin, login, &mark)
                .await
                .map_err(cluster_failure)?;
        }
        Ok(())
    }

    /// Takes out what is ours, and gives all else to its former owner.
    pub(super) async fn unfurnish(&self) -> Result<(), StepError> {
        let Some(former) = self.former().await? else {
            return Ok(());
        };
        let mark = self.mark();
        let mut admin = self.session.admin().await?;
        let found = tenantry_cluster::databases::mark_of(&mut admin, &self.name).await;
        if found.map_err(cluster_failure)? != Some(mark) {
            return Ok(());
        }
        drop(admin);
        let mut inside = self.session.inside(self.lease, &self.name).await?;
        let mut admin = self.session.admin().await?;
        let out = adoption::unfurnish(&mut admin, &mut inside, &mark, &former).await;
        inside.close().await;
        out.map_err(cluster_failure)
    }

    /// Gives the database back as it was.
    pub(super) async fn give_back(&self) -> Result<(), StepError> {
        let Some(former) = self.former().await? else {
            return Ok(());
        };
        let mut admin = self.session.admin().await?;
        adoption::give_back(&mut admin, &self.name, &self.mark(), &former)
            .await
            .map_err(cluster_failure)
    }
}

async fn noted(at: &Place<'_>) -> Result<Former, StepError> {
    let former = at.former().await?;
    former.ok_or_else(|| place::missing("How the database was is not in the catalog."))
}

async fn verifier(work: &Adopt, password: Secret, iterations: u32) -> Result<String, StepError> {
    crate::succession::verifier_of(work.life.deps(), password, iterations).await
}

/// What stands against it since it was asked for.
pub(super) fn refused(
    code: &str,
    text: &str,
    cause: &(dyn std::error::Error + 'static),
) -> StepError {
    let mut text = text.to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    Failure::new(ErrorKind::Conflict, code, format!("{text}."), cause).into()
}
