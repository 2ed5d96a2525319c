//! Hash maps and sets with fixed keys: the same history gives the same map in every run, which the
//! simulator relies on. Maps whose keys strangers choose in bulk (the series cache) are keyed by a
//! secret of the process instead.

use std::hash::BuildHasherDefault;

/// Hash state with fixed keys.
pub type FixedState = BuildHasherDefault<ahash::AHasher>;
/// Hash map with fixed keys.
pub type FixedMap<K, V> = std::collections::HashMap<K, V, FixedState>;
/// Hash set with fixed keys.
pub type FixedSet<K> = std::collections::HashSet<K, FixedState>;
