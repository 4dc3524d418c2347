//! What each role of an operator may do. A handler says by the type of its first argument which right it
//! needs (`context::Operator`); one that says nothing is for owners alone.

use tenantry_catalog::operators::Role;

/// What a route below `/setup` needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Operators, keys, emergencies, and whatever does not say what it needs.
    Govern,
    /// Changing tenants, clusters and operations.
    Operate,
    /// Reading what holds no secret.
    Read,
    /// Creating tenants.
    Provision,
    /// Reading one tenant or operation: a provisioner only what it created, which the handler sees to.
    ReadCreated,
}

impl Right {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Govern,
        Self::Operate,
        Self::Read,
        Self::Provision,
        Self::ReadCreated,
    ];

    /// Whether an operator of this role has it. The whole table of who may do what.
    #[must_use]
    pub const fn is_of(self, role: Role) -> bool {
        match (role, self) {
            (Role::Owner, _) => true,
            (Role::Operator, Self::Govern) => false,
            (Role::Operator, Self::Operate | Self::Read | Self::Provision | Self::ReadCreated) => {
                true
            }
            (Role::ReadOnly, Self::Read | Self::ReadCreated) => true,
            (Role::ReadOnly, Self::Govern | Self::Operate | Self::Provision) => false,
            (Role::Provisioner, Self::Provision | Self::ReadCreated) => true,
            (Role::Provisioner, Self::Govern | Self::Operate | Self::Read) => false,
        }
    }

    /// The roles that have it.
    pub fn roles(self) -> impl Iterator<Item = Role> {
        let all = Role::ALL.iter().copied();
        all.filter(move |role| self.is_of(*role))
    }
}

/// A right as a type.
pub(crate) trait Needs: Send + Sync + 'static {
    const RIGHT: Right;
}

macro_rules! needs {
    ($($name:ident)+) => {
        $(
            #[doc = concat!("[`Right::", stringify!($name), "`] as a type.")]
            pub(crate) struct $name;

            impl Needs for $name {
                const RIGHT: Right = Right::$name;
            }
        )+
    };
}
needs!(Govern Operate Read Provision ReadCreated);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_may_do_all_and_nobody_else_governs() {
        for right in Right::ALL {
            let roles: Vec<_> = right.roles().collect();
            assert!(roles.contains(&Role::Owner), "{right:?}");
        }
        assert_eq!(Right::Govern.roles().collect::<Vec<_>>(), [Role::Owner]);
        assert_eq!(
            Right::Operate.roles().collect::<Vec<_>>(),
            [Role::Owner, Role::Operator]
        );
    }
}
