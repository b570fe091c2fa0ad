//! The small pieces that rows are made of.

use super::recent::Recent;
use crate::engine::Table;
use crate::event::Name;

/// A row that does not say what a row must say, although its checksum held: written by something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damaged {
    #[error("it has row format {0}, and this version of tasktally knows 1 and 2 only: a later version wrote it")]
    Version(u8),
    #[error("the row ends too early")]
    Short,
    #[error("the row goes on after its last event")]
    Long,
    #[error("no such {0}")]
    Value(&'static str),
}

/// Writes a row, and remembers which ids and names it has written.
pub struct Writer {
    out: Vec<u8>,
    ids: Table<u128, u64>,
    names: Table<Name, u64>,
    /// Some of the names that were written last: nearly all are among them, and need not be hashed.
    recent: Recent<Name, u64>,
}

impl Writer {
    /// With room for so many bytes and ids, so that neither moves as it grows.
    pub fn with_capacity(bytes: usize, ids: usize) -> Writer {
        let ids = Table::with_capacity_and_hasher(ids, Default::default());
        Writer { out: Vec::with_capacity(bytes), ids, names: Table::default(), recent: Default::default() }
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    pub fn byte(&mut self, byte: u8) {
        self.out.push(byte);
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    pub fn uint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    pub fn int(&mut self, value: i64) {
        self.uint(((value << 1) ^ (value >> 63)) as u64);
    }

    pub fn maybe_int(&mut self, value: Option<i64>) {
        if let Some(value) = value {
            self.int(value);
        }
    }

    /// A byte of flags, the first in the lowest bit.
    #[inline]
    pub fn presence<const N: usize>(&mut self, flags: [bool; N]) {
        const { assert!(N <= 8, "a byte has no more flags") };
        self.byte(flags.iter().rev().fold(0, |byte, flag| byte << 1 | u8::from(*flag)));
    }

    pub fn id(&mut self, id: &[u8; 16]) {
        let next = self.ids.len() as u64 + 1;
        let number = *self.ids.entry(u128::from_ne_bytes(*id)).or_insert(next);
        if number == next {
            self.byte(0);
            self.raw(id);
        } else {
            self.uint(number);
        }
    }

    pub fn maybe_id(&mut self, id: Option<&[u8; 16]>) {
        if let Some(id) = id {
            self.id(id);
        }
    }

    pub fn maybe_name(&mut self, name: &Option<Name>) {
        let Some(name) = name else { return };
        if let Some(number) = self.recent.get(name) {
            return self.uint(*number);
        }
        let next = self.names.len() as u64 + 1;
        let number = *self.names.entry_ref(name).or_insert(next);
        self.recent.put(name.clone(), number);
        if number < next {
            return self.uint(number);
        }
        self.byte(0);
        self.uint(name.len() as u64);
        self.raw(name.as_bytes());
    }
}

/// Reads what [`Writer`] wrote. Total: no bytes make it panic or take more memory than they are long.
pub struct Reader<'a> {
    rest: &'a [u8],
    ids: Vec<[u8; 16]>,
    names: Vec<&'a str>,
}

impl<'a> Reader<'a> {
    pub fn new(rest: &'a [u8]) -> Reader<'a> {
        Reader { rest, ids: Vec::new(), names: Vec::new() }
    }

    pub fn end(&self) -> Result<(), Damaged> {
        if self.rest.is_empty() { Ok(()) } else { Err(Damaged::Long) }
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8], Damaged> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or(Damaged::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    pub fn byte(&mut self) -> Result<u8, Damaged> {
        Ok(self.take(1)?[0])
    }

    pub fn raw(&mut self) -> Result<[u8; 16], Damaged> {
        self.take(16)?.try_into().map_err(|_| Damaged::Short)
    }

    pub fn uint(&mut self) -> Result<u64, Damaged> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if (bits << shift) >> shift != bits {
                return Err(Damaged::Value("number"));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Damaged::Value("number"))
    }

    pub fn int(&mut self) -> Result<i64, Damaged> {
        let value = self.uint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    pub fn maybe_int(&mut self, present: bool) -> Result<Option<i64>, Damaged> {
        if present { self.int().map(Some) } else { Ok(None) }
    }

    pub fn presence(&mut self) -> Result<[bool; 8], Damaged> {
        let byte = self.byte()?;
        Ok(std::array::from_fn(|bit| byte & (1 << bit) != 0))
    }

    pub fn id(&mut self) -> Result<[u8; 16], Damaged> {
        match self.uint()? {
            0 => {
                let id = self.raw()?;
                self.ids.push(id);
                Ok(id)
            }
            number => self.ids.get(number as usize - 1).copied().ok_or(Damaged::Value("id")),
        }
    }

    pub fn maybe_id(&mut self, present: bool) -> Result<Option<[u8; 16]>, Damaged> {
        if present { self.id().map(Some) } else { Ok(None) }
    }

    pub fn maybe_name(&mut self, present: bool) -> Result<Option<Name>, Damaged> {
        if !present {
            return Ok(None);
        }
        let name = match self.uint()? {
            0 => {
                let length = usize::try_from(self.uint()?).map_err(|_| Damaged::Short)?;
                let name = std::str::from_utf8(self.take(length)?).map_err(|_| Damaged::Value("name"))?;
                self.names.push(name);
                name
            }
            number => self.names.get(number as usize - 1).copied().ok_or(Damaged::Value("name"))?,
        };
        Ok(Some(Name::new(name)))
    }
}
