//! `tasktally backup`: a running server's data, as a data directory that a server can be started on.

use std::io;

use super::args::BackupArgs;
use super::client::{Server, now_ms};
use super::failure::Failure;
use super::interrupt;
use super::offline::{failed, teller};
use super::progress::Progress;
use super::text::{count, counted};
use crate::api::proto::v1::{BackupRequest, BackupResponse};
use crate::event::Millis;
use crate::limits;
use crate::upkeep::{BackedUp, Incoming};

/// What to print.
pub async fn run(args: BackupArgs) -> Result<String, Failure> {
    let server = Server::new(&args.connection)?;
    let mut incoming = Incoming::create(&args.dest).map_err(|error| failed(&args.dest, error))?;
    let mut progress = Progress::new(Some(0), "{bytes}/{total_bytes}");
    let mut stop = std::pin::pin!(interrupt());
    // Each piece is a call's worth of waiting; the backup as a whole has no limit.
    let patience = server.timeout();
    let late = |_| Failure::local("the backup", io::Error::other("the server sent nothing within --timeout"));
    let mut admin = server.admin();
    let stream = tokio::time::timeout(patience, admin.backup(BackupRequest {})).await.map_err(late)?;
    let mut stream = stream?.into_inner();
    let mut taken = 0;
    loop {
        let message = tokio::select! {
            message = tokio::time::timeout(patience, stream.message()) => message.map_err(late)??,
            () = &mut stop => return Err(Failure::local("the backup", io::ErrorKind::Interrupted.into())),
        };
        let Some(BackupResponse { total_bytes, piece, .. }) = message else { break };
        taken += piece.len() as u64;
        incoming.take(&piece).map_err(|error| failed(&args.dest, error))?;
        if progress.is_due() {
            progress.set_total(u64::try_from(total_bytes).unwrap_or(0).max(taken));
            progress.show(taken, format!("{} bytes", count(taken)));
        }
    }
    progress.finish();
    let mut teller = teller(false);
    let retention_ms = i64::try_from(limits::RETENTION_MAX.as_millis()).unwrap_or(i64::MAX);
    let finished = incoming.finish(Millis(now_ms()), retention_ms, &mut teller);
    let BackedUp { position, rows } = finished.map_err(|error| failed(&args.dest, error))?;
    Ok(format!(
        "{}: position {position}, {}, {} bytes, verified\nserve it with: tasktally serve --data-dir {}\n",
        args.dest.display(),
        counted(rows, "row"),
        count(taken),
        args.dest.display()
    ))
}
