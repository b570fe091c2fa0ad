//! Who may call: settings of `tasktally serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};

use crate::access::jwt::{Claim, Expected};
use crate::access::{JwtSettings, Settings};

/// What callers are known by. With a credentials file or a JWK set, every call but health needs credentials; without
/// either, everybody may do everything.
#[derive(Args, Clone, Debug, PartialEq)]
#[command(next_help_heading = "Access")]
pub struct AccessConfig {
    /// Credentials file (TOML), read again when it changes; `tasktally credentials new` makes entries for it. Turns
    /// authentication on.
    #[arg(long, env = "TASKTALLY_CREDENTIALS", value_name = "FILE")]
    pub credentials: Option<PathBuf>,

    /// JWK set (JSON) with the keys of signed tokens (RS256, ES256, EdDSA), read again when it changes. Turns
    /// authentication on.
    #[arg(long, env = "TASKTALLY_JWT_JWKS", value_name = "FILE", requires_all = ["jwt_issuer", "jwt_audience"])]
    pub jwt_jwks: Option<PathBuf>,

    /// What a signed token must have as `iss`.
    #[arg(long, env = "TASKTALLY_JWT_ISSUER", value_name = "TEXT", requires = "jwt_jwks")]
    pub jwt_issuer: Option<String>,

    /// What a signed token must have as, or among, `aud`.
    #[arg(long, env = "TASKTALLY_JWT_AUDIENCE", value_name = "TEXT", requires = "jwt_jwks")]
    pub jwt_audience: Option<String>,

    /// Claim of a signed token that names the account (AC…, or all): a name, or a JSON pointer such as /tasktally/account.
    #[arg(long, env = "TASKTALLY_JWT_ACCOUNT_CLAIM", value_name = "CLAIM", default_value = "account", value_parser = Claim::new)]
    pub jwt_account_claim: Claim,

    /// Claim of a signed token that names the roles (read, ingest, admin), as a list or as words in one text.
    #[arg(long, env = "TASKTALLY_JWT_ROLES_CLAIM", value_name = "CLAIM", default_value = "roles", value_parser = Claim::new)]
    pub jwt_roles_claim: Claim,

    /// Listen on an address that others can reach although everybody who does may read and write everything.
    #[arg(long, env = "TASKTALLY_ALLOW_UNAUTHENTICATED", value_parser = BoolishValueParser::new())]
    pub allow_unauthenticated: bool,

    /// Who may ask for the services' descriptions, as grpcurl does, and for /v1/openapi.json: `open` everybody, `known` callers with credentials,
    /// `off` nobody. They are those of the published proto files.
    #[arg(long, env = "TASKTALLY_REFLECTION", value_enum, default_value = "known")]
    pub reflection: Reflection,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Reflection {
    Open,
    Known,
    Off,
}

impl AccessConfig {
    /// Where what callers are known by stands; `None` where nobody is asked.
    pub fn settings(&self) -> Option<Settings> {
        let jwt = match (&self.jwt_jwks, &self.jwt_issuer, &self.jwt_audience) {
            (Some(jwks), Some(issuer), Some(audience)) => Some(JwtSettings {
                jwks: jwks.clone(),
                expected: Expected {
                    issuer: issuer.clone(),
                    audience: audience.clone(),
                    account_claim: self.jwt_account_claim.clone(),
                    roles_claim: self.jwt_roles_claim.clone(),
                },
            }),
            _ => None,
        };
        let is_on = self.credentials.is_some() || jwt.is_some();
        is_on.then(|| Settings { credentials: self.credentials.clone(), jwt })
    }

    /// Whether a server at this address would let in whoever can reach it, without anybody having said so.
    pub fn is_open_by_accident(&self, listen: SocketAddr) -> bool {
        !listen.ip().is_loopback() && self.settings().is_none() && !self.allow_unauthenticated
    }
}
