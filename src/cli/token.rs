//! The token that a server knows the user by, and how it travels.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

use super::failure::Failure;

#[derive(Args, Clone, Debug, Default)]
pub struct TokenArgs {
    /// Token that the server knows you by. Other users of this machine can read it on the command line: prefer the
    /// variable, or --token-file.
    #[arg(long, env = "TASKTALLY_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub token: Option<Secret>,

    /// File that holds the token, and nothing else; wins over --token and its variable.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

/// A text that is not printed.
#[derive(Clone)]
pub struct Secret(String);

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Secret, Self::Err> {
        Ok(Secret(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Puts the token, if there is one, on every call.
#[derive(Clone)]
pub struct Credentials(Option<MetadataValue<Ascii>>);

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "a token" } else { "no token" })
    }
}

impl Credentials {
    /// # Errors
    /// The file cannot be read, or what it holds is no token.
    pub fn new(args: &TokenArgs) -> Result<Credentials, Failure> {
        let text = match (&args.token_file, &args.token) {
            (Some(file), _) => in_file("--token-file", file)?,
            (None, Some(Secret(token))) => one_word(token)?,
            (None, None) => return Ok(Credentials(None)),
        };
        match MetadataValue::from_str(&format!("Bearer {text}")) {
            Ok(mut value) => {
                value.set_sensitive(true);
                Ok(Credentials(Some(value)))
            }
            Err(_) => Err(no_word()),
        }
    }

    /// As the header `authorization`, for what is no call.
    pub fn header(&self) -> Option<http::HeaderValue> {
        let mut value = http::HeaderValue::from_bytes(self.0.as_ref()?.as_bytes()).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// What a file holds that is named by this flag: a token, and nothing else.
///
/// # Errors
/// It cannot be read, or holds no token.
pub fn in_file(flag: &str, file: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file);
    one_word(&text.map_err(|error| Failure::local(format!("{flag} {}", file.display()), error))?)
}

/// A token without what surrounds it.
///
/// # Errors
/// It is none. What it is instead is not told.
pub fn one_word(text: &str) -> Result<String, Failure> {
    let token = text.trim();
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    if is_token { Ok(token.to_owned()) } else { Err(no_word()) }
}

fn no_word() -> Failure {
    Failure::Usage("the token must be one word of printable ASCII characters".to_owned())
}

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(token: &str) -> Result<String, Failure> {
        let args = TokenArgs { token: Some(Secret(token.to_owned())), token_file: None };
        let request = Credentials::new(&args)?.call(Request::new(())).unwrap();
        Ok(request.metadata().get("authorization").unwrap().to_str().unwrap().to_owned())
    }

    #[test]
    fn a_token_travels_as_bearer_and_is_never_printed() {
        assert_eq!(sent(" tt_abc\n").unwrap(), "Bearer tt_abc");
        for wrong in ["", "  ", "two words", "tt_§"] {
            let said = sent(wrong).unwrap_err().to_string();
            assert!(wrong.trim().is_empty() || !said.contains(wrong), "{said}");
        }
        let args = TokenArgs { token: Some(Secret("tt_abc".to_owned())), token_file: None };
        assert!(!format!("{args:?} {:?}", Credentials::new(&args).unwrap()).contains("tt_abc"));
        let request = Credentials::new(&TokenArgs::default()).unwrap().call(Request::new(())).unwrap();
        assert!(request.metadata().get("authorization").is_none());
    }

    #[test]
    fn a_file_wins_and_trouble_with_it_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, "tt_file\n").unwrap();
        let args = TokenArgs { token: Some(Secret("tt_other".to_owned())), token_file: Some(file) };
        let request = Credentials::new(&args).unwrap().call(Request::new(())).unwrap();
        assert_eq!(request.metadata().get("authorization").unwrap(), "Bearer tt_file");
        let missing = TokenArgs { token: None, token_file: Some(dir.path().join("none")) };
        assert!(Credentials::new(&missing).unwrap_err().to_string().contains("--token-file"));
    }
}
