//! Hash tables of the engine: keyed per process, because callers choose the ids.

pub type Table<K, V> = hashbrown::HashMap<K, V, foldhash::fast::RandomState>;
pub type TableSet<K> = hashbrown::HashSet<K, foldhash::fast::RandomState>;
