//! The comment by which we know our databases and logins again.

use std::fmt;
use std::str::FromStr;

use tenantry_types::{DatabaseId, InstallationId};
use uuid::Uuid;

/// Says which installation made a database or login, and for which database id.
///
/// It is kept as the object's comment. Only the owner of a database may comment on it, and only the
/// creator of a role on the role, so that no tenant can forge it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mark {
    /// The installation that made the object.
    pub installation: InstallationId,
    /// The database that the object is, or belongs to.
    pub database: DatabaseId,
}

/// A comment that is no mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no mark of Tenantry")]
pub struct InvalidMark;

impl Mark {
    /// The mark of one database of one installation.
    #[must_use]
    pub const fn new(installation: InstallationId, database: DatabaseId) -> Self {
        Self {
            installation,
            database,
        }
    }
}

/// `tenantry:<installation>:<database id>`: hexadecimal digits, hyphens and colons after the word,
/// so it needs no escaping inside a literal.
impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tenantry:{}:{}", self.installation, self.database)
    }
}

impl FromStr for Mark {
    type Err = InvalidMark;

    /// Takes only what [`Mark`]'s `Display` writes, to the letter.
    fn from_str(text: &str) -> Result<Self, InvalidMark> {
        let ids = text.strip_prefix("tenantry:").ok_or(InvalidMark)?;
        let (installation, database) = ids.split_once(':').ok_or(InvalidMark)?;
        let id = |text: &str| Uuid::try_parse(text).map_err(|_| InvalidMark);
        let mark = Self::new(id(installation)?.into(), id(database)?.into());
        if mark.to_string() == text {
            Ok(mark)
        } else {
            Err(InvalidMark)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let mark = Mark::new(Uuid::from_u128(7).into(), Uuid::from_u128(u128::MAX).into());
        assert_eq!(mark.to_string().parse(), Ok(mark));
    }

    #[test]
    fn other_comments_are_no_marks() {
        let id = Uuid::from_u128(7);
        for other in [
            String::new(),
            "tenantry".to_owned(),
            format!("tenantry:{id}"),
            format!("tenantry:{id}:{id} "),
            format!("tenantry:{id}:{}", id.simple()),
            format!("Tenantry:{id}:{id}"),
            format!("tenantry:{id}:{id}:{id}"),
        ] {
            assert_eq!(other.parse::<Mark>(), Err(InvalidMark), "{other}");
        }
    }
}
