//! Why a database cannot be taken over.

/// Why a database cannot be taken over. The texts are for who asks, and say what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// None of this name.
    #[error("the cluster has no database called `{0}`")]
    NoDatabase(String),
    /// Its name cannot be kept.
    #[error(
        "the name `{0}` cannot be kept: it must be lower-case letters, digits and `_`, begin with a letter or `_`, \
         have at most 54 characters, and not begin as ours do; rename it first (ALTER DATABASE … RENAME TO …)"
    )]
    Name(String),
    /// Postgres's own, a template, or one that something else needs.
    #[error("`{0}` is no customer's database: {1}")]
    System(String, &'static str),
    /// It is a tenant's, here or of another installation.
    #[error("it is a database of {0} already; un-adopt it there")]
    Taken(&'static str),
    /// Its logins' names are taken.
    #[error("roles have the names that its logins would get: {}; rename those (ALTER ROLE … RENAME TO …)", .0.join(", "))]
    LoginsTaken(Vec<String>),
    /// Its owner.
    #[error("its owner `{0}` {1}")]
    Owner(String, String),
    /// Rights were passed on by others than the owner.
    #[error("rights on it, or on its schemas, were granted by others than the owner: {}; they could not be given back. Revoke them", .0.join(", "))]
    PassedOn(Vec<String>),
    /// Others own something in it.
    #[error("others than its owner own something in it: {}; give it to the owner (ALTER … OWNER TO …)", .0.join(", "))]
    OthersOwn(Vec<String>),
    /// A name of ours is used in it, or a group of ours.
    #[error("it holds what only a tenant's database may: {}; remove or rename that", .0.join(", "))]
    Traces(Vec<String>),
    /// Somebody is in it.
    #[error("{0} sessions are open in it ({who}); end them, or agree that we do (`disconnect`)", who = .1.join(", "))]
    Sessions(i64, Vec<String>),
    /// Others may connect to it.
    #[error("other roles have rights on it: {}; they would be shut out as long as it is a tenant's. Revoke those, or agree to it (`shutOut`)", .0.join(", "))]
    OtherLogins(Vec<String>),
    /// Extensions that can reach out of the database.
    #[error("extensions in it are not trusted by Postgres: {}; drop those, or agree that they stay (`extensions`)", .0.join(", "))]
    Extensions(Vec<String>),
    /// What would run with our rights, or lead out of it.
    #[error("it holds what a tenant's database must not: {}; drop that", .0.join(", "))]
    Unsafe(Vec<String>),
    /// Transactions that nobody ends.
    #[error("prepared transactions are open in it: {}; commit or roll them back", .0.join(", "))]
    Prepared(Vec<String>),
    /// Logical replication.
    #[error("it takes part in logical replication: {}; drop that first", .0.join(", "))]
    Replication(Vec<String>),
    /// Not UTF-8.
    #[error("its encoding is {0}, and must be UTF8")]
    Encoding(String),
    /// More than the server can lock at once.
    #[error(
        "it has {0} tables, indexes and the like; with its settings the server can lock {1} at once. Raise max_locks_per_transaction"
    )]
    TooLarge(i64, i64),
}

impl Refusal {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoDatabase(_) => "ADOPT_NO_DATABASE",
            Self::Name(_) => "ADOPT_NAME",
            Self::System(..) => "ADOPT_SYSTEM_DATABASE",
            Self::Taken(_) => "ADOPT_TAKEN",
            Self::LoginsTaken(_) => "ADOPT_LOGINS_TAKEN",
            Self::Owner(..) => "ADOPT_OWNER",
            Self::PassedOn(_) => "ADOPT_RIGHTS_PASSED_ON",
            Self::OthersOwn(_) => "ADOPT_OTHERS_OWN",
            Self::Traces(_) => "ADOPT_TRACES",
            Self::Sessions(..) => "ADOPT_SESSIONS",
            Self::OtherLogins(_) => "ADOPT_OTHER_LOGINS",
            Self::Extensions(_) => "ADOPT_EXTENSIONS",
            Self::Unsafe(_) => "ADOPT_UNSAFE",
            Self::Prepared(_) => "ADOPT_PREPARED",
            Self::Replication(_) => "ADOPT_REPLICATION",
            Self::Encoding(_) => "ADOPT_ENCODING",
            Self::TooLarge(..) => "ADOPT_TOO_LARGE",
        }
    }
}
