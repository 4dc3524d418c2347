//! How a tenant of a lost catalog is to stand, by its note and by what its logins may do. Pure.
//!
//! Postgres is asked first: a suspension and a deletion take LOGIN away before they are done. The note may be a
//! moment old, so it can only make the answer more careful: a tenant is served again where both say so.

use chrono::Duration;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantry_types::{Plan, Slug, TenantId, Timestamp};

/// What users of a tenant are told that comes back suspended because nobody knows better.
pub(super) const UNKNOWN: &str = "This service is being restored.";

/// What the note in a tenant's database says.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Note {
    pub tenant: TenantId,
    pub slug: String,
    pub name: String,
    plan: String,
    metadata: Value,
    max_connections: Option<u32>,
    pub status: String,
    suspended_at: Option<Timestamp>,
    suspended_reason: Option<String>,
    created_at: Option<Timestamp>,
    /// How an adopted database was before.
    #[serde(default)]
    pub adopted: Option<Value>,
}

/// Whom the logins of a database let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doors {
    /// The product and the routers.
    Open,
    /// One of them: somebody was about to open or to close them.
    Ajar,
    /// Migrations only, as while a tenant is suspended.
    Suspended,
    /// Nobody, as after a deletion.
    Shut,
}

/// How a tenant is to stand; kept in the catalog until it does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Goal {
    name: String,
    plan: String,
    metadata: Value,
    max_connections: Option<u32>,
    pub status: String,
    pub reason: Option<String>,
    purge_at: Option<Timestamp>,
    suspended_at: Option<Timestamp>,
    suspended_reason: Option<String>,
    created_at: Option<Timestamp>,
}

impl Note {
    /// Reads a note; none where it is not as we write them.
    pub(super) fn parse(text: &str) -> Option<(Self, Slug)> {
        let note: Self = serde_json::from_str(text).ok()?;
        let slug = Slug::parse(&note.slug).ok()?;
        Plan::parse(&note.plan).ok()?;
        note.metadata.is_object().then_some((note, slug))
    }
}

impl Goal {
    pub(super) fn of(
        note: Option<&Note>,
        slug: &Slug,
        doors: Doors,
        now: Timestamp,
        grace: Duration,
    ) -> Self {
        let said = note.map(|note| note.status.as_str());
        let known = note.and_then(|note| Some((note.suspended_at?, note.suspended_reason.clone())));
        let unknown = || Some((now, Some(UNKNOWN.to_owned())));
        let adopted = note.is_some_and(|note| note.adopted.is_some());
        let (status, suspension) = match (doors, said) {
            (Doors::Open, Some("active" | "migrating")) => ("active", None),
            // It may have been on its way back to its former owner: what ends by itself is not to be begun.
            (Doors::Shut, said) if adopted && said != Some("deleting") => ("suspended", unknown()),
            (Doors::Shut, _) => ("deleting", known),
            (Doors::Suspended, Some("suspended")) => ("suspended", known.or_else(unknown)),
            _ => ("suspended", unknown()),
        };
        let (suspended_at, suspended_reason) = suspension.unzip();
        let suspended_reason = suspended_reason.flatten();
        Self {
            name: note.map_or_else(|| slug.as_str().to_owned(), |note| note.name.clone()),
            plan: note.map_or_else(|| Plan::default().to_string(), |note| note.plan.clone()),
            metadata: note.map_or_else(|| json!({}), |note| note.metadata.clone()),
            max_connections: note.and_then(|note| note.max_connections),
            status: status.to_owned(),
            reason: (status == "suspended")
                .then(|| suspended_reason.clone())
                .flatten(),
            // A whole grace period again: nothing is to be purged before anybody has looked.
            purge_at: (status == "deleting").then(|| now + grace),
            suspended_at,
            suspended_reason,
            created_at: note.and_then(|note| note.created_at),
        }
    }

    pub(super) fn is_served(&self) -> bool {
        self.status == "active"
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.status == "deleting"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(status: &str, suspended: bool) -> Note {
        let text = json!({
            "tenant": "0193e3a4-0000-7000-8000-000000000001", "slug": "acme", "name": "Acme", "plan": "pro",
            "metadata": { "crm": 7 }, "maxConnections": null, "status": status, "reason": null, "purgeAt": null,
            "suspendedAt": suspended.then_some("2026-01-02T03:04:05Z"),
            "suspendedReason": suspended.then_some("unpaid"), "createdAt": "2026-01-01T00:00:00Z",
        });
        Note::parse(&text.to_string()).expect("a note").0
    }

    fn stands(note: Option<&Note>, doors: Doors) -> (String, Option<String>) {
        let slug = Slug::parse("acme").expect("a slug");
        let now = "2026-05-05T00:00:00Z".parse().expect("a time");
        let goal = Goal::of(note, &slug, doors, now, Duration::days(7));
        assert_eq!(goal.purge_at.is_some(), goal.is_deleted());
        assert!(goal.purge_at.is_none_or(|at| at > now));
        (goal.status, goal.reason)
    }

    #[test]
    fn a_tenant_is_served_only_where_note_and_doors_both_say_so() {
        let words = [
            "active",
            "migrating",
            "suspended",
            "deleting",
            "moving",
            "?",
        ];
        for doors in [Doors::Open, Doors::Ajar, Doors::Suspended, Doors::Shut] {
            for status in words {
                let served = stands(Some(&note(status, false)), doors).0 == "active";
                let both = doors == Doors::Open && matches!(status, "active" | "migrating");
                assert_eq!(served, both, "{doors:?} {status}");
            }
            assert_ne!(stands(None, doors).0, "active", "{doors:?}");
        }
    }

    #[test]
    fn whom_nobody_lets_in_is_deleted_and_a_known_suspension_keeps_its_reason() {
        let (active, suspended) = (note("active", false), note("suspended", true));
        assert_eq!(stands(Some(&active), Doors::Shut).0, "deleting");
        let known = ("suspended".to_owned(), Some("unpaid".to_owned()));
        assert_eq!(stands(Some(&suspended), Doors::Suspended), known);
        let unknown = ("suspended".to_owned(), Some(UNKNOWN.to_owned()));
        assert_eq!(stands(Some(&active), Doors::Suspended), unknown);
        assert_eq!(stands(Some(&suspended), Doors::Open), unknown);
        assert_eq!(stands(None, Doors::Open), unknown);
    }

    #[test]
    fn an_adopted_one_whom_nobody_lets_in_is_deleted_only_where_its_note_says_so() {
        let adopted = |status: &str| {
            let mut one = note(status, false);
            one.adopted = Some(json!({ "format": 1 }));
            stands(Some(&one), Doors::Shut).0
        };
        assert_eq!(adopted("deleting"), "deleting");
        for status in ["active", "suspended", "error", "?"] {
            assert_eq!(adopted(status), "suspended", "{status}");
        }
    }

    #[test]
    fn what_is_no_note_is_none() {
        for text in ["", "{}", "null", "standard public schema"] {
            assert!(Note::parse(text).is_none(), "{text}");
        }
    }
}
