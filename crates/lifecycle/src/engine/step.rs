//! What an operation is made of.

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tenantry_catalog::CatalogError;
use tenantry_types::ErrorKind;

/// One kind of operation; the value carries all that its steps need.
pub trait Kind: Send + Sync + Sized + 'static {
    /// The kind's name in the journal and in URLs, e.g. `create`.
    const NAME: &'static str;
    /// What happens when a step fails.
    const ON_FAILURE: OnFailure;
    /// The step from whose beginning on there is no way back, where what fails before it is undone: from
    /// here on a step that fails is tried again.
    const NO_WAY_BACK: Option<&'static str> = None;
    /// Whether the tenant is as well off when this operation waits for a person as it was before, and so
    /// is served all the same.
    const SERVED_WHEN_PARKED: bool = false;
    /// Whether it begins and goes on while background work is paused: it stops harm, or lets people look.
    const RUNS_WHEN_PAUSED: bool = false;

    /// The steps in order. Names are unique within the kind and never change once shipped:
    /// an operation that a former version began is resumed by them.
    fn steps() -> &'static [Step<Self>];

    /// Whether this operation has nothing to do in a step; it then does not appear in the journal.
    /// The same for the whole life of the operation.
    fn skips(&self, _step: &str) -> bool {
        false
    }

    /// What need not be over before the journal says that the last step is reached, but before
    /// anybody is told. It is no part of the effect: after a crash nobody does it again.
    fn beside_the_end(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Told how a drive ended, in the words of its metric.
    fn ended(&self, _outcome: &'static str) {}

    /// What the finished operation tells the one who asked, without secrets.
    fn result(&self) -> serde_json::Value {
        serde_json::json!({})
    }
}

/// What happens when a step fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// The steps that were begun are undone, last first.
    Undo,
    /// The step is tried again later: the change was promised and has no way back.
    Retry,
}

/// A step's effect, or the undoing of it.
pub type Action<K> = for<'a> fn(&'a K) -> BoxFuture<'a, Result<(), StepError>>;

/// One step: a name, an effect and how to take it back.
pub struct Step<K: 'static> {
    /// Its name in the journal.
    pub name: &'static str,
    /// The effect.
    pub run: Action<K>,
    /// Takes the effect back, also when it was only half reached or not at all. A step whose
    /// traces another step's undo removes has none.
    pub undo: Option<Action<K>>,
}

/// Why a step did not get to its end.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The catalog could not be reached, or somebody else holds the operation now: nothing can be
    /// recorded, so nothing is decided. Whoever holds the lease next goes on.
    #[error("the operation was interrupted")]
    Interrupted(#[source] Option<CatalogError>),
    /// The effect could not be reached.
    #[error("{}", .0.message)]
    Failed(Failure),
}

/// A failure as it is kept in the journal and told to the one who asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// Stable code, e.g. `CLUSTER_UNAVAILABLE`.
    pub code: String,
    /// For the person who asked: what happened and what to do. Nothing internal.
    pub message: String,
    /// Whether trying again later can help.
    pub retryable: bool,
    /// The chain of causes, for the journal and the log; it never leaves in an answer.
    #[serde(skip)]
    pub cause: String,
}

impl Failure {
    /// A failure with its public words and its internal cause.
    pub fn new(
        kind: ErrorKind,
        code: &str,
        message: impl Into<String>,
        cause: &(dyn std::error::Error + 'static),
    ) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            retryable: kind == ErrorKind::Unavailable,
            cause: chain_of(cause),
        }
    }

    /// Somebody asked for the operation's end.
    pub(crate) fn cancelled() -> Self {
        Self {
            code: "OPERATION_CANCELLED".to_owned(),
            message: "The operation was cancelled; what it had done is undone.".to_owned(),
            retryable: false,
            cause: "a person asked for it".to_owned(),
        }
    }

    /// What is said when the record of a failure cannot be read.
    pub(crate) fn unknown() -> Self {
        Self {
            code: "INTERNAL".to_owned(),
            message: "The operation failed.".to_owned(),
            retryable: false,
            cause: "the recorded error could not be read".to_owned(),
        }
    }

    /// The kind of error that this is to the one who asked.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        if self.retryable {
            ErrorKind::Unavailable
        } else {
            ErrorKind::Internal
        }
    }
}

/// An error and its sources in one line.
pub(crate) fn chain_of(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

impl From<CatalogError> for StepError {
    fn from(error: CatalogError) -> Self {
        match error.kind() {
            ErrorKind::Unavailable => Self::Interrupted(Some(error)),
            kind => Self::Failed(Failure::new(
                kind,
                "INTERNAL",
                "The catalog refused a step of the operation; the journal names it.",
                &error,
            )),
        }
    }
}

impl From<sqlx::Error> for StepError {
    fn from(error: sqlx::Error) -> Self {
        CatalogError::from(error).into()
    }
}

impl From<Failure> for StepError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}
