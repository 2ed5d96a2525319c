//! One table of options that yields TOML keys, environment names, flags and their docs.
