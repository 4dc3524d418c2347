//! What the doctor can find: a stable code each, how bad it is, and what to do about it.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use tenantry_types::{DatabaseId, OperationId, RoleName, TenantId};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something is wrong: a tenant cannot be served, or could be reached by somebody who must not.
    Error,
    /// Something differs from what it should be.
    Warning,
    /// Worth knowing, and no difference.
    Notice,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $severity:ident, $what:literal;)+) => {
        /// What is wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)+
        }

        impl Code {
            /// All of them, in the order of the documents.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The word for it, which never changes.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }

            /// How bad it is.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)+ }
            }

            /// What to do about it.
            #[must_use]
            pub const fn what_to_do(self) -> &'static str {
                match self { $(Self::$name => $what,)+ }
            }
        }
    };
}

codes! {
    /// A row of the catalog whose database does not exist.
    DatabaseMissing = "DATABASE_MISSING", Error,
        "Find out who dropped it, and restore it from a backup under this name; or delete the tenant with --purge.";
    /// A database that was not in the backup of its cluster that somebody accepted.
    DatabaseLost = "DATABASE_LOST", Error,
        "Its data is not on the cluster. Delete the tenant with --purge, which frees its name for a new sign-up; or bring the database back from elsewhere, under its name and with its mark, and accept it: `tenantry doctor --accept-epoch --tenant`.";
    /// A database has another name than its row.
    DatabaseRenamed = "DATABASE_RENAMED", Error,
        "Rename it back while nobody is connected: ALTER DATABASE … RENAME TO ….";
    /// Two databases carry one mark.
    DatabaseMarkedTwice = "DATABASE_MARKED_TWICE", Error,
        "Find out who copied the comment; the one that the catalog does not name should not have it.";
    /// A database of a row lost its mark.
    DatabaseMarkMissing = "DATABASE_MARK_MISSING", Error,
        "`tenantry doctor --fix` writes it again where the identity inside proves which database it is.";
    /// Under a row's name lies a database of somebody else.
    DatabaseOfAnother = "DATABASE_OF_ANOTHER", Error,
        "Find out what happened to the tenant's own database; nothing is done to the one that is there.";
    /// A database carries our mark and no row knows it.
    DatabaseOrphan = "DATABASE_ORPHAN", Error,
        "Was the catalog restored from a backup? Then restore a newer one. `tenantry doctor --fix` closes the database and renames it to orphan_…; dropping it is yours.";
    /// An orphan that was closed and renamed.
    DatabaseSetAside = "DATABASE_SET_ASIDE", Notice,
        "Drop it when you are sure that nobody misses it.";
    /// A database has a name as ours have, and no mark.
    DatabaseUnmarked = "DATABASE_UNMARKED", Warning,
        "Nothing is done to it. Drop it if you know that it is nobody's.";
    /// A row of a database that nobody makes any more.
    DatabaseUnfinished = "DATABASE_UNFINISHED", Error,
        "Delete the tenant with --purge; for one without a tenant drop the database and its logins, then the row.";
    /// A database that an interrupted drop left unusable.
    DatabaseTorn = "DATABASE_TORN", Error,
        "Nobody can use it any more: restore it from a backup, or let the purge go on.";
    /// The admin does not own a database.
    DatabaseOwner = "DATABASE_OWNER", Error,
        "ALTER DATABASE … OWNER TO the cluster's admin login: its owner can let anybody in.";
    /// A database accepts no connections.
    DatabaseClosed = "DATABASE_CLOSED", Error,
        "If nobody closed it on purpose: ALTER DATABASE … ALLOW_CONNECTIONS true.";
    /// A database has a limit of connections.
    DatabaseLimit = "DATABASE_LIMIT", Warning,
        "`tenantry doctor --fix` takes it away; limits are a matter of the plan and the budget.";
    /// Everybody has a right on a database.
    DatabasePublic = "DATABASE_PUBLIC", Error,
        "`tenantry doctor --fix` takes it from PUBLIC. Find out who gave it.";
    /// Somebody lacks a right on a database.
    GrantMissing = "GRANT_MISSING", Error,
        "`tenantry doctor --fix` grants it again.";
    /// Somebody has a right on a database that nobody should have.
    GrantUnexpected = "GRANT_UNEXPECTED", Error,
        "`tenantry doctor --fix` takes it from logins and groups of ours; from others REVOKE it if they should not have it.";
    /// A template is gone.
    TemplateMissing = "TEMPLATE_MISSING", Warning,
        "The next sign-up or `tenantry migrate-all` makes it anew, and takes longer.";
    /// A template accepts connections.
    TemplateOpen = "TEMPLATE_OPEN", Error,
        "`tenantry doctor --fix` closes it. Somebody may have changed it: run `tenantry migrate-all` to look at what was cloned from it.";
    /// A template that nobody completes.
    TemplateUnfinished = "TEMPLATE_UNFINISHED", Warning,
        "The next sign-up goes on with it; look at the log for why it stopped.";
    /// A login of a row does not exist.
    RoleMissing = "ROLE_MISSING", Error,
        "Rotate the tenant's credentials, which makes logins anew; the owner's login has to be made by hand.";
    /// A database lacks the row of a login.
    RoleUnrecorded = "ROLE_UNRECORDED", Error,
        "Restore the row from a backup of the catalog.";
    /// A login of a row does not carry our mark.
    RoleMark = "ROLE_MARK", Error,
        "Nothing is done to it. If it is the tenant's: COMMENT ON ROLE … with the mark of its database.";
    /// A login carries our mark and no row knows it.
    RoleOrphan = "ROLE_ORPHAN", Error,
        "`tenantry doctor --fix` locks it out and renames it to orphan_…; dropping it is yours.";
    /// A login that was locked out and renamed.
    RoleSetAside = "ROLE_SET_ASIDE", Notice,
        "Drop it when its database is gone.";
    /// A login of a database that should have been retired.
    RoleLeftOver = "ROLE_LEFT_OVER", Error,
        "`tenantry doctor --fix` retires it.";
    /// A role has a name as ours have, and no mark.
    RoleUnmarked = "ROLE_UNMARKED", Warning,
        "Nothing is done to it. Drop it if you know that it is nobody's.";
    /// A login of a tenant that is suspended or deleted lets somebody in.
    RoleNotFenced = "ROLE_NOT_FENCED", Error,
        "`tenantry doctor --fix` locks it out again and ends its sessions. Find out who let it in.";
    /// A login of a tenant that is served lets nobody in.
    RoleLockedOut = "ROLE_LOCKED_OUT", Error,
        "If nobody locked it out on purpose: suspend and resume the tenant.";
    /// A login has another limit of connections.
    RoleLimit = "ROLE_LIMIT", Warning,
        "`tenantry doctor --fix` sets it.";
    /// A login's password has an end.
    RoleExpires = "ROLE_EXPIRES", Warning,
        "ALTER ROLE … VALID UNTIL 'infinity', unless somebody wants it to end.";
    /// A login has attributes that it must not have, or lacks one.
    RoleAttributes = "ROLE_ATTRIBUTES", Error,
        "`tenantry doctor --fix` takes CREATEDB and CREATEROLE away; the others a superuser has to take.";
    /// A login is not in its group.
    RoleGroupMissing = "ROLE_GROUP_MISSING", Error,
        "`tenantry doctor --fix` puts it back.";
    /// A login is in a role that it must not be in.
    RoleInGroup = "ROLE_IN_GROUP", Error,
        "`tenantry doctor --fix` takes it out.";
    /// Somebody is a member of a tenant's login.
    RoleHasMember = "ROLE_HAS_MEMBER", Error,
        "`tenantry doctor --fix` takes it out; what the admin was given by another login only that one can take.";
    /// An owner login does not work as the group.
    OwnerSetting = "OWNER_SETTING", Warning,
        "`tenantry doctor --fix` sets it again: what a migration makes would belong to the login.";
    /// A login of a tenant may connect where no tenant's may.
    LoginElsewhere = "LOGIN_ELSEWHERE", Error,
        "REVOKE CONNECT ON DATABASE … FROM it, as the database's owner.";
    /// Everybody may connect to the catalog.
    CatalogPublic = "CATALOG_PUBLIC", Error,
        "As its owner: REVOKE ALL ON DATABASE … FROM PUBLIC.";
    /// Everybody may connect to a database of the server's own.
    ServerPublic = "SERVER_PUBLIC", Notice,
        "Where you can: REVOKE ALL ON DATABASE … FROM PUBLIC, then GRANT CONNECT to those who need it.";
    /// A group of ours is missing.
    GroupMissing = "GROUP_MISSING", Error,
        "No tenant's login can do anything without it. Restore it as a NOLOGIN role and grant it to the logins with --fix.";
    /// A group of ours is more than a group.
    GroupAltered = "GROUP_ALTERED", Error,
        "Take it away again: every tenant's logins have what the group has.";
    /// A login that serves requests may define something.
    RuntimeRights = "RUNTIME_RIGHTS", Error,
        "REVOKE CREATE ON … FROM the login or tenantry_app, in the tenant's database as its owner login.";
    /// A sealed password does not open.
    SecretUnreadable = "SECRET_UNREADABLE", Error,
        "Is a key missing from the program's list? With it everything opens; without it rotate the tenant's credentials.";
    /// A login has no sealed password that should have one.
    SecretMissing = "SECRET_MISSING", Error,
        "Rotate the tenant's credentials.";
    /// The server refuses a login with its sealed password.
    LoginRefused = "LOGIN_REFUSED", Error,
        "Rotate the tenant's credentials: somebody changed the password, or pg_hba.conf keeps the login out.";
    /// A login that should have been disabled is still good.
    LoginOverdue = "LOGIN_OVERDUE", Warning,
        "A `tenantry serve` disables it by itself; look at its log.";
    /// A database has no identity.
    IdentityMissing = "IDENTITY_MISSING", Error,
        "No router serves it. Find out what happened to tenantry_self.identity before it is written again.";
    /// A database has another's identity.
    IdentityOfAnother = "IDENTITY_OF_ANOTHER", Error,
        "No router serves it: it may be another tenant's data under this name. Find out before anything else.";
    /// A database has another epoch.
    IdentityEpoch = "IDENTITY_EPOCH", Error,
        "No router serves it: it may be a copy from before a move or a restore. Find out which one is right.";
    /// A database is at other migrations than recorded.
    SchemaDiffers = "SCHEMA_DIFFERS", Warning,
        "Run `tenantry migrate-all`, which asks each database.";
    /// A migration was applied in part.
    SchemaDirty = "SCHEMA_DIRTY", Error,
        "Repair the database, then remove the row from tenantry.migrations or set its success.";
    /// A database lacks the note from which a lost catalog is rebuilt.
    NoteMissing = "NOTE_MISSING", Warning,
        "A `tenantry serve` writes it by itself; look at its log. `tenantry doctor --fix` writes it now.";
    /// A database's note says something else than the catalog.
    NoteStale = "NOTE_STALE", Warning,
        "A catalog that is rebuilt would believe it. `tenantry doctor --fix` writes it anew; look at the log of `tenantry serve` for why it is old.";
    /// A tenant has no database.
    TenantWithoutDatabase = "TENANT_WITHOUT_DATABASE", Error,
        "Delete the tenant with --purge, or restore the row from a backup of the catalog.";
    /// A tenant has no host name.
    TenantWithoutDomain = "TENANT_WITHOUT_DOMAIN", Error,
        "Rename the tenant (to another slug and back), which writes its subdomain.";
    /// A tenant is half-way, and nothing is going on.
    TenantUnfinished = "TENANT_UNFINISHED", Error,
        "`tenantry tenants show` tells why it stopped; retry the operation, or delete the tenant with --purge.";
    /// The tenant's row and its database's name different clusters.
    TenantElsewhere = "TENANT_ELSEWHERE", Error,
        "Find out where the data is, and correct the row that is wrong.";
    /// A purge is late.
    PurgeOverdue = "PURGE_OVERDUE", Warning,
        "A `tenantry serve` purges by itself; look at its log.";
    /// Rows of tenants that do not exist.
    RowsOfNobody = "ROWS_OF_NOBODY", Error,
        "A constraint of the catalog was switched off: remove these rows.";
    /// Rows that should have been removed.
    RowsOverdue = "ROWS_OVERDUE", Warning,
        "A `tenantry serve` removes them by itself; look at its log.";
    /// An operation waits for a person.
    OperationParked = "OPERATION_PARKED", Warning,
        "`tenantry operations show` tells why; then retry it or give it up.";
    /// An operation that nobody drives.
    OperationAbandoned = "OPERATION_ABANDONED", Error,
        "Check that a `tenantry serve` runs and reaches the catalog: it takes it up by itself.";
    /// An operation that fails again and again.
    OperationFailing = "OPERATION_FAILING", Warning,
        "`tenantry operations show` tells what stands in the way.";
    /// An operation whose lease keeps everybody off.
    OperationLease = "OPERATION_LEASE", Error,
        "`tenantry doctor --fix` frees it; somebody wrote it by hand, or the catalog's clock went back.";
    /// A router lacks changes.
    RouterBehind = "ROUTER_BEHIND", Error,
        "Look at its log; a router that is stuck is restarted without harm.";
    /// A dead router's share of a budget is not free.
    ShareOfDead = "SHARE_OF_DEAD", Warning,
        "A `tenantry serve` frees it once it has seen the router's connections gone; look at its log.";
    /// More is given out than the budget is.
    BudgetExceeded = "BUDGET_EXCEEDED", Error,
        "Set the budget with `tenantry clusters set-budget`, which asks the routers to give back.";
    /// A cluster cannot be looked at.
    ClusterUnreachable = "CLUSTER_UNREACHABLE", Error,
        "Bring the server back, or look at its admin login; nothing there was compared.";
    /// The admin of a cluster lacks something.
    ClusterUnfit = "CLUSTER_UNFIT", Error,
        "Do what the sentence says, as a superuser of that server.";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that is wrong. Holds no secret, and of texts that others wrote only names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// What it is, for programs: [`Code`].
    pub code: Cow<'static, str>,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub subject: Subject,
    /// What is wrong, for people.
    pub message: String,
    /// What to do.
    pub what_to_do: Cow<'static, str>,
    /// Whether `fix` puts it right.
    pub fixable: bool,
    /// What came of that, where it was tried.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fix: Option<Outcome>,
    /// What would put it right.
    #[serde(skip)]
    pub(crate) remedy: Option<Remedy>,
}

/// What a finding is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subject {
    /// The cluster's name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cluster: Option<String>,
    /// The tenant.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tenant_id: Option<TenantId>,
    /// The tenant's slug.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub slug: Option<String>,
    /// What kind of thing: `database`, `role`, `tenant`, `operation`, `router`, `cluster`, `table`.
    pub kind: Cow<'static, str>,
    /// Its name or id.
    pub name: String,
}

/// What came of a fix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// It is right now; another look has shown it.
    Fixed,
    /// It was tried, and is as it was.
    Failed,
    /// It was left alone: something is going on there now.
    InProgress,
}

/// What puts something right. Each is safe to repeat.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Remedy {
    /// Of a database that the catalog knows: done while its tenant is locked.
    Known(DatabaseId, Repair),
    /// Of a template.
    Template(DatabaseId, Repair),
    /// Of a database or login of ours that no row knows.
    Orphan(DatabaseId, Repair),
    /// The operation's lease is freed.
    FreeLease(OperationId),
}

/// A change on a cluster.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Repair {
    MarkAgain,
    NoteAgain,
    UnlimitDatabase,
    RevokePublic,
    Grant(Option<RoleName>),
    Revoke(RoleName),
    Close,
    LimitLogin(RoleName, i32),
    Disempower(RoleName),
    JoinGroup(RoleName, tenantry_cluster::logins::LoginKind),
    EndMembership {
        login: RoleName,
        group: RoleName,
        member: RoleName,
    },
    WorkAsOwner(RoleName),
    ShutOut(RoleName),
    Retire(RoleName),
    SetAsideDatabase,
    SetAsideLogin(RoleName),
}

impl Finding {
    pub(crate) fn new(code: Code, subject: Subject, message: impl Into<String>) -> Self {
        Self {
            code: code.as_str().into(),
            severity: code.severity(),
            subject,
            message: message.into(),
            what_to_do: code.what_to_do().into(),
            fixable: false,
            fix: None,
            remedy: None,
        }
    }

    pub(crate) fn mended_by(mut self, remedy: Option<Remedy>) -> Self {
        self.fixable = remedy.is_some();
        self.remedy = remedy;
        self
    }

    pub(crate) fn noted(mut self) -> Self {
        self.severity = Severity::Notice;
        self
    }

    /// Two findings of two looks with the same key are the same.
    pub(crate) fn key(&self) -> (String, Subject, String) {
        (
            self.code.to_string(),
            self.subject.clone(),
            self.message.clone(),
        )
    }

    /// Whether it counts as a difference.
    #[must_use]
    pub fn is_difference(&self) -> bool {
        self.severity != Severity::Notice && self.fix != Some(Outcome::Fixed)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_code_is_one_word_and_says_what_to_do() {
        let words: HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(words.len(), Code::ALL.len());
        for code in Code::ALL {
            let plain = |b: u8| b.is_ascii_uppercase() || b == b'_';
            assert!(code.as_str().bytes().all(plain), "{code}");
            assert!(code.what_to_do().ends_with('.'), "{code}");
        }
    }

    #[test]
    fn the_document_tells_each_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/doctor.md");
        let text = std::fs::read_to_string(path).expect("docs/doctor.md");
        let told: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
            .map(|(code, _)| code)
            .filter(|code| code.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'))
            .collect();
        let all: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(told, all);
    }
}
