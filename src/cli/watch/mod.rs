//! `tasktally watch`: the state of a workspace, live. On a terminal it is a board, elsewhere a line for each update.
//!
//! [`feed`] has the server's streams, which [`follow`] begins again when they break. What they tell is taken by the
//! [`model`], and so are [`keys`]; [`view`] paints the model, and [`last`] is what is left of it. Only [`live`] and
//! [`screen`] know a terminal.

pub mod args;
mod big;
mod feed;
mod figures;
mod follow;
mod keys;
mod last;
mod live;
mod model;
mod paint;
mod plain;
mod popup;
mod screen;
mod view;

use std::io::{self, IsTerminal};

use args::WatchArgs;

use super::args::Output;
use super::client::{Server, Subject};
use super::failure::Failure;

pub async fn run(args: WatchArgs) -> Result<u8, Failure> {
    args.board.check()?;
    let server = Server::new(&args.connection)?;
    match server.subject(&args.subject).await? {
        Subject::One(sid) if is_board(&args) => live::run(&args, server, Some(sid)).await,
        // Where there is a choice, the board offers it.
        Subject::Several { workspaces, .. } if is_board(&args) && !workspaces.is_empty() => {
            live::run(&args, server, None).await
        }
        subject => plain::run(&args, &server, subject.one(&args.connection)?).await,
    }
}

fn is_board(args: &WatchArgs) -> bool {
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    args.display.output == Output::Text && !args.plain && !is_dumb && io::stdout().is_terminal()
}
