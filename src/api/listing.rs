//! Which workspaces and task channels there are, page by page. One row more than asked for tells whether another page
//! follows.

use tonic::{Request, Status};

use super::decode::{self, channel_token, workspace_token};
use super::proto::v1;
use super::statistics::ask;
use super::status::ApiError;
use super::{Api, caller, encode, permit};
use crate::pipeline::Role;

pub(super) async fn workspaces(
    api: &Api,
    request: Request<v1::ListWorkspacesRequest>,
) -> Result<v1::ListWorkspacesResponse, Status> {
    let caller = caller(&request);
    let page = decode::workspace_page(request.into_inner()).map_err(ApiError::BadFields)?;
    permit(&caller, Role::Read)?;
    let most = page.rows.min(api.limits.max_page_rows);
    let rows = api.pipeline.workspaces(&caller, page.after, most + 1).await.map_err(ApiError::List)?;
    let (rows, last) = cut(&rows, most);
    Ok(v1::ListWorkspacesResponse {
        workspaces: rows.iter().map(encode::workspace).collect(),
        next_page_token: last.map(|row| workspace_token(row.workspace)).unwrap_or_default(),
    })
}

pub(super) async fn task_channels(
    api: &Api,
    request: Request<v1::ListTaskChannelsRequest>,
) -> Result<v1::ListTaskChannelsResponse, Status> {
    let caller = caller(&request);
    let (workspace, page) = decode::channel_page(request.into_inner()).map_err(ApiError::BadFields)?;
    permit(&caller, Role::Read)?;
    let (most, after) = (page.rows.min(api.limits.max_page_rows), page.after.as_deref());
    let rows = ask(workspace, api.pipeline.channels(&caller, workspace, after, most + 1)).await?;
    let (rows, last) = cut(&rows, most);
    Ok(v1::ListTaskChannelsResponse {
        task_channels: rows.iter().map(encode::task_channel).collect(),
        next_page_token: last.map(|row| channel_token(workspace, &row.unique_name)).unwrap_or_default(),
    })
}

/// The rows of this page, and the last of them where another page follows.
fn cut<T>(rows: &[T], most: usize) -> (&[T], Option<&T>) {
    let page = &rows[..most.min(rows.len())];
    (page, page.last().filter(|_| rows.len() > most))
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn another_page_follows_only_where_there_is_another_row() {
        assert_eq!(cut::<u8>(&[], 2), (&[][..], None));
        assert_eq!(cut(&[1, 2], 2), (&[1, 2][..], None));
        assert_eq!(cut(&[1, 2, 3], 2), (&[1, 2][..], Some(&2)));
    }
}
