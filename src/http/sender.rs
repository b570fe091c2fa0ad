//! Who sends events: somebody with credentials that may, or the task router itself, known by its signature.
//!
//! For an account that has an auth token only a valid signature counts, whatever else is shown; it stands for the account
//! with the role ingest and nothing more. The signature is over the body, so that the entrance lets callers pass who show
//! nothing else, as nobody; what they are is decided here, after the body is read and before anything of it is taken.

use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::ORIGIN;
use http::request::Parts;

use super::problem::{Problem, problem};
use crate::access::AuthTokens;
use crate::access::auth_token::Unsigned;
use crate::api::status::ApiError;
use crate::api::{Api, permit};
use crate::event::AccountSid;
use crate::pipeline::{Caller, Role, Scope};

const SIGNATURE: &str = "x-twilio-signature";

/// What the head of a request says of its sender.
pub struct Sender {
    caller: Caller,
    /// `None` where there are none.
    tokens: Option<AuthTokens>,
    signature: Option<String>,
    /// A browser sent it: any page may post a form to a server that asks nobody for credentials.
    is_of_page: bool,
    /// The URL by which the sender knows this server.
    pub url: String,
}

/// Why a request is refused that says who sends it.
pub enum Refused {
    /// Who sent it may not.
    Problem(Problem),
    /// Its signature is missing or wrong.
    Unsigned(Problem),
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Refused {
        Refused::Problem(problem)
    }
}

impl Refused {
    pub fn into_response(self) -> Response {
        match self {
            Refused::Problem(problem) => problem.into_response(),
            Refused::Unsigned(problem) => {
                let mut response = problem.into_response();
                response.extensions_mut().insert(Unsigned);
                response
            }
        }
    }
}

impl Sender {
    pub fn of(api: &Api, parts: &Parts) -> Sender {
        let mut shown = parts.headers.get_all(SIGNATURE).iter().map(|value| value.to_str().unwrap_or_default());
        let signature = match (shown.next(), shown.next()) {
            (signature, None) => signature.map(str::to_owned),
            // Two contradict each other; nothing is signed with an empty one.
            (_, Some(_)) => Some(String::new()),
        };
        let path_and_query = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        Sender {
            caller: parts.extensions.get().copied().unwrap_or_else(Caller::nobody),
            tokens: parts.extensions.get().cloned(),
            signature,
            is_of_page: parts.headers.contains_key(ORIGIN),
            url: api.links.public(path_and_query),
        }
    }

    /// Whether only the signature can tell who this is.
    pub fn is_stranger(&self) -> bool {
        !self.caller.may(Role::Ingest)
    }

    /// That it may be worth reading the body.
    ///
    /// # Errors
    /// Whatever the body is, its sender may not send events.
    pub fn expect(&self) -> Result<(), Refused> {
        if self.is_of_page {
            let message = "events are not taken from web pages: this request has an Origin";
            return Err(Problem::new(StatusCode::FORBIDDEN, message).into());
        }
        if self.is_stranger() && (self.signature.is_none() || self.tokens.is_none()) {
            return Err(self.unknown());
        }
        Ok(())
    }

    /// The body cannot be what was signed, whoever signed it.
    pub fn expect_signed(&self, may_be: impl FnOnce(&str) -> bool) -> Result<(), Refused> {
        if self.is_stranger() && !may_be(&self.url) { Err(self.unsigned()) } else { Ok(()) }
    }

    /// On whose behalf events of these accounts are taken. `is_signed` tells whether a signature is that of the body
    /// with this token.
    ///
    /// # Errors
    /// One of the accounts has an auth token, and no valid signature of such an account was shown; or who sends may not.
    pub fn decide(
        &self,
        accounts: impl IntoIterator<Item = AccountSid>,
        is_signed: impl Fn(&str, &str) -> bool,
    ) -> Result<Caller, Refused> {
        let mut accounts = accounts.into_iter().peekable();
        if self.is_stranger() && self.signature.is_some() && accounts.peek().is_none() {
            return Err(nameless());
        }
        let tokens = accounts.filter_map(|account| self.tokens.as_ref()?.of(account));
        let mut must_sign = false;
        for token in tokens {
            must_sign = true;
            if self.signature.as_deref().is_some_and(|shown| is_signed(token.key(), shown)) {
                return Ok(Caller {
                    scope: Scope::Account(token.account),
                    roles: [Role::Ingest].into_iter().collect(),
                });
            }
        }
        match (must_sign, self.is_stranger()) {
            (true, _) => Err(self.unsigned()),
            (false, true) => Err(self.unknown()),
            (false, false) => Ok(self.caller),
        }
    }

    /// Nobody, or somebody with other roles.
    fn unknown(&self) -> Refused {
        if self.caller == Caller::nobody() {
            return self.unsigned();
        }
        let not_permitted = permit(&self.caller, Role::Ingest).err();
        not_permitted.map_or_else(|| self.unsigned(), |error: ApiError| Refused::Problem(problem(error)))
    }

    fn unsigned(&self) -> Refused {
        let message = match &self.signature {
            None => {
                "X-Twilio-Signature is missing: events of an account that has an auth token here must be signed with it"
                    .to_owned()
            }
            Some(_) => format!(
                "X-Twilio-Signature is wrong: it must be made with the auth token of the account, over {} (the server's \
                 --public-url and the path) and the body",
                self.url
            ),
        };
        Refused::Unsigned(Problem::new(StatusCode::FORBIDDEN, message))
    }
}

/// Which auth token a signature must have been made with cannot be told.
fn nameless() -> Refused {
    let message = "the body names no account, so that no signature of it can be told to be right";
    Refused::Unsigned(Problem::new(StatusCode::FORBIDDEN, message))
}
