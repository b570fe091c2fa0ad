//! What lies over the board for a while: the help, and a list to choose from.

#[derive(Clone, Debug)]
pub enum Popup {
    Help,
    Pick(Picker),
}

#[derive(Clone, Debug)]
pub struct Picker {
    /// Of channels, or else of workspaces.
    pub is_of_channels: bool,
    /// The row that is chosen. For channels the first one is all of them.
    pub at: usize,
}

impl Picker {
    pub fn channels(at: usize) -> Picker {
        Picker { is_of_channels: true, at }
    }

    pub fn workspaces() -> Picker {
        Picker { is_of_channels: false, at: 0 }
    }
}

/// A line of the help.
pub const HELP: [(&str, &str); 7] = [
    ("q  Esc", "end; Ctrl-C does, too"),
    ("?", "this help"),
    ("c", "choose a task channel"),
    ("← →", "the channel before, the next one"),
    ("w", "choose a workspace"),
    ("Ctrl-L", "paint everything anew"),
    ("Ctrl-Z", "suspend; fg brings the board back"),
];
