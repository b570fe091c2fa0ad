//! TEMPORARY: signatures only, replaced on merge.
#![allow(dead_code, unused_variables, clippy::all)]
use std::sync::Arc;
use crate::engine::*;
use crate::event::*;

#[derive(Clone, Debug)]
pub enum Scope { All, Account(AccountSid) }
#[derive(Clone, Debug)]
pub struct Caller { pub scope: Scope }
impl Caller { pub fn everything() -> Caller { Caller { scope: Scope::All } } }
#[derive(Clone, Debug)]
pub struct Stamped<T> { pub revision: i64, pub as_of: Millis, pub answer: T }
#[derive(Clone, Debug)]
pub enum AskError { UnknownWorkspace, WindowTooOld { oldest: Second, asked: Second }, EmptyWindow { field: &'static str }, Overloaded { retry_after_ms: u64 }, Starting, Stopping }
#[derive(Clone, Debug)]
pub enum IngestError { Overloaded { retry_after_ms: u64 }, Unwritable { cause: String, retry_after_ms: u64 }, Starting, Stopping }
#[derive(Clone, Copy, Debug)]
pub enum Patience { Refuse, Wait }
#[derive(Clone, Debug)]
pub enum Refusal { TooOld { oldest: Millis }, TooNew { newest: Millis }, AccountMismatch, LimitExceeded { limit: &'static str, most: u64 } }
#[derive(Clone, Debug)]
pub struct Ingested { pub accepted: u64, pub duplicates: u64, pub refused: Vec<(u32, Refusal)>, pub revision: i64 }
pub struct CumulativeQuestion { pub channel: ChannelFilter, pub window: Window, pub thresholds: Box<[u32]> }
#[derive(Clone)]
pub struct Pipeline;
pub struct Submitted;
impl Submitted { pub async fn settled(self) -> Result<Ingested, IngestError> { todo!() } }
impl Pipeline {
  pub async fn submit(&self, caller: &Caller, events: Vec<(u32, Event)>, patience: Patience) -> Result<Submitted, IngestError> { todo!() }
  pub async fn realtime(&self, caller: &Caller, workspace: WorkspaceSid, channel: &ChannelFilter) -> Result<Stamped<Arc<Realtime>>, AskError> { todo!() }
  pub async fn cumulative(&self, caller: &Caller, workspace: WorkspaceSid, question: CumulativeQuestion) -> Result<Stamped<Cumulative>, AskError> { todo!() }
  pub async fn statistics(&self, caller: &Caller, workspace: WorkspaceSid, question: CumulativeQuestion) -> Result<Stamped<(Realtime, Cumulative)>, AskError> { todo!() }
  pub async fn workspaces(&self, caller: &Caller, after: Option<WorkspaceSid>, at_most: usize) -> Result<Vec<WorkspaceRow>, AskError> { todo!() }
  pub async fn channels(&self, caller: &Caller, workspace: WorkspaceSid, after: Option<&str>, at_most: usize) -> Result<Vec<ChannelRow>, AskError> { todo!() }
  pub async fn topic(&self, caller: &Caller, workspace: WorkspaceSid, channel: &ChannelFilter) -> Result<Arc<Topic>, AskError> { todo!() }
}
pub struct Topic;
impl Topic { pub fn latest(&self) -> Stamped<Arc<Realtime>> { todo!() } pub fn subscribe(&self) -> tokio::sync::watch::Receiver<u64> { todo!() } pub fn now(&self) -> Millis { todo!() } }
