//! A connection in the hands of a request.

use std::fmt;
use std::ops::{Deref, DerefMut};

use sqlx::{Connection, PgConnection};
use tenantry_types::TenantId;

use crate::pools::Lease;

/// A leased connection to one tenant's database, proven to be that tenant's.
///
/// Dropped, it is looked at in the background: idle, it goes back to its pool; in a query or a
/// transaction, its session is ended. [`TenantConn::release`] gives it back at once.
///
/// It counts as a lease of its tenant until then: suspending, deleting or moving the tenant waits
/// for it, up to a deadline, and then ends its session on the server.
pub struct TenantConn {
    lease: Lease,
    /// Somebody may have asked it something.
    asked: bool,
}

impl TenantConn {
    pub(crate) fn new(mut lease: Lease) -> Self {
        lease.mark_used();
        Self {
            lease,
            asked: false,
        }
    }

    /// The tenant whose database this is.
    #[must_use]
    pub fn tenant_id(&self) -> TenantId {
        self.lease.generation().tenant
    }

    /// Gives the connection back at once, for when every statement was read to its end and every
    /// transaction was committed or rolled back. What is visibly not so is dropped instead; a
    /// `BEGIN` sent as plain text is not visible, so drop the connection after one of those.
    pub fn release(self) {
        let conn = &self.lease.get().conn;
        if !conn.is_in_transaction() && !conn.should_flush() {
            self.lease.put_back(self.asked);
        }
    }
}

impl Deref for TenantConn {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.lease.get().conn
    }
}

impl DerefMut for TenantConn {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.asked = true;
        &mut self.lease.get_mut().conn
    }
}

impl fmt::Debug for TenantConn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TenantConn").field(&self.lease).finish()
    }
}
