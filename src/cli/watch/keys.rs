//! What each key does to the model, and what is to be done beyond it.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::model::{Model, Subject};
use super::popup::{Picker, Popup};

/// What a key asks of those who know the terminal and the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    End,
    Suspend,
    Repaint,
    /// The subject is another one.
    Follow,
    LookForChannels,
    LookForWorkspaces,
}

const PAGE: usize = 10;

pub fn press(model: &mut Model, key: KeyEvent) -> Option<Ask> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c' | 'd') => Some(Ask::End),
            KeyCode::Char('z') => Some(Ask::Suspend),
            KeyCode::Char('l') => Some(Ask::Repaint),
            _ => None,
        };
    }
    match model.popup.take() {
        None => on_board(model, key.code),
        // Any key closes it.
        Some(Popup::Help) => None,
        Some(Popup::Pick(picker)) => on_picker(model, picker, key.code),
    }
}

fn on_board(model: &mut Model, key: KeyCode) -> Option<Ask> {
    match key {
        KeyCode::Char('q' | 'Q') | KeyCode::Esc => Some(Ask::End),
        KeyCode::Char('?' | 'h') | KeyCode::F(1) => {
            model.popup = Some(Popup::Help);
            None
        }
        KeyCode::Char('c') => {
            model.popup = Some(Popup::Pick(Picker::channels(place(model))));
            Some(Ask::LookForChannels)
        }
        KeyCode::Char('w') => {
            let mut picker = Picker::workspaces();
            let known = model.workspaces.names.iter();
            picker.at = known.clone().position(|sid| *sid == model.subject.workspace).unwrap_or(0);
            model.popup = Some(Popup::Pick(picker));
            Some(Ask::LookForWorkspaces)
        }
        KeyCode::Left => step(model, false),
        KeyCode::Right => step(model, true),
        _ => None,
    }
}

/// Where the channel stands in the list, all of them being the first row.
fn place(model: &Model) -> usize {
    model.channels.names.iter().position(|name| *name == model.subject.channel).map_or(0, |at| at + 1)
}

/// To the next channel, or the one before, around the ends of the list.
fn step(model: &mut Model, forward: bool) -> Option<Ask> {
    let rows = model.channels.names.len() + 1;
    if rows == 1 {
        return Some(Ask::LookForChannels);
    }
    let at = place(model);
    let next = if forward { (at + 1) % rows } else { (at + rows - 1) % rows };
    turn_to_channel(model, next)
}

fn turn_to_channel(model: &mut Model, row: usize) -> Option<Ask> {
    let channel = match row.checked_sub(1) {
        None => String::new(),
        Some(at) => model.channels.names.get(at)?.clone(),
    };
    turn(model, Subject { channel, workspace: model.subject.workspace.clone() })
}

fn turn(model: &mut Model, subject: Subject) -> Option<Ask> {
    if subject == model.subject {
        return None;
    }
    model.turn_to(subject);
    Some(Ask::Follow)
}

fn on_picker(model: &mut Model, mut picker: Picker, key: KeyCode) -> Option<Ask> {
    let rows = model.list(&picker).names.len() + usize::from(picker.is_of_channels);
    let last = rows.saturating_sub(1);
    match key {
        KeyCode::Esc | KeyCode::Char('q' | 'Q') => {
            // Without a workspace there is nothing to go back to.
            return model.subject.workspace.is_empty().then_some(Ask::End);
        }
        KeyCode::Enter => {
            if picker.is_of_channels {
                return turn_to_channel(model, picker.at);
            }
            let Some(workspace) = model.workspaces.names.get(picker.at).cloned() else {
                model.popup = Some(Popup::Pick(picker));
                return None;
            };
            let is_same = workspace == model.subject.workspace;
            let channel = if is_same { model.subject.channel.clone() } else { String::new() };
            return turn(model, Subject { workspace, channel });
        }
        KeyCode::Up | KeyCode::Char('k') => picker.at = picker.at.saturating_sub(1),
        KeyCode::Down | KeyCode::Char('j') => picker.at += 1,
        KeyCode::PageUp => picker.at = picker.at.saturating_sub(PAGE),
        KeyCode::PageDown => picker.at += PAGE,
        KeyCode::Home => picker.at = 0,
        KeyCode::End => picker.at = last,
        _ => {}
    }
    picker.at = picker.at.min(last);
    model.popup = Some(Popup::Pick(picker));
    None
}
