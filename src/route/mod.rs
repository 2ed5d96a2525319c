//! Which shard owns which series, the closed list of cross-core messages, and the mesh.
