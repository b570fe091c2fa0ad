//! Pages of a list: how many rows, and after which one.
//!
//! A token is the place to go on from, with a checksum and the list that it belongs to, in hexadecimal. Nobody but this
//! file may look into it; a token of another list, or one that was cut or changed, is refused instead of guessed at.

use tonic_types::FieldViolation;
use xxhash_rust::xxh3::xxh3_64;

use super::Violations;
use crate::api::proto::v1;
use crate::event::WorkspaceSid;
use crate::limits;

/// Which rows of a list are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest<Place> {
    /// From 1 to 1,000.
    pub rows: usize,
    /// The last row of the page before; `None` for the first page.
    pub after: Option<Place>,
}

pub fn workspace_page(request: v1::ListWorkspacesRequest) -> Result<PageRequest<WorkspaceSid>, Vec<FieldViolation>> {
    let v1::ListWorkspacesRequest { page_size, page_token } = request;
    let mut bad = Violations::default();
    let rows = bad.rows(page_size);
    let place = bad.place(LIST_WORKSPACES, &page_token);
    let after = place.and_then(|place| match <[u8; 16]>::try_from(place) {
        Ok(bytes) => Some(WorkspaceSid::from_bytes(bytes)),
        Err(_) => {
            bad.add("page_token", BAD_TOKEN);
            None
        }
    });
    bad.or(PageRequest { rows, after })
}

/// Answers the workspace, too.
pub fn channel_page(
    request: v1::ListTaskChannelsRequest,
) -> Result<(WorkspaceSid, PageRequest<String>), Vec<FieldViolation>> {
    let v1::ListTaskChannelsRequest { workspace_sid, page_size, page_token } = request;
    let mut bad = Violations::default();
    let workspace = bad.workspace(&workspace_sid);
    let rows = bad.rows(page_size);
    // Without a workspace there is no telling whether the token is one of its list.
    let list = list_of_channels(workspace);
    let place = if bad.0.iter().any(|violation| violation.field == "workspace_sid") {
        None
    } else {
        bad.place(&list, &page_token)
    };
    let after = place.and_then(|place| {
        let name = String::from_utf8(place).ok();
        if name.is_none() {
            bad.add("page_token", BAD_TOKEN);
        }
        name
    });
    bad.or((workspace, PageRequest { rows, after }))
}

/// The token of the page after this workspace.
pub fn workspace_token(last: WorkspaceSid) -> String {
    token(LIST_WORKSPACES, last.as_bytes())
}

/// The token of the page after this task channel.
pub fn channel_token(workspace: WorkspaceSid, last: &str) -> String {
    token(&list_of_channels(workspace), last.as_bytes())
}

/// The token of the page after this dead letter.
pub fn letter_token(last: i64) -> String {
    token(LIST_LETTERS, &last.to_be_bytes())
}

const BAD_TOKEN: &str = "is not a next_page_token of this list";
const LIST_WORKSPACES: &[u8] = b"workspaces";
const LIST_LETTERS: &[u8] = b"dead letters";

fn list_of_channels(workspace: WorkspaceSid) -> Vec<u8> {
    [b"task channels of ".as_slice(), workspace.as_bytes()].concat()
}

fn checksum(list: &[u8], place: &[u8]) -> [u8; 8] {
    xxh3_64(&[list, &[0], place].concat()).to_be_bytes()
}

fn token(list: &[u8], place: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(2 * (8 + place.len()));
    for byte in checksum(list, place).iter().chain(place) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn read_token(list: &[u8], token: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = token.as_bytes().as_chunks::<2>() else { return None };
    let bytes: Option<Vec<u8>> = pairs.iter().map(|[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect();
    let bytes = bytes?;
    let (sum, place) = bytes.split_first_chunk::<8>()?;
    (*sum == checksum(list, place)).then(|| place.to_vec())
}

impl Violations {
    /// The id of the last dead letter of the page before; 0 for the first page.
    pub(super) fn last_letter(&mut self, page_token: &str) -> i64 {
        let Some(place) = self.place(LIST_LETTERS, page_token) else { return 0 };
        <[u8; 8]>::try_from(place).map_or_else(
            |_| {
                self.add("page_token", BAD_TOKEN);
                0
            },
            i64::from_be_bytes,
        )
    }

    pub(super) fn rows(&mut self, page_size: i32) -> usize {
        match usize::try_from(page_size) {
            Ok(0) => limits::PAGE_SIZE_DEFAULT,
            Ok(rows) => rows.min(limits::PAGE_SIZE_MAX),
            Err(_) => {
                self.add("page_size", "must not be negative");
                limits::PAGE_SIZE_DEFAULT
            }
        }
    }

    fn place(&mut self, list: &[u8], page_token: &str) -> Option<Vec<u8>> {
        if page_token.is_empty() {
            return None;
        }
        let place = read_token(list, page_token);
        if place.is_none() {
            self.add("page_token", BAD_TOKEN);
        }
        place
    }
}
