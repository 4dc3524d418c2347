//! From each crate's errors to a [`Problem`]. Kind and code are theirs, the words are ours.

use std::error::Error;

use tenantry_catalog::{CatalogError, operators};
use tenantry_lifecycle::doctor::BeginError;
use tenantry_lifecycle::engine::Failure;
use tenantry_lifecycle::{About, Room, StartError, WaitError};
use tenantry_router::{AcquireError, BadHost, Cut, ResolveError};
use tenantry_tenantdb::TenantDbError;
use tenantry_tenantdb::passwords::HashError;
use tenantry_tenantdb::sessions::SessionError;
use tenantry_tenantdb::sign_in_codes::IssueError;
use tenantry_tenantdb::users::UserError;
use tenantry_types::{ErrorKind, FieldError};

use super::Problem;

macro_rules! by_kind_and_code {
    ($($error:ty),+ $(,)?) => {
        $(impl From<$error> for Problem {
            fn from(error: $error) -> Self {
                of(error.kind(), error.code(), error)
            }
        })+
    };
}

by_kind_and_code!(CatalogError, TenantDbError, HashError, BadHost, IssueError);

macro_rules! with_retry_after {
    ($($error:ty),+) => {
        $(impl From<$error> for Problem {
            fn from(error: $error) -> Self {
                let retry_after = error.retry_after();
                let problem = of(error.kind(), error.code(), error);
                match retry_after {
                    Some(after) => problem.retry_after(after.as_secs()),
                    None => problem,
                }
            }
        })+
    };
}

with_retry_after!(AcquireError);

/// Of a suspension its reason is told: it is meant for the people who come.
impl From<ResolveError> for Problem {
    fn from(error: ResolveError) -> Self {
        let (kind, code, retry_after) = (error.kind(), error.code(), error.retry_after());
        let told = match &error {
            ResolveError::Suspended { reason } => reason.as_ref(),
            _ => None,
        };
        let told = told.map(|reason| format!("The tenant is suspended: {reason}"));
        let mut problem = of(kind, code, error);
        if let Some(told) = told {
            problem = problem.detail(told);
        }
        match retry_after {
            Some(after) => problem.retry_after(after.as_secs()),
            None => problem,
        }
    }
}

fn of(kind: ErrorKind, code: &'static str, cause: impl Error + Send + Sync + 'static) -> Problem {
    Problem::new(kind, code).caused_by(cause)
}

impl From<StartError> for Problem {
    fn from(error: StartError) -> Self {
        let (kind, code) = (error.kind(), error.code());
        match error {
            StartError::InProgress(id) => Self::new(kind, code).operation(id),
            StartError::MetadataTooLarge => Self::field(
                "metadata",
                "would have more than 16 KiB as JSON, together with what is there",
            ),
            StartError::OverlapRunning(until) => Self::new(kind, code).detail(format!(
                "The login before the present one is still good, until {}. Wait until then, or end it with `endPrevious`.",
                until.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
            )),
            StartError::NoRoom { held, most } => Self::new(kind, code).detail(format!(
                "Temporary logins hold {held} of the {most} connections that they may have on this cluster. End one, wait until one ends, or ask for fewer.",
            )),
            StartError::UnknownRegion => {
                Self::field("region", "is not the region of a registered cluster")
            }
            StartError::OtherRegion => Self::field(
                "region",
                "is not the region of the cluster that was asked for",
            ),
            StartError::ClusterExists(text) | StartError::ClusterInUse(text) => {
                Self::new(kind, code).detail(text)
            }
            // When it goes on is decided by people; a second would be too soon.
            StartError::Paused(pause) => Self::new(kind, code)
                .detail(format!(
                    "{} has paused all background work since {}, and this would begin some. The reason: {}",
                    pause.asked_by,
                    pause.since.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
                    pause.reason,
                ))
                .retry_after(60),
            // Whether there is a place is decided by people; a second would be too soon.
            StartError::NoCapacity => Self::new(kind, code).retry_after(60),
            StartError::BudgetTooLarge(room) => Self::new(kind, code).detail(too_large(room)),
            StartError::Unfit(findings) => {
                let errors = findings.into_iter().map(|finding| {
                    let field = match finding.about {
                        About::Host => "host",
                        About::Tls => "tls",
                        About::RootCa => "rootCa",
                        About::Login => "adminLogin",
                        About::Password => "adminPassword",
                        About::Server => "",
                    };
                    FieldError::new(field, finding.text)
                });
                Self::new(kind, code).errors(errors.collect())
            }
            StartError::CannotAdopt(refusals) => {
                let texts: Vec<String> = refusals
                    .iter()
                    .map(|refusal| format!("{}.", refusal.to_string().trim_end_matches('.')))
                    .collect();
                let errors = texts.iter().map(|text| FieldError::new("database", text.clone()));
                Self::new(kind, code)
                    .errors(errors.collect())
                    .detail(texts.first().cloned().unwrap_or_default())
            }
            StartError::AdoptionHeld(why) => Self::new(kind, code).detail(format!(
                "The database cannot be given back as it was: {}.",
                why.join("; ")
            )),
            StartError::WrongState(why)
            | StartError::Ended(why)
            | StartError::NotCancellable(why) => Self::new(kind, code).detail(sentence(why)),
            error => of(kind, code, error),
        }
    }
}

impl From<BeginError> for Problem {
    fn from(error: BeginError) -> Self {
        match error {
            BeginError::Running(_) => Self::new(ErrorKind::Conflict, "DOCTOR_RUNNING"),
            BeginError::Start(error) => error.into(),
        }
    }
}

/// As when its connection is ended under it: which of the two comes first is chance.
impl From<Cut> for Problem {
    fn from(cut: Cut) -> Self {
        of(ErrorKind::Unavailable, "DATABASE_UNAVAILABLE", cut).detail(
            "The tenant was changed meanwhile, and this request was ended. Try again shortly.",
        )
    }
}

impl From<WaitError> for Problem {
    fn from(error: WaitError) -> Self {
        match error {
            WaitError::Catalog(error) => error.into(),
            WaitError::Unknown => Self::not_found("OPERATION_NOT_FOUND"),
            error @ WaitError::StillRunning => {
                of(ErrorKind::Unavailable, "OPERATION_IN_PROGRESS", error)
            }
        }
    }
}

/// An operation's failure has words that are meant for the one who asked.
impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Self::new(failure.kind(), failure.code).detail(failure.message)
    }
}

impl From<UserError> for Problem {
    fn from(error: UserError) -> Self {
        let (kind, code) = (error.kind(), error.code());
        match error {
            UserError::UnknownRoles(names) => {
                Self::field("roles", format!("there is no role {}", names.join(", ")))
            }
            UserError::Escalation { permission } => Self::permission_denied(permission)
                .detail("You cannot give or change what holds a permission that you lack."),
            UserError::Db(error) => error.into(),
            error => of(kind, code, error),
        }
    }
}

impl From<SessionError> for Problem {
    fn from(error: SessionError) -> Self {
        of(error.kind(), error.code(), error)
    }
}

impl From<operators::InsertError> for Problem {
    fn from(error: operators::InsertError) -> Self {
        match error {
            operators::InsertError::InvalidName => {
                Self::field("name", "must have 1 to 100 characters")
            }
            operators::InsertError::Catalog(error) => error.into(),
            error => of(error.kind(), error.code(), error),
        }
    }
}

fn too_large(room: Room) -> String {
    let Room { free, reserve } = room;
    let largest = room.largest_budget();
    format!(
        "The budget of this cluster can be {largest} at most: its server has {free} connections for others \
         than superusers, and {reserve} of them stay for admin work and migrations."
    )
}

/// `the tenant is not deleted` → `The tenant is not deleted.`
fn sentence(text: &str) -> String {
    let mut sentence = format!("{text}.");
    if let Some(first) = sentence.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    sentence
}
