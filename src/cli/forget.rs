//! `tasktally forget`: undoes the first binding of a workspace, after a question.

use std::io::{self, BufRead, IsTerminal, Write};

use super::args::ForgetArgs;
use super::client::{Server, answer};
use super::failure::Failure;
use crate::api::proto::v1::{ForgetWorkspaceRequest, GetRealtimeRequest};

/// What to print.
pub async fn run(args: ForgetArgs) -> Result<String, Failure> {
    let server = Server::new(&args.connection)?;
    let workspace = &args.workspace;
    if !args.yes {
        let request = GetRealtimeRequest { workspace_sid: workspace.clone(), ..GetRealtimeRequest::default() };
        let now = answer(server.statistics().get_realtime(server.request(request)).await)?;
        let what = format!(
            "{workspace} of account {} with {} active tasks and {} workers",
            now.account_sid, now.total_tasks, now.total_workers
        );
        confirm(&what, workspace)?;
    }
    let request = ForgetWorkspaceRequest { workspace_sid: workspace.clone() };
    let forgotten = answer(server.admin().forget_workspace(server.request(request)).await)?;
    Ok(format!("forgot {workspace}, revision {}\n", forgotten.revision))
}

/// Asks at a terminal; elsewhere nobody could answer.
fn confirm(what: &str, workspace: &str) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage(format!("this would forget {what}; say --yes to do it without a question")));
    }
    let mut out = io::stderr();
    let asked = write!(out, "This forgets {what}, for ever.\nType the workspace's sid to go on: ");
    let mut line = String::new();
    let read = asked.and_then(|()| out.flush()).and_then(|()| io::stdin().lock().read_line(&mut line));
    read.map_err(|error| Failure::local("the terminal", error))?;
    if line.trim() == workspace { Ok(()) } else { Err(Failure::Usage("nothing was forgotten".to_owned())) }
}
