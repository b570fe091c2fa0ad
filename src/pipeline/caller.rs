//! Who asks, and what they may.

use std::fmt;
use std::sync::Arc;

use crate::event::AccountSid;

/// What the log calls a caller: the name of its credential, or the subject of its signed token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerName(pub Arc<str>);

/// Whose workspaces a caller may see and feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    All,
    Account(AccountSid),
}

/// What a caller may do. No role includes another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// Ask for statistics and lists.
    Read = 1,
    /// Send events.
    Ingest = 2,
    /// What changes the server itself: forget a workspace, back up.
    Admin = 4,
}

impl Role {
    pub const ALL: [Role; 3] = [Role::Read, Role::Ingest, Role::Admin];

    /// As credentials write it.
    pub fn name(self) -> &'static str {
        match self {
            Role::Read => "read",
            Role::Ingest => "ingest",
            Role::Admin => "admin",
        }
    }

    pub fn named(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// A set of roles.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    pub const NONE: Roles = Roles(0);
    pub const ALL: Roles = Roles(Role::Read as u8 | Role::Ingest as u8 | Role::Admin as u8);

    pub fn has(self, role: Role) -> bool {
        self.0 & role as u8 != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Roles {
        Roles(roles.into_iter().fold(0, |all, role| all | role as u8))
    }
}

impl fmt::Debug for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(Role::ALL.into_iter().filter(|role| self.has(*role)).map(Role::name)).finish()
    }
}

/// Who asks. Every question and every ingest carries one; the owner compares it with the workspace's account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    pub scope: Scope,
    pub roles: Roles,
}

impl Caller {
    /// A caller that may see, feed and do everything.
    pub fn everything() -> Caller {
        Caller { scope: Scope::All, roles: Roles::ALL }
    }

    /// A caller of whom nothing is known, and who may do nothing.
    pub fn nobody() -> Caller {
        Caller { scope: Scope::All, roles: Roles::NONE }
    }

    pub fn may(&self, role: Role) -> bool {
        self.roles.has(role)
    }

    pub fn sees(&self, account: AccountSid) -> bool {
        match self.scope {
            Scope::All => true,
            Scope::Account(own) => own == account,
        }
    }
}
