//! One type per kind of id, so that a user's id cannot be passed where a tenant's is wanted.

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(uuid::Uuid);

        impl $name {
            /// Takes a UUID that is known to be one of these, e.g. read from its own column.
            #[must_use]
            pub const fn from_uuid(id: uuid::Uuid) -> Self {
                Self(id)
            }

            /// Makes a new id, ordered by time (UUIDv7, RFC 9562 section 5.7).
            #[must_use]
            pub fn generate(clock: &crate::Clock, entropy: &crate::Entropy) -> Self {
                let now = clock.now();
                let millis = u64::try_from(now.timestamp_millis()).unwrap_or(0);
                Self(
                    uuid::Builder::from_unix_timestamp_millis(millis, &entropy.bytes::<10>())
                        .into_uuid(),
                )
            }

            /// The UUID itself, for a bind parameter.
            #[must_use]
            pub const fn as_uuid(&self) -> uuid::Uuid {
                self.0
            }
        }

        impl From<uuid::Uuid> for $name {
            fn from(id: uuid::Uuid) -> Self {
                Self(id)
            }
        }

        impl From<$name> for uuid::Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0.hyphenated())
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                uuid::Uuid::try_parse(text).map(Self)
            }
        }
    )+};
}

ids! {
    /// A customer with its own database. Never changes, whatever happens to its name or place.
    TenantId;
    /// One Postgres server that holds tenants' databases.
    ClusterId;
    /// One physical database that Tenantry made, from its birth as a spare on.
    DatabaseId;
    /// One durable operation.
    OperationId;
    /// A person or program allowed to run the control plane.
    OperatorId;
    /// One catalog with its keys.
    InstallationId;
    /// One running router.
    RouterId;
    /// A person inside one tenant.
    UserId;
    /// A role inside one tenant.
    RoleId;
    /// A family of refresh tokens that one sign-in began.
    SessionId;
    /// One line of the audit trail.
    AuditId;
    /// One name that an operator gave a tenant.
    AliasId;
    /// One run of the doctor.
    DoctorRunId;
}
