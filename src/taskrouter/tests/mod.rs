mod bad;
mod forms;
mod payloads;
mod signatures;

/// A sid of these two letters and this number.
fn sid(letters: &str, number: u32) -> String {
    format!("{letters}{number:032x}")
}
