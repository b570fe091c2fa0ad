//! What TaskRouter sent and what it remembers: refused events, kept and sent again; and its own record, imported.

mod common;

#[path = "letters/dead.rs"]
mod dead;
#[path = "letters/import.rs"]
mod import;
#[path = "letters/source.rs"]
mod source;
