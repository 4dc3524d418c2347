//! Which database is ours: the proof that stands before every change.

use tenantry_types::DbName;

use crate::{AdminConn, ClusterError, Mark, names};

#[derive(sqlx::FromRow)]
pub(super) struct State {
    name: String,
    pub(super) comment: Option<String>,
    /// Whether it accepts connections.
    pub(super) open: bool,
    /// Whether the admin owns it.
    pub(super) own: bool,
    /// Whether PUBLIC has a right on it, as on every new database.
    pub(super) public: bool,
    /// What a `DROP DATABASE` leaves behind when the server crashes in it: fit to be dropped only.
    pub(super) torn: bool,
}

impl State {
    pub(super) fn mark(&self) -> Option<Mark> {
        self.comment.as_deref()?.parse().ok()
    }

    /// Whether this is our database for `mark`: by its mark, or as the clone that a crash kept from
    /// being marked, which has the unguessable name of this id and never was open.
    pub(super) fn is_ours(&self, name: &DbName, mark: &Mark) -> bool {
        if !self.own {
            return false;
        }
        match (&self.comment, self.mark()) {
            (_, Some(found)) => found == *mark,
            (Some(_), None) => false,
            (None, None) => {
                !self.open
                    && (*name == names::spare(mark.database)
                        || *name == names::template(mark.database))
            }
        }
    }
}

/// The state of a database that must exist and be the one of this mark.
pub(super) async fn ours(
    conn: &mut AdminConn,
    name: &DbName,
    mark: &Mark,
) -> Result<State, ClusterError> {
    let found = state(conn, name).await?.ok_or_else(|| missing(name))?;
    if found.is_ours(name, mark) {
        Ok(found)
    } else {
        Err(ClusterError::NotOurs(name.to_string()))
    }
}

pub(super) async fn state(
    conn: &mut AdminConn,
    name: &DbName,
) -> Result<Option<State>, ClusterError> {
    Ok(states(conn, [name]).await?.pop().flatten())
}

/// The states of several databases, in the order of the names.
pub(super) async fn states<const N: usize>(
    conn: &mut AdminConn,
    names: [&DbName; N],
) -> Result<Vec<Option<State>>, ClusterError> {
    let query = sqlx::query_as::<_, State>(concat!(
        "SELECT datname::text AS name, shobj_description(oid, 'pg_database') AS comment,
                datallowconn AS open, ",
        own!("datdba"),
        " AS own, datconnlimit = -2 AS torn,
                EXISTS (SELECT FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) AS a
                        WHERE a.grantee = 0) AS public
         FROM pg_database WHERE datname = ANY ($1)"
    ));
    let wanted = names.map(DbName::as_str).to_vec();
    let mut found = conn.all(query.bind(wanted)).await?;
    let mut of = |name: &DbName| {
        let at = found.iter().position(|found| found.name == name.as_str())?;
        Some(found.swap_remove(at))
    };
    Ok(names.into_iter().map(&mut of).collect())
}

pub(super) fn missing(name: &DbName) -> ClusterError {
    ClusterError::Refused {
        sqlstate: "3D000".to_owned(),
        message: format!("the database {name} does not exist"),
    }
}
