//! The names that we give to databases and logins.

use std::collections::HashSet;

use tenantry_types::{DatabaseId, DbName, InvalidIdent, RoleName, Slug};
use uuid::Uuid;

use crate::{AdminConn, ClusterError};

/// The names that the logins of one tenant's database may have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Logins {
    /// Runs migrations.
    pub owner: RoleName,
    /// Ours: what the router connects as.
    pub router: RoleName,
    /// What it connects as after a rotation; the next one goes back to `router`.
    pub router_2: RoleName,
    /// Handed to the product with its password.
    pub user: RoleName,
    /// What the product is handed when it asks for another one; the next is `user` again.
    pub user_2: RoleName,
}

/// How a tenant's database is named.
#[derive(Clone, Copy, Debug)]
pub enum Naming<'a> {
    /// `tenant_<slug>`, which any login of the cluster can read in `pg_database`.
    Readable(&'a Slug),
    /// `tnt_<database id>`, which tells nobody a customer's name.
    Opaque(DatabaseId),
}

impl Logins {
    /// The three that a database is born with.
    #[must_use]
    pub fn first(&self) -> [RoleName; 3] {
        [self.owner.clone(), self.router.clone(), self.user.clone()]
    }

    /// All that there may be: who closes a door closes all of them, whatever was rotated.
    #[must_use]
    pub fn all(&self) -> [RoleName; 5] {
        let [owner, router, user] = self.first();
        [
            owner,
            router,
            user,
            self.router_2.clone(),
            self.user_2.clone(),
        ]
    }

    /// Those by which the tenant is used: all but the owner's, which is only ours and only for
    /// migrations.
    #[must_use]
    pub fn of_use(&self) -> Vec<RoleName> {
        let all = self.all().into_iter();
        all.filter(|login| *login != self.owner).collect()
    }

    /// The router's name that is not this one.
    #[must_use]
    pub fn other_router(&self, current: &RoleName) -> RoleName {
        other(current, &self.router, &self.router_2)
    }

    /// The product's name that is not this one.
    #[must_use]
    pub fn other_user(&self, current: &RoleName) -> RoleName {
        other(current, &self.user, &self.user_2)
    }
}

fn other(current: &RoleName, first: &RoleName, second: &RoleName) -> RoleName {
    if current == first { second } else { first }.clone()
}

/// `tenant_<slug>`, hyphens as `_`.
#[must_use]
pub fn database(slug: &Slug) -> DbName {
    db(format!("tenant_{}", slug.as_str().replace('-', "_")))
}

/// `tnt_new_<32 hexadecimal digits>`: a spare, or a clone that is not finished.
///
/// Nobody guesses it before it exists, so a closed database of this name that the admin owns is
/// the clone that we began for this id.
#[must_use]
pub fn spare(id: DatabaseId) -> DbName {
    db(format!("tnt_new_{}", id.as_uuid().simple()))
}

/// `tnt_template_<32 hexadecimal digits>`: a template, unguessable as a spare's name is.
#[must_use]
pub fn template(id: DatabaseId) -> DbName {
    db(format!("tnt_template_{}", id.as_uuid().simple()))
}

/// The login that runs the migrations of a template while it is built.
#[must_use]
pub fn builder(id: DatabaseId) -> RoleName {
    role(format!("tnt_build_{}", id.as_uuid().simple()))
}

/// `tnt_jit_<32 hexadecimal digits>`: a login of somebody for a time ([`crate::logins::temporary`]).
#[must_use]
pub fn temporary(id: Uuid) -> RoleName {
    role(crate::logins::temporary::name(id))
}

/// The logins of a database: its name followed by `_owner`, `_router`, `_user`, and by `_router_2` and
/// `_user_2` for those that take their place.
#[must_use]
pub fn login_names(base: &DbName) -> Logins {
    let base = base.as_str();
    Logins {
        owner: role(format!("{base}_owner")),
        router: role(format!("{base}_router")),
        router_2: role(format!("{base}_router_2")),
        user: role(format!("{base}_user")),
        user_2: role(format!("{base}_user_2")),
    }
}

/// The first of `tenant_x`, `tenant_x_2`, `tenant_x_3`, … that neither a database nor the logins of
/// one have.
///
/// It is a look, no reservation: the rename that follows answers [`ClusterError::NameTaken`] to the
/// slower of two, who asks again.
///
/// # Errors
/// When the cluster cannot be asked.
pub async fn free_base(conn: &mut AdminConn, naming: Naming<'_>) -> Result<DbName, ClusterError> {
    let base = match naming {
        Naming::Readable(slug) => database(slug),
        Naming::Opaque(id) => db(format!("tnt_{}", id.as_uuid().simple())),
    };
    // '`' is the character after '_': the names that go on with '_' are one range of the index.
    let query = sqlx::query_as::<_, (String,)>(
        "SELECT datname::text FROM pg_database
         WHERE datname = $1::text::name
            OR datname >= ($1::text || '_')::name AND datname < ($1::text || '`')::name
         UNION ALL
         SELECT rolname::text FROM pg_roles
         WHERE rolname >= ($1::text || '_')::name AND rolname < ($1::text || '`')::name",
    );
    let taken: HashSet<String> = conn
        .all(query.bind(base.as_str()))
        .await?
        .into_iter()
        .map(|(name,)| name)
        .collect();
    let numbered = (2_u32..).map(|n| format!("{}_{n}", base.as_str()));
    let free = std::iter::once(base.as_str().to_owned())
        .chain(numbered)
        .find(|name| {
            let used = |tail: &str| taken.contains(&format!("{name}{tail}"));
            !["", "_owner", "_router", "_user", "_router_2", "_user_2"]
                .into_iter()
                .any(used)
        });
    free.ok_or_else(|| ClusterError::NameTaken(base.to_string()))
        .map(db)
}

fn db(name: String) -> DbName {
    proven(DbName::parse(name))
}

fn role(name: String) -> RoleName {
    proven(RoleName::parse(name))
}

#[expect(
    clippy::expect_used,
    reason = "a slug or a UUID behind a fixed prefix is a name of at most 63 characters"
)]
fn proven<T>(name: Result<T, InvalidIdent>) -> T {
    name.expect("a name made of checked parts")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_slug_still_gives_names_that_postgres_does_not_cut() {
        let slug = Slug::parse(&format!("{}xy", "a-".repeat(19))).expect("40 characters");
        let base = database(&slug);
        assert_eq!(
            base.as_str(),
            format!("tenant_{}", slug.as_str().replace('-', "_"))
        );
        let numbered = DbName::parse(format!("{}_9999", base.as_str())).expect("a name");
        assert!(
            login_names(&numbered)
                .all()
                .iter()
                .all(|name| name.as_str().len() < 64)
        );
    }
}
