//! Task channels: names, the sids that stand for them, and the history of each.

use serde::{Deserialize, Serialize};

use super::history::History;
use super::parted::Parted;
use super::place::{Place, keep_latest};
use super::question::ChannelFilter;
use crate::event::{ChannelSid, Event, Millis};

/// A channel's number within its workspace; given again once its channel is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChannelId(u32);

/// The channels of one workspace.
///
/// An event is stored once, in the series of the channel that it states itself; events without one have a series of
/// their own. "All channels" is the sum of the series.
#[derive(Clone, Default)]
pub struct Channels {
    names: ChannelNames,
    /// By channel number; empty for numbers not in use.
    series: Vec<History>,
    unnamed: History,
}

/// The part of [`Channels`] that is small: everything but the series.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct ChannelNames {
    ids: Parted<Box<str>, ChannelId>,
    /// By channel number; `None` for numbers not in use.
    channels: Vec<Option<Channel>>,
    /// What each sid stands for: the name that the latest of the events that state both gave it.
    sids: Parted<ChannelSid, Option<(Place, Box<str>)>>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Channel {
    name: Box<str>,
    /// The moment of the latest event that names it.
    named_at: Millis,
}

/// What a channel filter comes to in this workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen {
    All,
    One(ChannelId),
    /// A name or sid that no event gave: nothing is in it.
    Nothing,
}

impl Channels {
    /// The number of the channel that the event's task is in, made now if it is new.
    pub fn apply(&mut self, event: &Event) -> Option<ChannelId> {
        let task = event.task.as_ref()?;
        let name = task.channel_name.as_ref()?;
        if let Some(sid) = task.channel_sid {
            let slot = self.names.sids.get_or_default(sid);
            keep_latest(slot, Place::of_channel(event), || name.as_str().into());
        }
        let id = match self.names.ids.get(name.as_str()) {
            Some(id) => *id,
            None => self.add(name),
        };
        if let Some(channel) = &mut self.names.channels[id.0 as usize] {
            channel.named_at = channel.named_at.max(event.at);
        }
        Some(id)
    }

    /// The number of the channel that the event's task is in, where there is one.
    pub fn of(&self, event: &Event) -> Option<ChannelId> {
        let name = event.task.as_ref()?.channel_name.as_ref()?;
        self.names.ids.get(name.as_str()).copied()
    }

    fn add(&mut self, name: &str) -> ChannelId {
        let channel = Some(Channel { name: name.into(), named_at: Millis::MIN });
        let id = match self.names.channels.iter().position(Option::is_none) {
            Some(free) => {
                self.names.channels[free] = channel;
                ChannelId(free as u32)
            }
            None => {
                self.names.channels.push(channel);
                self.series.push(History::default());
                ChannelId(self.names.channels.len() as u32 - 1)
            }
        };
        self.names.ids.insert(name.into(), id);
        id
    }

    pub fn choose(&self, filter: &ChannelFilter) -> Chosen {
        let name: Option<&str> = match filter {
            ChannelFilter::All => return Chosen::All,
            ChannelFilter::Named(name) => Some(name),
            ChannelFilter::Sid(sid) => self.names.sids.get(sid).and_then(Option::as_ref).map(|(_, name)| &**name),
        };
        name.and_then(|name| self.names.ids.get(name)).map_or(Chosen::Nothing, |id| Chosen::One(*id))
    }

    /// The series that a counted event belongs to.
    pub fn series_mut(&mut self, channel: Option<ChannelId>) -> &mut History {
        match channel {
            Some(id) => &mut self.series[id.0 as usize],
            None => &mut self.unnamed,
        }
    }

    /// Every series that the choice covers.
    pub fn series(&self, chosen: Chosen) -> impl Iterator<Item = &History> {
        let (named, unnamed) = match chosen {
            Chosen::All => (&self.series[..], Some(&self.unnamed)),
            Chosen::One(ChannelId(id)) => (&self.series[id as usize..=id as usize], None),
            Chosen::Nothing => (&self.series[..0], None),
        };
        named.iter().chain(unnamed)
    }

    /// Drops history before `oldest` and answers the channels that no retained event names; they are gone.
    pub fn forget(&mut self, oldest: Millis) -> Vec<ChannelId> {
        for series in self.series.iter_mut().chain([&mut self.unnamed]) {
            series.forget_before(oldest.second());
        }
        let mut gone = Vec::new();
        for (number, slot) in self.names.channels.iter_mut().enumerate() {
            if let Some(channel) = slot.take_if(|channel| channel.named_at.second() < oldest.second()) {
                self.names.ids.remove(&channel.name);
                self.series[number] = History::default();
                gone.push(ChannelId(number as u32));
            }
        }
        gone
    }

    /// The channels that an event since `oldest` named, or that a sid stands for, ascending by name (as bytes), from
    /// the first after `after`: name, smallest sid that stands for it, number.
    pub fn list(&self, oldest: Millis, after: Option<&str>) -> Vec<(Box<str>, Option<ChannelSid>, Option<ChannelId>)> {
        let mut rows = std::collections::BTreeMap::new();
        for (number, channel) in self.names.channels.iter().enumerate() {
            if let Some(channel) = channel
                && channel.named_at >= oldest
            {
                rows.insert(&channel.name, (None, Some(ChannelId(number as u32))));
            }
        }
        for (sid, standing) in self.names.sids.iter() {
            let Some((_, name)) = standing else { continue };
            let row = rows.entry(name).or_insert_with(|| (None, self.names.ids.get(name).copied()));
            row.0 = Some(row.0.map_or(*sid, |held: ChannelSid| held.min(*sid)));
        }
        rows.into_iter()
            .filter(|(name, _)| after.is_none_or(|after| name.as_bytes() > after.as_bytes()))
            .map(|(name, (sid, id))| (name.clone(), sid, id))
            .collect()
    }

    pub fn knows(&self, name: &str) -> bool {
        self.names.ids.contains_key(name)
    }

    pub fn knows_sid(&self, sid: ChannelSid) -> bool {
        self.names.sids.contains_key(&sid)
    }

    /// How many names are held.
    pub fn count_names(&self) -> usize {
        self.names.ids.len()
    }

    /// How many sids are held: one name may have had many.
    pub fn count_sids(&self) -> usize {
        self.names.sids.len()
    }

    /// What must outlive the rows: which name each sid stands for.
    pub fn standing(&self) -> Vec<(ChannelSid, Place, Box<str>)> {
        let standing = self.names.sids.iter().filter_map(|(sid, held)| Some((*sid, held.as_ref()?)));
        standing.map(|(sid, (place, name))| (sid, *place, name.clone())).collect()
    }

    pub fn remember(&mut self, sid: ChannelSid, place: Place, name: Box<str>) {
        keep_latest(self.names.sids.get_or_default(sid), place, || name);
    }

    pub fn names(&self) -> &ChannelNames {
        &self.names
    }

    pub fn all_series(&self) -> impl Iterator<Item = &History> {
        self.series.iter().chain([&self.unnamed])
    }

    /// From a checkpoint: the names, then one series for each channel number, then the one without a channel.
    pub fn restore(names: ChannelNames, mut series: Vec<History>) -> Option<Channels> {
        let unnamed = series.pop()?;
        let in_range = names.ids.values().all(|id| (id.0 as usize) < series.len());
        (series.len() == names.channels.len() && in_range).then_some(Channels { names, series, unnamed })
    }
}
