//! A workspace as bytes: what a checkpoint's section and the carry-over hold.

use tasktally::engine::{
    CarryPart, ChannelFilter, ChannelRow, Cumulative, Duplicates, History, Realtime, Totals, Workspace,
};
use tasktally::event::{AccountSid, DAY_MS, EventSid, Millis, Second, SecondRange};

use super::data::{Bytes, NOW};

/// The answers to a few questions about everything and about single channels.
pub fn answers(workspace: &mut Workspace, now: Millis) -> Vec<(Realtime, Cumulative, Vec<ChannelRow>)> {
    let oldest = workspace.oldest().second();
    let end = now.second().plus(1);
    let start = oldest.max(end.plus(-30 * 24 * 60 * 60));
    let range = SecondRange::new(start, end.max(start.plus(1))).expect("a range of at least a second");
    let filters = [ChannelFilter::All, ChannelFilter::parse("voice"), ChannelFilter::parse("x")];
    let one = |filter: &ChannelFilter| {
        let realtime = workspace.realtime(filter, now);
        let cumulative = workspace.cumulative(filter, range, &[1, 60, 2_592_000]);
        (realtime, cumulative, workspace.list_channels(None, 10, now))
    };
    filters.iter().map(one).collect()
}

/// Asks, and looks at nothing but that it is answered.
pub fn ask(workspace: &mut Workspace, now: Millis) {
    let _ = answers(workspace, now);
    let _ = workspace.size();
    let _ = workspace.carry_over(now.minus(DAY_MS), now);
}

/// A workspace of any bytes is refused or works, and once it is read it is written and read alike.
pub fn workspace(input: &[u8]) {
    let Ok(mut workspace) = Workspace::decode(input) else { return };
    let mut image = Vec::new();
    workspace.encode(&mut image);
    let mut again = Workspace::decode(&image).expect("an image that was just written");
    let mut second = Vec::new();
    again.encode(&mut second);
    // Not byte by byte: what is in hash tables is written in their order, which is another each time.
    assert_eq!(image.len(), second.len(), "an image changes when it is read and written");
    for now in [NOW, NOW.plus(40 * DAY_MS)] {
        assert_eq!(answers(&mut workspace, now), answers(&mut again, now), "after it was written and read");
        ask(&mut workspace, now);
    }
}

/// One part of a carry-over: its name and its body.
pub fn carry(input: &[u8]) {
    let mut bytes = Bytes(input);
    let key = bytes.piece(5);
    let Some(part) = CarryPart::from_key(key) else { return };
    assert_eq!(part.to_key(), key);
    let _ = part.is_expired(NOW, 30 * DAY_MS);
    let account = match part {
        CarryPart::Lasting => Workspace::account_of_carry(bytes.0),
        CarryPart::Ends(_) => Ok(AccountSid::from_bytes([1; 16])),
    };
    let Ok(account) = account else { return };
    let mut workspace = Workspace::new(account, 30 * DAY_MS, 7);
    if workspace.take_carry(part, bytes.0).is_ok() {
        workspace.take_carry(part, bytes.0).expect("joining twice is as joining once");
        ask(&mut workspace, NOW);
    }
}

pub fn history(input: &[u8]) {
    let mut rest = input;
    let Ok(mut history) = History::decode(&mut rest) else { return };
    let mut image = Vec::new();
    history.encode(&mut image);
    let again = History::decode(&mut &image[..]).expect("an image that was just written");
    assert_eq!(again.len(), history.len());
    let sum = |history: &History, range: SecondRange| {
        let mut totals = Totals::with_thresholds(&[1, 60]);
        history.sum_into(range, &mut totals);
        totals
    };
    let mut bytes = Bytes(rest);
    let (start, length) = (Second(bytes.number() % 4_000_000_000), 1 + i64::from(bytes.short()) * 600);
    let everything = SecondRange::new(Millis::MIN.second(), Millis::MAX.second().plus(1));
    for range in [everything, SecondRange::new(start, start.plus(length))].into_iter().flatten() {
        assert_eq!(sum(&history, range), sum(&again, range), "{range}");
    }
    // Halves add up to the whole.
    if let Some(whole) = SecondRange::new(start, start.plus(length))
        && let (Some(first), Some(second)) =
            (SecondRange::new(start, start.plus(length / 2)), SecondRange::new(start.plus(length / 2), whole.end()))
    {
        let mut halves = Totals::with_thresholds(&[1, 60]);
        history.sum_into(first, &mut halves);
        history.sum_into(second, &mut halves);
        assert_eq!(halves, sum(&history, whole));
    }
    history.forget_before(start);
    let _ = history.heap_bytes();
}

pub fn duplicates(input: &[u8]) {
    let mut rest = input;
    let Ok(mut set) = Duplicates::decode(&mut rest) else { return };
    let mut image = Vec::new();
    set.encode(&mut image);
    let again = Duplicates::decode(&mut &image[..]).expect("an image that was just written");
    assert_eq!(again.len(), set.len());
    let mut second_image = Vec::new();
    again.encode(&mut second_image);
    assert!(image == second_image, "an image changes when it is read and written");
    let mut bytes = Bytes(rest);
    for _ in 0..8 {
        let sid = EventSid::from_bytes([bytes.byte(); 16]);
        let second = Second(bytes.number().clamp(Millis::MIN.second().0, Millis::MAX.second().0));
        let fingerprint = set.fingerprint(sid, second);
        let (held, known) = (set.len(), set.contains(second, fingerprint));
        assert_eq!(set.insert(second, fingerprint), !known);
        assert!(set.contains(second, fingerprint));
        assert_eq!(set.len(), held + u64::from(!known));
    }
    set.forget_before(Second(bytes.number().clamp(Millis::MIN.second().0, Millis::MAX.second().0)));
    let _ = set.heap_bytes();
}
